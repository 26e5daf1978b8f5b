// The scalar memory with the maps of its preactivations: channels to outputs, and back. What lies between is made and used a span of tokens at a time.
// Products with the maps round their inputs where the precision asks for it; what goes from token to token does not.
#include "gradient.h"

namespace {

using namespace lab;
using slstm::kGates;
using slstm::kKept;

// c (into input and forget gate) and x (into cell input and output gate) [B, T, D], maps w [H, d, d] of each gate.
struct Mapped {
  slstm::Sizes s;
  const float *from[2], *w[kGates], *r, *bias;
  explicit Mapped(const Call& c)
      : s(c), from{c.In<float>(0), c.In<float>(1)}, w{c.In<float>(2), c.In<float>(3), c.In<float>(4), c.In<float>(5)}, r(c.In<float>(6)), bias(c.In<float>(7)) {}
  const float* Map(int64_t g, int64_t h) const { return w[g] + h * s.d * s.d; }
  template <class T>
  slstm::Keeping<T> Kept(T* p) const { return {p, kKept * s.D, kKept * s.d, s.d}; }
};

void MappedSlstm(const Call& c) {
  const Mapped m(c);
  const slstm::Sizes& s = m.s;
  float* y = c.Out<float>(0);
  const auto kept = m.Kept(c.Out<float>(1));
  const int64_t wide = kGates * s.d;
  ParallelFor(s.Tasks(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const slstm::Task at(s, task, s.rows);
      slstm::Forward(s, at, m.r, m.bias, y, kept, {m.from[0], m.from[1]}, [&](int64_t t0, int64_t t1, float* to) {
        for (int64_t row = 0; row < at.rows; ++row)
          for (int64_t g = 0; g < kGates; ++g)
            Multiply(t1 - t0, s.d, s.d, {m.from[g / 2] + at.At(s, row, t0), s.D, 1}, {m.Map(g, at.h), s.d}, {to + row * (t1 - t0) * wide + g * s.d, wide}, false);
      });
    }
  });
}

void MappedSlstmGrad(const Call& c) {
  const Mapped m(c);
  const slstm::Sizes& s = m.s;
  const float *y = c.In<float>(8), *dy = c.In<float>(10);
  const auto kept = m.Kept(c.In<float>(9));
  float* slopes[2] = {c.Out<float>(0), c.Out<float>(1)};
  // Of one tile: slopes of R [H, d, 4 d], of the biases [H, 4 d], and of the maps [H, d, 4 d].
  const int64_t wide = kGates * s.d, maps = s.Weights() + kGates * s.D, partial = maps + s.Weights();
  // turned: the maps with channels in and out exchanged, [H, 4 d, d].
  Scratch own(std::max<int64_t>(1, s.tiles * partial)), turned(std::max<int64_t>(1, s.Weights()));
  for (int64_t h = 0; h < s.H; ++h)
    for (int64_t g = 0; g < kGates; ++g) Transpose(s.d, s.d, {m.Map(g, h), s.d}, {turned + (h * kGates + g) * s.d * s.d, s.d});
  const auto part = [&](const slstm::Task& at, int64_t first) { return own + at.Tile() * partial + first; };
  const auto ofWeights = [&](const slstm::Task& at) { return part(at, at.h * s.d * wide); };
  const auto ofBiases = [&](const slstm::Task& at) { return part(at, s.Weights() + at.h * wide); };
  const auto ofMaps = [&](const slstm::Task& at) { return part(at, maps + at.h * s.d * wide); };
  slstm::AllBackward(
      s, m.r, y, kept, dy, {y, m.from[0], m.from[1]},
      [&](const slstm::Task& at, int64_t t0, int64_t t1, const float* da) {
        for (int64_t half = 0; half < 2; ++half)  // of c, which feeds the first two gates, and of x
          for (int64_t row = 0; row < at.rows; ++row)
            Multiply(t1 - t0, s.d, 2 * s.d, {da + row * (t1 - t0) * wide + half * 2 * s.d, wide, 1}, {turned + (at.h * kGates + 2 * half) * s.d * s.d, s.d},
                     {slopes[half] + at.At(s, row, t0), s.D}, false);
      },
      [&](const slstm::Task& at, const slstm::Sums& of) {
        of.Clear(s, s.d, ofWeights(at));
        of.Clear(s, s.d, ofMaps(at));
        of.Clear(s, 1, ofBiases(at));
      },
      [&](const slstm::Task& at, const slstm::Sums& of, int64_t t0, int64_t t1, const float* da, float* held) {
        slstm::AddWeights(s, at, of, t0, t1, y, da, held, ofWeights(at), ofBiases(at));
        for (int64_t half = 0; half < 2; ++half) {
          const int64_t first = std::max(of.g0, 2 * half), past = std::min(of.g1, 2 * half + 2);
          if (first >= past) continue;
          slstm::Hold(s, at, t0, t1, 0, m.from[half], held);
          Multiply(s.d, (past - first) * s.d, at.rows * (t1 - t0), {held, 1, s.d}, {da + first * s.d, wide}, {ofMaps(at) + first * s.d, wide}, true);
        }
      });
  slstm::SumWeights(s, own, partial, c.Out<float>(6), c.Out<float>(7));
  Scratch sums(std::max<int64_t>(1, s.Weights()));
  SumParts(own + maps, s.tiles, partial, s.Weights(), sums);
  for (int64_t i = 0; i < s.D; ++i)  // row i % d of head i / d
    for (int64_t g = 0; g < kGates; ++g) std::copy_n(sums + i * wide + g * s.d, s.d, c.Out<float>(2 + g) + i * s.d);
}

}  // namespace

LAB_KERNEL("MappedSlstm", MappedSlstm);
LAB_KERNEL("MappedSlstmGrad", MappedSlstmGrad);
