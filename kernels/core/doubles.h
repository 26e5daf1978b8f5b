// Vectors of doubles, D of DW lanes, and loops over matrices whose rows are padded to whole vectors.
#ifndef LAB_DOUBLES_H
#define LAB_DOUBLES_H

#include <type_traits>

#include "lab.h"

namespace lab {

#if LAB_AVX512
constexpr int DW = 8;
struct D {
  __m512d v;
  D() = default;
  LAB_INLINE D(__m512d x) : v(x) {}
  LAB_INLINE D(double x) : v(_mm512_set1_pd(x)) {}
};
LAB_INLINE D Load(const double* p) { return _mm512_loadu_pd(p); }
LAB_INLINE void Store(double* p, D a) { _mm512_storeu_pd(p, a.v); }
LAB_INLINE D operator+(D a, D b) { return _mm512_add_pd(a.v, b.v); }
LAB_INLINE D operator*(D a, D b) { return _mm512_mul_pd(a.v, b.v); }
LAB_INLINE D Fma(D a, D b, D c) { return _mm512_fmadd_pd(a.v, b.v, c.v); }
LAB_INLINE double Sum(D a) { return _mm512_reduce_add_pd(a.v); }
#elif LAB_AVX2
constexpr int DW = 4;
struct D {
  __m256d v;
  D() = default;
  LAB_INLINE D(__m256d x) : v(x) {}
  LAB_INLINE D(double x) : v(_mm256_set1_pd(x)) {}
};
LAB_INLINE D Load(const double* p) { return _mm256_loadu_pd(p); }
LAB_INLINE void Store(double* p, D a) { _mm256_storeu_pd(p, a.v); }
LAB_INLINE D operator+(D a, D b) { return _mm256_add_pd(a.v, b.v); }
LAB_INLINE D operator*(D a, D b) { return _mm256_mul_pd(a.v, b.v); }
LAB_INLINE D Fma(D a, D b, D c) { return _mm256_fmadd_pd(a.v, b.v, c.v); }
LAB_INLINE double Sum(D a) {
  const __m128d s = _mm_add_pd(_mm256_castpd256_pd128(a.v), _mm256_extractf128_pd(a.v, 1));
  return _mm_cvtsd_f64(_mm_add_sd(s, _mm_unpackhi_pd(s, s)));
}
#elif LAB_SSE2
constexpr int DW = 2;
struct D {
  __m128d v;
  D() = default;
  LAB_INLINE D(__m128d x) : v(x) {}
  LAB_INLINE D(double x) : v(_mm_set1_pd(x)) {}
};
LAB_INLINE D Load(const double* p) { return _mm_loadu_pd(p); }
LAB_INLINE void Store(double* p, D a) { _mm_storeu_pd(p, a.v); }
LAB_INLINE D operator+(D a, D b) { return _mm_add_pd(a.v, b.v); }
LAB_INLINE D operator*(D a, D b) { return _mm_mul_pd(a.v, b.v); }
LAB_INLINE D Fma(D a, D b, D c) { return a * b + c; }
LAB_INLINE double Sum(D a) { return _mm_cvtsd_f64(_mm_add_sd(a.v, _mm_unpackhi_pd(a.v, a.v))); }
#elif LAB_NEON && (defined(__aarch64__) || defined(_M_ARM64))
constexpr int DW = 2;
struct D {
  float64x2_t v;
  D() = default;
  LAB_INLINE D(float64x2_t x) : v(x) {}
  LAB_INLINE D(double x) : v(vdupq_n_f64(x)) {}
};
LAB_INLINE D Load(const double* p) { return vld1q_f64(p); }
LAB_INLINE void Store(double* p, D a) { vst1q_f64(p, a.v); }
LAB_INLINE D operator+(D a, D b) { return vaddq_f64(a.v, b.v); }
LAB_INLINE D operator*(D a, D b) { return vmulq_f64(a.v, b.v); }
LAB_INLINE D Fma(D a, D b, D c) { return vfmaq_f64(c.v, a.v, b.v); }
LAB_INLINE double Sum(D a) { return vaddvq_f64(a.v); }
#else
constexpr int DW = 1;
struct D {
  double v;
  D() = default;
  D(double x) : v(x) {}
};
LAB_INLINE D Load(const double* p) { return *p; }
LAB_INLINE void Store(double* p, D a) { *p = a.v; }
LAB_INLINE D operator+(D a, D b) { return a.v + b.v; }
LAB_INLINE D operator*(D a, D b) { return a.v * b.v; }
LAB_INLINE D Fma(D a, D b, D c) { return a.v * b.v + c.v; }
LAB_INLINE double Sum(D a) { return a.v; }
#endif

/// n rounded up to whole vectors.
LAB_INLINE int64_t Padded(int64_t n) { return (n + DW - 1) / DW * DW; }

/// to[j] = Σ x[i] M[i][j] for i < rows and j < n, M [rows, n], n a whole number of vectors.
inline void Along(int64_t rows, int64_t n, const double* M, const double* x, double* to) {
  constexpr int U = 4;  // sums beside each other, of which each takes every fourth row
  int64_t j = 0;
  const auto strip = [&](auto vectors) {
    constexpr int V = decltype(vectors)::value;
    D sum[U][V];
    LAB_UNROLL for (int u = 0; u < U; ++u)
      LAB_UNROLL for (int v = 0; v < V; ++v) sum[u][v] = D(0.0);
    int64_t i = 0;
    for (; i + U <= rows; i += U)
      LAB_UNROLL for (int u = 0; u < U; ++u)
        LAB_UNROLL for (int v = 0; v < V; ++v) sum[u][v] = Fma(D(x[i + u]), Load(M + (i + u) * n + j + v * DW), sum[u][v]);
    for (; i < rows; ++i)
      LAB_UNROLL for (int v = 0; v < V; ++v) sum[0][v] = Fma(D(x[i]), Load(M + i * n + j + v * DW), sum[0][v]);
    LAB_UNROLL for (int v = 0; v < V; ++v) Store(to + j + v * DW, (sum[0][v] + sum[1][v]) + (sum[2][v] + sum[3][v]));
  };
  for (; j + 2 * DW <= n; j += 2 * DW) strip(std::integral_constant<int, 2>{});
  for (; j < n; j += DW) strip(std::integral_constant<int, 1>{});
}

/// Σ a[j] b[j] over whole vectors.
LAB_INLINE double Dot(int64_t n, const double* a, const double* b) {
  D s0(0.0), s1(0.0);
  int64_t j = 0;
  for (; j + 2 * DW <= n; j += 2 * DW) {
    s0 = Fma(Load(a + j), Load(b + j), s0);
    s1 = Fma(Load(a + j + DW), Load(b + j + DW), s1);
  }
  for (; j < n; j += DW) s0 = Fma(Load(a + j), Load(b + j), s0);
  return Sum(s0 + s1);
}

/// The sums of DW vectors, a lane each.
LAB_INLINE D SumEach(const D* a) {
#if LAB_AVX512
  __m512d pair[4], quad[2];
  LAB_UNROLL for (int i = 0; i < 4; ++i)
    pair[i] = _mm512_add_pd(_mm512_unpacklo_pd(a[2 * i].v, a[2 * i + 1].v), _mm512_unpackhi_pd(a[2 * i].v, a[2 * i + 1].v));
  LAB_UNROLL for (int i = 0; i < 2; ++i)
    quad[i] = _mm512_add_pd(_mm512_shuffle_f64x2(pair[2 * i], pair[2 * i + 1], 0x88), _mm512_shuffle_f64x2(pair[2 * i], pair[2 * i + 1], 0xdd));
  return _mm512_add_pd(_mm512_shuffle_f64x2(quad[0], quad[1], 0x88), _mm512_shuffle_f64x2(quad[0], quad[1], 0xdd));
#elif LAB_AVX2
  const __m256d low = _mm256_hadd_pd(a[0].v, a[1].v), high = _mm256_hadd_pd(a[2].v, a[3].v);
  return _mm256_add_pd(_mm256_permute2f128_pd(low, high, 0x21), _mm256_blend_pd(low, high, 0xc));
#else
  double sums[DW];
  for (int i = 0; i < DW; ++i) sums[i] = Sum(a[i]);
  return Load(sums);
#endif
}

/// to[i] = Σ M[i][j] x[j] for i < rows and j < n, M [rows, n], n a whole number of vectors.
inline void Across(int64_t rows, int64_t n, const double* M, const double* x, double* to) {
  int64_t i = 0;
  for (; i + DW <= rows; i += DW) {
    D sum[DW];
    LAB_UNROLL for (int k = 0; k < DW; ++k) sum[k] = D(0.0);
    for (int64_t j = 0; j < n; j += DW) {
      const D xv = Load(x + j);
      LAB_UNROLL for (int k = 0; k < DW; ++k) sum[k] = Fma(Load(M + (i + k) * n + j), xv, sum[k]);
    }
    Store(to + i, SumEach(sum));
  }
  for (; i < rows; ++i) to[i] = Dot(n, M + i * n, x);
}

/// M[i][j] += a[i] b[j].
inline void AddOuter(int64_t rows, int64_t n, const double* a, const double* b, double* M) {
  for (int64_t i = 0; i < rows; ++i) {
    const D factor(a[i]);
    for (int64_t j = 0; j < n; j += DW) Store(M + i * n + j, Fma(factor, Load(b + j), Load(M + i * n + j)));
  }
}

/// to = x a + y b over n doubles, a whole number of vectors; `to` may be a or b.
inline void Blend(int64_t n, double x, const double* a, double y, const double* b, double* to) {
  for (int64_t j = 0; j < n; j += DW) Store(to + j, Fma(D(x), Load(a + j), D(y) * Load(b + j)));
}

/// DW rows of DW numbers turned over.
LAB_INLINE void TransposeSquare(const double* from, int64_t fromLd, double* to, int64_t toLd) {
#if LAB_AVX512
  __m512d row[8], pair[8], quad[8];
  for (int i = 0; i < 8; ++i) row[i] = _mm512_loadu_pd(from + i * fromLd);
  for (int i = 0; i < 8; i += 2) {
    pair[i] = _mm512_unpacklo_pd(row[i], row[i + 1]);
    pair[i + 1] = _mm512_unpackhi_pd(row[i], row[i + 1]);
  }
  // Of each pair of pairs: quarters 0 and 2, then 1 and 3, of both.
  for (int i = 0; i < 8; i += 4)
    for (int k = 0; k < 2; ++k) {
      quad[i + k] = _mm512_shuffle_f64x2(pair[i + k], pair[i + k + 2], 0x88);
      quad[i + k + 2] = _mm512_shuffle_f64x2(pair[i + k], pair[i + k + 2], 0xdd);
    }
  for (int k = 0; k < 4; ++k) {
    // Column c of `from` is 2 q + h of quarter q: h = k % 2, q = k / 2 here and two quarters on.
    _mm512_storeu_pd(to + k * toLd, _mm512_shuffle_f64x2(quad[k], quad[k + 4], 0x88));
    _mm512_storeu_pd(to + (k + 4) * toLd, _mm512_shuffle_f64x2(quad[k], quad[k + 4], 0xdd));
  }
#elif LAB_AVX2
  const __m256d a = _mm256_loadu_pd(from), b = _mm256_loadu_pd(from + fromLd), c = _mm256_loadu_pd(from + 2 * fromLd), d = _mm256_loadu_pd(from + 3 * fromLd);
  const __m256d ab0 = _mm256_unpacklo_pd(a, b), ab1 = _mm256_unpackhi_pd(a, b), cd0 = _mm256_unpacklo_pd(c, d), cd1 = _mm256_unpackhi_pd(c, d);
  _mm256_storeu_pd(to, _mm256_permute2f128_pd(ab0, cd0, 0x20));
  _mm256_storeu_pd(to + toLd, _mm256_permute2f128_pd(ab1, cd1, 0x20));
  _mm256_storeu_pd(to + 2 * toLd, _mm256_permute2f128_pd(ab0, cd0, 0x31));
  _mm256_storeu_pd(to + 3 * toLd, _mm256_permute2f128_pd(ab1, cd1, 0x31));
#else
  for (int i = 0; i < DW; ++i)
    for (int j = 0; j < DW; ++j) to[j * toLd + i] = from[i * fromLd + j];
#endif
}

/// to [columns, ldTo] = from [rows, ldFrom] transposed; columns: whole vectors, ldTo: at least rows, the rest of which stays as it is.
inline void Transpose(int64_t rows, int64_t columns, const double* from, int64_t ldFrom, double* to, int64_t ldTo) {
  int64_t i = 0;
  for (; i + DW <= rows; i += DW)
    for (int64_t j = 0; j < columns; j += DW) TransposeSquare(from + i * ldFrom + j, ldFrom, to + j * ldTo + i, ldTo);
  for (; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) to[j * ldTo + i] = from[i * ldFrom + j];
}

/// e^x without branches, so that loops over it vectorise: x = n ln 2 + r, a Taylor polynomial of r, times 2^n.
LAB_INLINE double ExpDouble(double x) {
  const double most = 700.0;
  const double y = x > most ? most : x < -most ? -most : x;
  const double magic = 6755399441055744.0;  // 1.5 2^52: the sum's low bits are the rounded integer
  const double shifted = y * 1.4426950408889634 + magic;
  const double n = shifted - magic;
  const double r = (y - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10;
  double p = 1.0 / 6227020800.0;
  p = p * r + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  uint64_t bits;
  std::memcpy(&bits, &shifted, 8);
  bits = (bits + 1023) << 52;
  double scale;
  std::memcpy(&scale, &bits, 8);
  return p * scale;
}

/// to[i] = 1 / (1 + e^-x[i]).
inline void Sigmoids(int64_t n, const double* LAB_RESTRICT x, double* LAB_RESTRICT to) {
  for (int64_t i = 0; i < n; ++i) to[i] = 1.0 / (1.0 + ExpDouble(-x[i]));
}

}  // namespace lab

#endif
