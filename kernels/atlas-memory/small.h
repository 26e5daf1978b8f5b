// Products of small matrices whose rows are padded to whole vectors, in floats and in doubles alike, and matrices beside their transposes.
#ifndef LAB_ATLAS_SMALL_H
#define LAB_ATLAS_SMALL_H

#include <algorithm>

#include "../core/doubles.h"
#include "../core/turn.h"

namespace lab::atlas {

template <class T>
struct Lanes;
template <>
struct Lanes<float> {
  using V = F;
  static constexpr int64_t N = W;
};
template <>
struct Lanes<double> {
  using V = D;
  static constexpr int64_t N = DW;
};

/// n rounded up to whole vectors of T.
template <class T>
constexpr int64_t Whole(int64_t n) {
  return (n + Lanes<T>::N - 1) / Lanes<T>::N * Lanes<T>::N;
}

/// A B of a sum of products: A(i, k) = a[i row + k step], B [k, ld].
template <class T>
struct Term {
  const T* a;
  int64_t row, step;
  const T* b;
  int64_t ld, k;
};
/// What a sum is added to: x times the sum + y times `other`, which lies as C does. Without `other` it is the sum alone.
template <class T>
struct Onto {
  const T* other = nullptr;
  T x = 1, y = 1;
};

// Rows that a strip of one vector and of two keep in registers.
#if LAB_AVX512 || LAB_NEON
constexpr int kTallStrip = 16, kWideStrip = 8;
#else
constexpr int kTallStrip = 8, kWideStrip = 4;
#endif

/// How the factors lie, where that is known when it is compiled: rows LD apart (0: as the terms say), and of term t the left one is turned over
/// (step LD along k) where bit t of Turned is set.
template <int LD = 0, int Turned = 0>
struct Lie {
  static constexpr int ld = LD, turned = Turned;
};

template <class T, int R, int C, int N, class L>
LAB_INLINE void SmallSum(typename Lanes<T>::V (&sum)[R][C], const Term<T>& t, int64_t i, int64_t j) {
  using V = typename Lanes<T>::V;
  constexpr bool turned = (L::turned >> N & 1) != 0;
  const int64_t row = L::ld == 0 ? t.row : turned ? 1 : L::ld, step = L::ld == 0 ? t.step : turned ? L::ld : 1, ld = L::ld == 0 ? t.ld : L::ld;
  const T *a = t.a + i * row, *b = t.b + j, *end = b + t.k * ld;
  for (; b != end; b += ld, a += step) {
    V bv[C];
    LAB_UNROLL for (int v = 0; v < C; ++v) bv[v] = Load(b + v * Lanes<T>::N);
    LAB_UNROLL for (int r = 0; r < R; ++r) {
      const V av(a[r * row]);
      LAB_UNROLL for (int v = 0; v < C; ++v) sum[r][v] = Fma(av, bv[v], sum[r][v]);
    }
  }
}

template <class T, int R, int C, int Terms, class L>
LAB_INLINE void SmallStrip(int64_t i, int64_t j, const Term<T>* terms, T* c, int64_t ldOfC, const Onto<T>& onto) {
  using V = typename Lanes<T>::V;
  constexpr int64_t N = Lanes<T>::N;
  const int64_t ldc = L::ld == 0 ? ldOfC : L::ld;
  V sum[R][C];
  LAB_UNROLL for (int r = 0; r < R; ++r)
    LAB_UNROLL for (int v = 0; v < C; ++v) sum[r][v] = V(T(0));
  SmallSum<T, R, C, 0, L>(sum, terms[0], i, j);
  if constexpr (Terms > 1) SmallSum<T, R, C, 1, L>(sum, terms[1], i, j);
  T* to = c + i * ldc + j;
  if (onto.other) {
    const T* other = onto.other + i * ldc + j;
    const V x(onto.x), y(onto.y);
    LAB_UNROLL for (int r = 0; r < R; ++r)
      LAB_UNROLL for (int v = 0; v < C; ++v) sum[r][v] = Fma(x, sum[r][v], y * Load(other + r * ldc + v * N));
  }
  LAB_UNROLL for (int r = 0; r < R; ++r)
    LAB_UNROLL for (int v = 0; v < C; ++v) Store(to + r * ldc + v * N, sum[r][v]);
}

template <class T, int R, int C, int Terms, class L>
LAB_INLINE void SmallRows(int64_t i, int64_t m, int64_t j, const Term<T>* terms, T* c, int64_t ldc, const Onto<T>& onto) {
  for (; i + R <= m; i += R) SmallStrip<T, R, C, Terms, L>(i, j, terms, c, ldc, onto);
  if constexpr (R > 1) SmallRows<T, R / 2, C, Terms, L>(i, m, j, terms, c, ldc, onto);
}

/// C [m, n] = the sum of the terms' products; n is a whole number of vectors. C may be `onto.other`, but no factor.
template <class T, int Terms, class L = Lie<>>
void Multiply(int64_t m, int64_t n, const Term<T> (&terms)[Terms], T* c, int64_t ldc, Onto<T> onto = {}) {
  constexpr int64_t N = Lanes<T>::N;
  int64_t j = 0;
  for (; j + 2 * N <= n; j += 2 * N) SmallRows<T, kWideStrip, 2, Terms, L>(0, m, j, terms, c, ldc, onto);
  for (; j < n; j += N) SmallRows<T, kTallStrip, 1, Terms, L>(0, m, j, terms, c, ldc, onto);
}

// Numbers on a side of a square that is turned over in registers: a whole number of vectors.
template <class T>
constexpr int kSide = static_cast<int>(Lanes<T>::N);
template <class T>
struct Square {
  typename Lanes<T>::V row[kSide<T>];
};

template <class T>
LAB_INLINE Square<T> LoadSquare(const T* from, int64_t ld) {
  Square<T> a;
  LAB_UNROLL for (int i = 0; i < kSide<T>; ++i) a.row[i] = Load(from + i * ld);
  return a;
}
template <class T>
LAB_INLINE void StoreSquare(T* to, int64_t ld, const Square<T>& a) {
  LAB_UNROLL for (int i = 0; i < kSide<T>; ++i) Store(to + i * ld, a.row[i]);
}
// B x B numbers turned over in memory.
LAB_INLINE void TurnMemory(const double* from, double* to) { TransposeSquare(from, DW, to, DW); }
LAB_INLINE void TurnMemory(const float* from, float* to) {
#if LAB_AVX512
  TurnBlock(from, W, to, W);
#else
  Transpose(W, W, Rows{from, W}, Out{to, W});
#endif
}
#if LAB_AVX512
LAB_INLINE Square<double> Turned(const Square<double>& a) {
  Square<double> b;
  __m512d pair[8], quad[8];
  LAB_UNROLL for (int i = 0; i < 8; i += 2) {
    pair[i] = _mm512_unpacklo_pd(a.row[i].v, a.row[i + 1].v);
    pair[i + 1] = _mm512_unpackhi_pd(a.row[i].v, a.row[i + 1].v);
  }
  // Of each pair of pairs: quarters 0 and 2, then 1 and 3, of both.
  LAB_UNROLL for (int i = 0; i < 8; i += 4)
    LAB_UNROLL for (int k = 0; k < 2; ++k) {
      quad[i + k] = _mm512_shuffle_f64x2(pair[i + k], pair[i + k + 2], 0x88);
      quad[i + k + 2] = _mm512_shuffle_f64x2(pair[i + k], pair[i + k + 2], 0xdd);
    }
  LAB_UNROLL for (int k = 0; k < 4; ++k) {
    b.row[k] = _mm512_shuffle_f64x2(quad[k], quad[k + 4], 0x88);
    b.row[k + 4] = _mm512_shuffle_f64x2(quad[k], quad[k + 4], 0xdd);
  }
  return b;
}
#endif
template <class T>
LAB_INLINE Square<T> Turned(const Square<T>& a) {
  alignas(64) T from[kSide<T> * kSide<T>], to[kSide<T> * kSide<T>];
  StoreSquare(from, kSide<T>, a);
  TurnMemory(from, to);
  return LoadSquare(to, kSide<T>);
}

/// to = x (M + Mᵀ) + y `other`, all [n, n] with n a whole number of vectors; `to` may be M or `other`.
template <class T>
void AddTurned(int64_t n, const T* M, T x, T y, const T* other, T* to) {
  using V = typename Lanes<T>::V;
  constexpr int B = kSide<T>;
  for (int64_t i = 0; i < n; i += B)
    for (int64_t j = 0; j <= i; j += B) {
      Square<T> sum = Turned(LoadSquare(M + j * n + i, n));
      LAB_UNROLL for (int k = 0; k < B; ++k)
        sum.row[k] = V(x) * (sum.row[k] + Load(M + (i + k) * n + j));
      if (other)
        LAB_UNROLL for (int k = 0; k < B; ++k) sum.row[k] = Fma(V(y), Load(other + (i + k) * n + j), sum.row[k]);
      StoreSquare(to + i * n + j, n, sum);
      if (j < i) StoreSquare(to + j * n + i, n, Turned(sum));
    }
}

/// C = A B [n, n] of which it is known that it is its own transpose, n a whole number of vectors; `onto.other`, too, is its own transpose.
template <class T, class L>
void MultiplySymmetric(int64_t n, const Term<T> (&terms)[1], T* c, const Onto<T>& onto = {}) {
  constexpr int B = kSide<T>;
  if constexpr (B > kWideStrip) {
    Multiply<T, 1, L>(n, n, terms, c, n, onto);
  } else {
    for (int64_t i = 0; i < n; i += B) {
      int64_t j = 0;
      for (; j + 2 * B <= i + B; j += 2 * B) SmallRows<T, kWideStrip, 2, 1, L>(i, i + B, j, terms, c, n, onto);
      if (j <= i) SmallRows<T, kWideStrip, 1, 1, L>(i, i + B, j, terms, c, n, onto);
    }
    for (int64_t i = B; i < n; i += B)
      for (int64_t j = 0; j < i; j += B) StoreSquare(c + j * n + i, n, Turned(LoadSquare(c + i * n + j, n)));
  }
}

/// to [rows, toLd] = from [rows, fromLd] in the other type, the first n numbers of each row and zeros behind them.
template <class A, class B>
void Convert(int64_t rows, int64_t n, const A* LAB_RESTRICT from, int64_t fromLd, B* LAB_RESTRICT to, int64_t toLd) {
  if (fromLd == toLd) {
    for (int64_t i = 0; i < rows * toLd; ++i) to[i] = static_cast<B>(from[i]);
    return;
  }
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < n; ++j) to[i * toLd + j] = static_cast<B>(from[i * fromLd + j]);
    std::fill(to + i * toLd + n, to + (i + 1) * toLd, B(0));
  }
}

}  // namespace lab::atlas

#endif
