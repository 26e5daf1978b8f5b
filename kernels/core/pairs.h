// Pairs of bfloat16 in the place of one float, for processors that multiply and add such pairs (AVX-512-BF16).
// Conversion is to nearest even; numbers below the normal range count as zero.
#ifndef LAB_PAIRS_H
#define LAB_PAIRS_H

#include "simd.h"

namespace lab {

#if defined(__AVX512BF16__)
constexpr bool kPairs = true;

/// Lane j: sum + a's pair times b's pair.
LAB_INLINE F DotPairs(F a, F b, F sum) {
  return _mm512_dpbf16_ps(sum.v, (__m512bh)_mm512_castps_si512(a.v), (__m512bh)_mm512_castps_si512(b.v));
}
/// Brings two vectors of bfloat16, one behind the other, to pairs.
LAB_INLINE __m512i PairOrder() {
  return _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
}
/// Lane j: (low[j], high[j]).
LAB_INLINE F PairLanes(F low, F high) {
  return _mm512_castsi512_ps(_mm512_permutexvar_epi16(PairOrder(), (__m512i)_mm512_cvtne2ps_pbh(high.v, low.v)));
}
/// 2 W neighbours in a row become W pairs: (first[0], first[1]) ... (second[W - 2], second[W - 1]).
LAB_INLINE F PairNeighbours(F first, F second) { return _mm512_castsi512_ps((__m512i)_mm512_cvtne2ps_pbh(second.v, first.v)); }
#else
constexpr bool kPairs = false;
LAB_INLINE F DotPairs(F, F, F sum) { return sum; }
LAB_INLINE F PairLanes(F low, F) { return low; }
LAB_INLINE F PairNeighbours(F first, F) { return first; }
#endif

/// to[0 : (count + 1) / 2] = the pairs of from[0 : count]; an odd last one pairs with zero.
LAB_INLINE void PairRow(const float* from, int64_t count, float* to) {
  int64_t i = 0;
  for (; i + 2 * W <= count; i += 2 * W, to += W) Store(to, PairNeighbours(Load(from + i), Load(from + i + W)));
  if (i == count) return;
  const int64_t left = count - i;
  const F second = left > W ? LoadPart(from + i + W, left - W) : F(0.0f);
  StorePart(to, PairNeighbours(left >= W ? Load(from + i) : LoadPart(from + i, left), second), (left + 1) / 2);
}

}  // namespace lab

#endif
