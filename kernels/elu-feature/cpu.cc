// The features of linear attention, scale (elu(x) + 1), and their slope: scale above 0, and below it the feature itself, so the lesser of the two.
#include "../core/lab.h"
#include "../core/rows.h"
#include "../core/simd-math.h"

namespace {

using namespace lab;

constexpr int64_t kGrain = 8192;

void EluFeature(const Call& c) {
  const F scale(static_cast<float>(c.f[0])), one(1.0f), zero(0.0f);
  const float* x = c.In<float>(0);
  float* y = c.Out<float>(0);
  ParallelFor(c.n[0], kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t j = begin; j < end; j += W) {
      const F u = LoadUpTo(x + j, end - j);
      // NaN passes: Min gives its second argument then.
      StoreUpTo(y + j, scale * Select(Lt(zero, u), u + one, Exp(Min(zero, u))), end - j);
    }
  });
}

void EluFeatureGrad(const Call& c) {
  const F scale(static_cast<float>(c.f[0]));
  const float *y = c.In<float>(0), *dy = c.In<float>(1);
  float* dx = c.Out<float>(0);
  ParallelFor(c.n[0], kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t j = begin; j < end; j += W) StoreUpTo(dx + j, LoadUpTo(dy + j, end - j) * Min(scale, LoadUpTo(y + j, end - j)), end - j);
  });
}

}  // namespace

LAB_KERNEL("EluFeature", EluFeature);
LAB_KERNEL("EluFeatureGrad", EluFeatureGrad);
