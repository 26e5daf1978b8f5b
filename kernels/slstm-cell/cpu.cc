// The scalar memory by its kernels' names: preactivations of its gates come from outside. cell.h tells what is computed.
#include "gradient.h"

namespace {

using namespace lab;
using slstm::kGates;
using slstm::kKept;

void SlstmCell(const Call& c) {
  const slstm::Sizes s(c);
  const float *gates[kGates] = {c.In<float>(0), c.In<float>(1), c.In<float>(2), c.In<float>(3)}, *r = c.In<float>(4), *bias = c.In<float>(5);
  float* y = c.Out<float>(0);
  const slstm::Keeping<float> kept{c.Out<float>(1), kKept * s.D, s.d, s.D};
  ParallelFor(s.Tasks(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const slstm::Task at(s, task, s.rows);
      slstm::Forward(s, at, r, bias, y, kept, {gates[0], gates[1], gates[2], gates[3]}, [&](int64_t t0, int64_t t1, float* to) {
        for (int64_t row = 0; row < at.rows; ++row)
          for (int64_t t = t0; t < t1; ++t)
            for (const float* gate : gates) to = std::copy_n(gate + at.At(s, row, t), s.d, to);
      });
    }
  });
}

void SlstmCellGrad(const Call& c) {
  const slstm::Sizes s(c);
  const float *r = c.In<float>(0), *y = c.In<float>(1), *dy = c.In<float>(3);
  float* slopes[kGates] = {c.Out<float>(0), c.Out<float>(1), c.Out<float>(2), c.Out<float>(3)};
  const slstm::Keeping<const float> kept{c.In<float>(2), kKept * s.D, s.d, s.D};
  const int64_t wide = kGates * s.d, partial = s.Weights() + kGates * s.D;  // of one tile
  Scratch own(std::max<int64_t>(1, s.tiles * partial));
  const auto ofWeights = [&](const slstm::Task& at) { return own + at.Tile() * partial + at.h * s.d * wide; };
  const auto ofBiases = [&](const slstm::Task& at) { return own + at.Tile() * partial + s.Weights() + at.h * wide; };
  slstm::AllBackward(
      s, r, y, kept, dy, {y},
      [&](const slstm::Task& at, int64_t t0, int64_t t1, const float* da) {
        for (int64_t row = 0; row < at.rows; ++row)
          for (int64_t t = t0; t < t1; ++t)
            for (float* slope : slopes) std::copy_n(da, s.d, slope + at.At(s, row, t)), da += s.d;
      },
      [&](const slstm::Task& at, const slstm::Sums& of) {
        of.Clear(s, s.d, ofWeights(at));
        of.Clear(s, 1, ofBiases(at));
      },
      [&](const slstm::Task& at, const slstm::Sums& of, int64_t t0, int64_t t1, const float* da, float* held) {
        slstm::AddWeights(s, at, of, t0, t1, y, da, held, ofWeights(at), ofBiases(at));
      });
  slstm::SumWeights(s, own, partial, c.Out<float>(4), c.Out<float>(5));
}

}  // namespace

LAB_KERNEL("SlstmCell", SlstmCell);
LAB_KERNEL("SlstmCellGrad", SlstmCellGrad);
