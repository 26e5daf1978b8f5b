// The sums of as many vectors as a vector has lanes, at once.
#ifndef LAB_SUMS_H
#define LAB_SUMS_H

#include "simd.h"

namespace lab {

#if LAB_AVX512
/// In each quarter of the result the sums of four numbers of a, b, c and d.
LAB_INLINE __m512 SumQuarters(F a, F b, F c, F d) {
  const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a.v, b.v), _mm512_unpackhi_ps(a.v, b.v));
  const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c.v, d.v), _mm512_unpackhi_ps(c.v, d.v));
  const __m512d x = _mm512_castps_pd(ab), y = _mm512_castps_pd(cd);
  return _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(x, y)), _mm512_castpd_ps(_mm512_unpackhi_pd(x, y)));
}
LAB_INLINE __m512 JoinQuarters(__m512 a, __m512 b) { return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd)); }
#endif

/// Lane i of the result is the sum of v[i], i < W.
LAB_INLINE F SumEach(const F* v) {
#if LAB_AVX512
  return JoinQuarters(JoinQuarters(SumQuarters(v[0], v[1], v[2], v[3]), SumQuarters(v[4], v[5], v[6], v[7])),
                      JoinQuarters(SumQuarters(v[8], v[9], v[10], v[11]), SumQuarters(v[12], v[13], v[14], v[15])));
#elif LAB_AVX2
  const __m256 low = _mm256_hadd_ps(_mm256_hadd_ps(v[0].v, v[1].v), _mm256_hadd_ps(v[2].v, v[3].v));
  const __m256 high = _mm256_hadd_ps(_mm256_hadd_ps(v[4].v, v[5].v), _mm256_hadd_ps(v[6].v, v[7].v));
  return _mm256_add_ps(_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31));
#elif LAB_NEON
  return vpaddq_f32(vpaddq_f32(v[0].v, v[1].v), vpaddq_f32(v[2].v, v[3].v));
#else
  float sums[W];
  for (int i = 0; i < W; ++i) sums[i] = Sum(v[i]);
  return Load(sums);
#endif
}

}  // namespace lab

#endif
