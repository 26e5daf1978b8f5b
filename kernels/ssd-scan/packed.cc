// Scans that read values and maps where a convolution has left them, side by side in one tensor, and write gradients alike: Mamba-2's, and
// Hydra's quasiseparable mixer, a late scan in each direction and a diagonal of its own.
#include "../core/narrow.h"
#include "backward.h"
#include "forward.h"

namespace {

using namespace lab;

// mixed [B, T, H P + maps G N]: the values, then the maps.
struct Packed {
  ssd::Sizes s;
  ssd::Inputs in;
  int64_t b, c;  // where the maps of this direction begin
  Packed(const Call& call, bool backwards, bool late, int64_t maps, int64_t first, const float* mixed, const float* dt, const float* A, const float* D)
      : s(call.n, backwards, late), b(s.H * s.P + first * s.G * s.N), c(b + s.G * s.N) {
    s.xStep = s.mapStep = s.H * s.P + maps * s.G * s.N;
    in = {mixed, dt, A, mixed + b, mixed + c, D};
  }
  size_t Parts() const { return static_cast<size_t>(s.B * s.H * s.chunks); }
};

void PackedScan(const Call& c) {
  const Packed p(c, false, false, 2, 0, c.In<float>(0), c.In<float>(1), c.In<float>(2), c.In<float>(3));
  ssd::Forward{p.s, p.in, c.Out<float>(0), c.Out<float>(1), false, true}.Run(nullptr, nullptr);
}

void PackedScanGrad(const Call& c) {
  const Packed p(c, false, false, 2, 0, c.In<float>(0), c.In<float>(1), c.In<float>(2), c.In<float>(3));
  float* dMixed = c.Out<float>(0);
  std::vector<double> dA(p.Parts()), dD(p.Parts());
  ssd::Backward{p.s, p.in, c.In<float>(4), c.In<float>(5), dMixed, c.Out<float>(1), dMixed + p.b, dMixed + p.c, false, true, dA.data(), dD.data()}.Run(nullptr, nullptr);
  ssd::SumOfHeads(p.s, dA.data(), c.Out<float>(2));
  ssd::SumOfHeads(p.s, dD.data(), c.Out<float>(3));
}

// A scan in each direction and an own weight of each token and head, own[t] = D + x[t] · w_D.
struct Both {
  const float* mixed;
  Packed ahead, back;
  explicit Both(const Call& c)
      : mixed(c.In<float>(0)), ahead(c, false, true, 4, 0, mixed, c.In<float>(1), c.In<float>(3), nullptr),
        back(c, true, true, 4, 2, mixed, c.In<float>(2), c.In<float>(3), nullptr) {}
  const ssd::Sizes& Sizes() const { return ahead.s; }
  Narrow Maps(const Call& c) const { return {1, Sizes().H * Sizes().P, Sizes().H, {c.In<float>(5)}}; }
  // Calls with(t, h) for the tokens and heads of a task.
  template <class With>
  void Each(const ssd::Task& on, With&& with) const {
    const ssd::Sizes& s = Sizes();
    for (int64_t t = on.b * s.T; t < (on.b + 1) * s.T; ++t)
      for (int64_t h = on.h0; h < on.h1; ++h) with(t, h);
  }
};

void Quasiseparable(const Call& c) {
  const Both q(c);
  const ssd::Sizes& s = q.Sizes();
  const Narrow maps = q.Maps(c);
  const float* D = c.In<float>(4);
  float *y = c.Out<float>(0), *own = c.Out<float>(3);
  NarrowMap(maps, s.B * s.T, &q.mixed, s.xStep, [&](int64_t t, int64_t h, float sum) { own[t * s.H + h] = D[h] + sum; });
  const ssd::Forward ahead{q.ahead.s, q.ahead.in, y, c.Out<float>(1), true, true}, back{q.back.s, q.back.in, y, c.Out<float>(2), true, true};
  const auto begin_ = [&](const ssd::Task& on) {
    q.Each(on, [&](int64_t t, int64_t h) { ssd::ScaleRows(1, s.P, own + t * s.H + h, {q.mixed + t * s.xStep + h * s.P, 0}, {y + (t * s.H + h) * s.P, 0}); });
  };
  if (s.SideBySide()) {
    ParallelFor(s.Tasks(), 1, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) begin_(ssd::Task(s, task));
    });
    ahead.Run(nullptr, nullptr);
    back.Run(nullptr, nullptr);
    return;
  }
  // Both directions of a task in turn, so that the second finds in cache what the first has read and written.
  ParallelFor(s.Tasks(), 1, [&](int64_t begin, int64_t end) {
    ssd::ForwardRoom room(s);
    for (int64_t task = begin; task < end; ++task) {
      const ssd::Task on(s, task);
      begin_(on);
      for (const ssd::Forward& direction : {ahead, back}) {
        for (int64_t h = on.h0; s.chunks > 0 && h < on.h1; ++h) std::fill_n(direction.StateOf(on, h, 0), s.State(), 0.0f);
        direction.OneByOne(on, room, [](int64_t) -> float* { return nullptr; });
      }
    }
  });
}

void QuasiseparableGrad(const Call& c) {
  const Both q(c);
  const ssd::Sizes& s = q.Sizes();
  const Narrow maps = q.Maps(c);
  const float *own = c.In<float>(8), *dy = c.In<float>(9);
  float* dMixed = c.Out<float>(0);
  Scratch dOwn(std::max<int64_t>(1, s.B * s.T * s.H));
  std::vector<double> dA(2 * q.ahead.Parts());
  double* dABack = dA.data() + q.ahead.Parts();
  const ssd::Backward ahead{q.ahead.s, q.ahead.in, c.In<float>(6), dy, dMixed, c.Out<float>(1), dMixed + q.ahead.b, dMixed + q.ahead.c, true, true, dA.data(), nullptr};
  const ssd::Backward back{q.back.s, q.back.in, c.In<float>(7), dy, dMixed, c.Out<float>(2), dMixed + q.back.b, dMixed + q.back.c, true, true, dABack, nullptr};
  const auto begin_ = [&](const ssd::Task& on) {
    q.Each(on, [&](int64_t t, int64_t h) {
      const float *slope = dy + (t * s.H + h) * s.P, *x = q.mixed + t * s.xStep + h * s.P;
      ssd::ScaleRows(1, s.P, own + t * s.H + h, {slope, 0}, {dMixed + t * s.xStep + h * s.P, 0});
      dOwn[t * s.H + h] = ssd::Dot(s.P, slope, x);
    });
  };
  if (s.SideBySide()) {
    ParallelFor(s.Tasks(), 1, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) begin_(ssd::Task(s, task));
    });
    ahead.Run(nullptr, nullptr);
    back.Run(nullptr, nullptr);
  } else {
    const int64_t size = ahead.OwnMaps();
    Scratch slices(4 * size);  // of B and C ahead, then back
    ParallelFor(s.Tasks(), 1, [&](int64_t begin, int64_t end) {
      Scratch dST((s.perGroup / s.slices + 1) * s.State());
      ssd::BackwardRoom room(s);
      for (int64_t task = begin; task < end; ++task) {
        const ssd::Task on(s, task);
        begin_(on);
        float* maps_ = slices;
        for (const ssd::Backward& direction : {ahead, back}) {
          std::fill_n(dST.data(), (on.h1 - on.h0) * s.State(), 0.0f);
          direction.OneByOne(on, room, dST, maps_, maps_ + size);
          maps_ += 2 * size;
        }
      }
    });
    ahead.SumSlices(slices, slices + size);
    back.SumSlices(slices + 2 * size, slices + 3 * size);
  }
  for (size_t i = 0; i < q.ahead.Parts(); ++i) dA[i] += dABack[i];
  ssd::SumOfHeads(s, dA.data(), c.Out<float>(3));
  const int64_t inner = s.H * s.P;
  Scratch sums(std::max<int64_t>(1, s.H * (inner + 1)));
  NarrowGrad(maps, s.B * s.T, &q.mixed, &dMixed, s.xStep, [&](int64_t t, int64_t h) { return dOwn[t * s.H + h]; }, sums);
  std::copy_n(sums + s.H * inner, s.H, c.Out<float>(4));
  Turn(s.H, inner, {sums, inner}, {c.Out<float>(5), s.H});
}

}  // namespace

LAB_KERNEL("PackedScan", PackedScan);
LAB_KERNEL("PackedScanGrad", PackedScanGrad);
LAB_KERNEL("Quasiseparable", Quasiseparable);
LAB_KERNEL("QuasiseparableGrad", QuasiseparableGrad);
