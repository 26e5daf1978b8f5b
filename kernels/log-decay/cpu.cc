// Logarithms of decays, max(floor, share ln σ(x)), and their slope by the result: share (1 - e^(y / share)) above the floor.
#include "../core/lab.h"
#include "../core/rows.h"
#include "../core/simd-math.h"

namespace {

using namespace lab;

constexpr int64_t kGrain = 4096;

void LogDecay(const Call& c) {
  const F share(static_cast<float>(c.f[0])), floor(static_cast<float>(c.f[1]));
  const float* x = c.In<float>(0);
  float* y = c.Out<float>(0);
  ParallelFor(c.n[0], kGrain, [&](int64_t begin, int64_t end) {
    // NaN passes: Max gives its second argument then.
    for (int64_t j = begin; j < end; j += W) StoreUpTo(y + j, Max(floor, Neg(share * Softplus(Neg(LoadUpTo(x + j, end - j))))), end - j);
  });
}

void LogDecayGrad(const Call& c) {
  const F share(static_cast<float>(c.f[0])), floor(static_cast<float>(c.f[1])), part(static_cast<float>(1.0 / c.f[0]));
  const float *y = c.In<float>(0), *dy = c.In<float>(1);
  float* dx = c.Out<float>(0);
  ParallelFor(c.n[0], kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t j = begin; j < end; j += W) {
      const F u = LoadUpTo(y + j, end - j);
      StoreUpTo(dx + j, Select(Le(u, floor), F(0.0f), Neg(LoadUpTo(dy + j, end - j) * share * Expm1(u * part))), end - j);
    }
  });
}

}  // namespace

LAB_KERNEL("LogDecay", LogDecay);
LAB_KERNEL("LogDecayGrad", LogDecayGrad);
