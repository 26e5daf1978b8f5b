// The processor's own limit, to measure products against: multiply-adds between registers, as fast as they go.
#include "../core/gemm.h"

namespace lab {
namespace {

/// n: rounds, threads' worth of parts. Each round of a part is 16 multiply-adds of W lanes. out[part] keeps the sum, so that nothing is left out.
void FmaPeak(const Call& c) {
  const int64_t rounds = c.n[0];
  float* out = c.Out<float>(0);
  ParallelFor(c.n[1], 1, [&](int64_t part, int64_t) {
    F sum[16];
    for (int i = 0; i < 16; ++i) sum[i] = F(static_cast<float>(i));
    const F x(1.0f - static_cast<float>(part + 1) * 1e-7f), y(1e-7f);
    for (int64_t r = 0; r < rounds; ++r)
      for (int i = 0; i < 16; ++i) sum[i] = Fma(sum[i], x, y);
    F all(0.0f);
    for (int i = 0; i < 16; ++i) all += sum[i];
    out[part] = Sum(all);
  });
}
LAB_KERNEL("FmaPeak", FmaPeak);

#if defined(__AVX512BF16__)
/// As FmaPeak, in products of pairs of bfloat16: 16 instructions of 2 W multiply-adds a round.
void PairPeak(const Call& c) {
  const int64_t rounds = c.n[0];
  float* out = c.Out<float>(0);
  ParallelFor(c.n[1], 1, [&](int64_t part, int64_t) {
    F sum[16];
    for (int i = 0; i < 16; ++i) sum[i] = F(static_cast<float>(i));
    const F x = PairLanes(F(0.5f), F(static_cast<float>(part + 1))), y = PairLanes(F(1e-7f), F(1e-8f));
    for (int64_t r = 0; r < rounds; ++r)
      for (int i = 0; i < 16; ++i) sum[i] = DotPairs(x, y, sum[i]);
    F all(0.0f);
    for (int i = 0; i < 16; ++i) all += sum[i];
    out[part] = Sum(all);
  });
}
LAB_KERNEL("PairPeak", PairPeak);
#endif

}  // namespace
}  // namespace lab
