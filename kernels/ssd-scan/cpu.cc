// The state-space-dual scan by its kernels' names: from the first token to the last, forward and gradient.
#include "backward.h"
#include "forward.h"

namespace {

using namespace lab;

void SsdScan(const Call& c) {
  const ssd::Sizes s(c.n, false, false);
  const ssd::Inputs in{c.In<float>(0), c.In<float>(1), c.In<float>(2), c.In<float>(3), c.In<float>(4), c.In<float>(5)};
  ssd::Forward{s, in, c.Out<float>(0), c.Out<float>(2), false, c.In<float>(6) == nullptr}.Run(c.In<float>(6), c.Out<float>(1));
}

void SsdScanGrad(const Call& c) {
  const ssd::Sizes s(c.n, false, false);
  const ssd::Inputs in{c.In<float>(0), c.In<float>(1), c.In<float>(2), c.In<float>(3), c.In<float>(4), c.In<float>(5)};
  std::vector<double> parts(static_cast<size_t>(2 * s.B * s.H * s.chunks));
  double *dA = parts.data(), *dD = dA + s.B * s.H * s.chunks;
  const ssd::Backward back{s, in, c.In<float>(6), c.In<float>(7), c.Out<float>(0), c.Out<float>(1), c.Out<float>(3), c.Out<float>(4), false, false, dA, dD};
  back.Run(c.In<float>(8), c.Out<float>(6));
  ssd::SumOfHeads(s, dA, c.Out<float>(2));
  ssd::SumOfHeads(s, dD, c.Out<float>(5));
}

}  // namespace

LAB_KERNEL("SsdScan", SsdScan);
LAB_KERNEL("SsdScanGrad", SsdScanGrad);
