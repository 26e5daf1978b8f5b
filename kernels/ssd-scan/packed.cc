// Scans that read values and maps where a convolution has left them, side by side in one tensor, and write gradients alike: Mamba-2's, and
// Hydra's quasiseparable mixer, a late scan in each direction and a diagonal of its own.
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
  ssd::Forward{p.s, p.in, c.Out<float>(0), c.Out<float>(1), false}.Run(nullptr, nullptr);
}

void PackedScanGrad(const Call& c) {
  const Packed p(c, false, false, 2, 0, c.In<float>(0), c.In<float>(1), c.In<float>(2), c.In<float>(3));
  float* dMixed = c.Out<float>(0);
  std::vector<double> dA(p.Parts()), dD(p.Parts());
  ssd::Backward{p.s, p.in, c.In<float>(4), c.In<float>(5), dMixed, c.Out<float>(1), dMixed + p.b, dMixed + p.c, false, dA.data(), dD.data()}.Run(nullptr, nullptr);
  ssd::SumOfHeads(p.s, dA.data(), c.Out<float>(2));
  ssd::SumOfHeads(p.s, dD.data(), c.Out<float>(3));
}

void Quasiseparable(const Call& c) {
  const float *mixed = c.In<float>(0), *own = c.In<float>(4);
  float* y = c.Out<float>(0);
  const Packed ahead(c, false, true, 4, 0, mixed, c.In<float>(1), c.In<float>(3), nullptr);
  const Packed back(c, true, true, 4, 2, mixed, c.In<float>(2), c.In<float>(3), nullptr);
  const ssd::Sizes& s = ahead.s;
  ParallelFor(s.B * s.T, Grain(s.H * s.P), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t)
      for (int64_t h = 0; h < s.H; ++h) ssd::ScaleRows(1, s.P, own + t * s.H + h, {mixed + t * s.xStep + h * s.P, 0}, {y + (t * s.H + h) * s.P, 0});
  });
  ssd::Forward{ahead.s, ahead.in, y, c.Out<float>(1), true}.Run(nullptr, nullptr);
  ssd::Forward{back.s, back.in, y, c.Out<float>(2), true}.Run(nullptr, nullptr);
}

void QuasiseparableGrad(const Call& c) {
  const float *mixed = c.In<float>(0), *own = c.In<float>(4), *dy = c.In<float>(7);
  float *dMixed = c.Out<float>(0), *dOwn = c.Out<float>(4);
  const Packed ahead(c, false, true, 4, 0, mixed, c.In<float>(1), c.In<float>(3), nullptr);
  const Packed back(c, true, true, 4, 2, mixed, c.In<float>(2), c.In<float>(3), nullptr);
  const ssd::Sizes& s = ahead.s;
  ParallelFor(s.B * s.T, Grain(2 * s.H * s.P), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t)
      for (int64_t h = 0; h < s.H; ++h) {
        const float *slope = dy + (t * s.H + h) * s.P, *x = mixed + t * s.xStep + h * s.P;
        ssd::ScaleRows(1, s.P, own + t * s.H + h, {slope, 0}, {dMixed + t * s.xStep + h * s.P, 0});
        dOwn[t * s.H + h] = ssd::Dot(s.P, slope, x);
      }
  });
  std::vector<double> dA(2 * ahead.Parts());
  double* dABack = dA.data() + ahead.Parts();
  ssd::Backward{ahead.s, ahead.in, c.In<float>(5), dy, dMixed, c.Out<float>(1), dMixed + ahead.b, dMixed + ahead.c, true, dA.data(), nullptr}.Run(nullptr, nullptr);
  ssd::Backward{back.s, back.in, c.In<float>(6), dy, dMixed, c.Out<float>(2), dMixed + back.b, dMixed + back.c, true, dABack, nullptr}.Run(nullptr, nullptr);
  for (size_t i = 0; i < ahead.Parts(); ++i) dA[i] += dABack[i];
  ssd::SumOfHeads(s, dA.data(), c.Out<float>(3));
}

}  // namespace

LAB_KERNEL("PackedScan", PackedScan);
LAB_KERNEL("PackedScanGrad", PackedScanGrad);
LAB_KERNEL("Quasiseparable", Quasiseparable);
LAB_KERNEL("QuasiseparableGrad", QuasiseparableGrad);
