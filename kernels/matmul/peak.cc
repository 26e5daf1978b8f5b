// The processor's own limit, to measure products against: multiply-adds between registers, as fast as they go.
#include "../core/gemm.h"

namespace lab {
namespace {

/// Sums that go on side by side: enough to hide an instruction's latency, few enough for the registers beside two factors.
#if LAB_AVX512 || LAB_NEON
constexpr int kChains = 16;
#else
constexpr int kChains = 12;
#endif

/// n: rounds, threads' worth of parts. A round of a part is 16 instructions `next(sum)`. out[part] keeps the sum, so that nothing is left out.
template <class Chain>
void Peak(const Call& c, Chain&& chain) {
  const int64_t turns = c.n[0] * 16 / kChains;
  float* out = c.Out<float>(0);
  ParallelFor(c.n[1], 1, [&](int64_t part, int64_t) {
    const auto next = chain(static_cast<float>(part + 1));
    F sum[kChains];
    for (int i = 0; i < kChains; ++i) sum[i] = F(static_cast<float>(i));
    for (int64_t r = 0; r < turns; ++r)
      for (int i = 0; i < kChains; ++i) sum[i] = next(sum[i]);
    F all(0.0f);
    for (int i = 0; i < kChains; ++i) all += sum[i];
    out[part] = Sum(all);
  });
}

/// Multiply-adds of W lanes.
void FmaPeak(const Call& c) {
  Peak(c, [](float part) {
    const F x(1.0f - part * 1e-7f), y(1e-7f);
    return [=](F sum) { return Fma(sum, x, y); };
  });
}
LAB_KERNEL("FmaPeak", FmaPeak);

#if defined(__AVX512BF16__)
/// Products of pairs of bfloat16: 2 W multiply-adds an instruction.
void PairPeak(const Call& c) {
  Peak(c, [](float part) {
    const F x = PairLanes(F(0.5f), F(part)), y = PairLanes(F(1e-7f), F(1e-8f));
    return [=](F sum) { return DotPairs(x, y, sum); };
  });
}
LAB_KERNEL("PairPeak", PairPeak);
#endif

}  // namespace
}  // namespace lab
