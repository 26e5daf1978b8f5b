// Linear maps of blocks of 4 by 4 channels, through vectors that hold several blocks.
#ifndef LAB_BLOCK_DIAGONAL_FOURS_H
#define LAB_BLOCK_DIAGONAL_FOURS_H

#include "../core/lab.h"
#include "../core/rows.h"

namespace lab {

constexpr int kTogether = 4;  // rows that share the loads of weights

// Lane i of each four neighbours, in all four.
template <int i>
LAB_INLINE F Spread(F a) {
#if LAB_AVX512
  return _mm512_permute_ps(a.v, i * 0x55);
#elif LAB_AVX2
  return _mm256_permute_ps(a.v, i * 0x55);
#elif LAB_SSE2
  return _mm_shuffle_ps(a.v, a.v, i * 0x55);
#elif LAB_NEON
  return vdupq_laneq_f32(a.v, i);
#else
  static_assert(W % 4 == 0, "a vector holds whole blocks");
  float t[W];
  Store(t, a);
  for (int lane = 0; lane < W; ++lane)
    if (lane % 4 != i) t[lane] = t[lane / 4 * 4 + i];
  return Load(t);
#endif
}

// by [4, 4 N]: by[i][4 n + o] = w[n][i][o], or w[n][o][i] where `turned`.
inline void Spreading(int64_t N, const float* w, bool turned, float* by) {
  for (int64_t n = 0; n < N; ++n)
    for (int64_t i = 0; i < 4; ++i)
      for (int64_t o = 0; o < 4; ++o) by[i * 4 * N + 4 * n + o] = w[n * 16 + (turned ? o * 4 + i : i * 4 + o)];
}

// The other way: w [N, 4, 4] from by [4, 4 N].
inline void UnSpread(int64_t N, const float* by, float* w) {
  for (int64_t i = 0; i < 4; ++i)
    for (int64_t j = 0; j < 4 * N; ++j) w[(j / 4 * 4 + i) * 4 + j % 4] = by[i * 4 * N + j];
}

// to = start + x spread over `by`, for rows r0 .. r0 + rows of C channels and the vector at j.
template <int rows>
LAB_INLINE void FoursAt(int64_t C, int64_t j, const float* x, const float* by, F start, float* to) {
  const int64_t left = C - j;
  const F b0 = LoadUpTo(by + j, left), b1 = LoadUpTo(by + C + j, left), b2 = LoadUpTo(by + 2 * C + j, left), b3 = LoadUpTo(by + 3 * C + j, left);
  for (int r = 0; r < rows; ++r) {
    const F a = LoadUpTo(x + r * C + j, left);
    StoreUpTo(to + r * C + j, Fma(Spread<3>(a), b3, Fma(Spread<2>(a), b2, Fma(Spread<1>(a), b1, Fma(Spread<0>(a), b0, start)))), left);
  }
}

inline void Fours(int64_t rows, int64_t C, const float* x, const float* by, const float* bias, float* to) {
  int64_t r = 0;
  for (; r + kTogether <= rows; r += kTogether)
    for (int64_t j = 0; j < C; j += W) FoursAt<kTogether>(C, j, x + r * C, by, bias ? LoadUpTo(bias + j, C - j) : F(0.0f), to + r * C);
  for (; r < rows; ++r)
    for (int64_t j = 0; j < C; j += W) FoursAt<1>(C, j, x + r * C, by, bias ? LoadUpTo(bias + j, C - j) : F(0.0f), to + r * C);
}

// sums [5, C]: x spread times dy over the rows, then the sum of dy.
template <int rows>
LAB_INLINE void SumFoursAt(int64_t C, int64_t j, const float* x, const float* dy, float* sums) {
  const int64_t left = C - j;
  F s[5];
  LAB_UNROLL for (int i = 0; i < 5; ++i) s[i] = LoadUpTo(sums + i * C + j, left);
  for (int r = 0; r < rows; ++r) {
    const F a = LoadUpTo(x + r * C + j, left), g = LoadUpTo(dy + r * C + j, left);
    s[0] = Fma(Spread<0>(a), g, s[0]);
    s[1] = Fma(Spread<1>(a), g, s[1]);
    s[2] = Fma(Spread<2>(a), g, s[2]);
    s[3] = Fma(Spread<3>(a), g, s[3]);
    s[4] += g;
  }
  LAB_UNROLL for (int i = 0; i < 5; ++i) StoreUpTo(sums + i * C + j, s[i], left);
}

}  // namespace lab

#endif
