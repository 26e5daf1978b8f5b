// Products of small matrices that already lie in cache (attention tiles, scan chunks): nothing is packed, and triangles can be left out.
#ifndef LAB_TILE_H
#define LAB_TILE_H

#include "lab.h"
#include "tiles.h"

namespace lab {

/// A of C = A B, read one number at a time, so that it may lie in any order: A(i, k) = p[i * row + k * step].
struct Factor {
  const float* p;
  int64_t row, step;
};
/// B or C: rows of contiguous numbers, `ld` apart.
struct Rows {
  const float* p;
  int64_t ld;
};
struct Out {
  float* p;
  int64_t ld;
};
/// The part of a strip's work that is not known to be zero: sum over k0 <= k < k1, columns j0 <= j < j1. j0 is a multiple of W.
struct Span {
  int64_t k0, k1, j0, j1;
};

// Vectors and rows that one strip keeps in registers: 32 registers hold 6 x 4 (and 8 x 3, 12 x 2, 12 x 1) sums, 16 hold 6 x 2 and 12 x 1.
#if LAB_AVX512 || LAB_NEON
constexpr int kStripVectors = 4;
constexpr int kStripRows[kStripVectors] = {12, 12, 8, 6};
#else
constexpr int kStripVectors = 2;
constexpr int kStripRows[kStripVectors] = {12, 6};
#endif

/// R rows and V vectors of C (+)= A B. `last` lanes of the last vector count.
using StripFunction = void (*)(int64_t k, Factor a, Rows b, Out c, int64_t last, bool add);

/// The strip of `rows` rows (up to kStripRows[vectors - 1]) and `vectors` vectors; `part`: the last one is not full. With `pairs` the numbers of A and
/// B are pairs of bfloat16, neighbours along k. In strips.cc, so that the many strips are compiled once.
StripFunction StripOf(int64_t rows, int64_t vectors, bool part, bool pairs);

/// C [m, n] = A B, or C += A B with `add`, on the calling thread. `span(i0, i1)` tells for rows i0 <= i < i1 which k and columns matter; columns
/// outside of it are neither read nor written. With Pairs k counts pairs of bfloat16.
template <bool Pairs = false, class SpanOf>
void Product(int64_t m, int64_t n, Factor a, Rows b, Out c, bool add, SpanOf&& span) {
  if (Pairs && OnTheUnit() && m >= 16 && n >= 16) {
    TilesBegin();
    for (int64_t i = 0; i < m; i += kTileStrip) {
      const int64_t height = m - i < kTileStrip ? m - i : kTileStrip;
      const Span s = span(i, i + height);
      const int64_t k = s.k1 > s.k0 ? s.k1 - s.k0 : 0;
      if (s.j1 > s.j0 && (k > 0 || !add))
        MultiplyStrip(height, s.j1 - s.j0, k, a.p + i * a.row + s.k0 * a.step, a.row, a.step, b.p + s.k0 * b.ld + s.j0, b.ld, c.p + i * c.ld + s.j0, c.ld, add);
    }
    TilesEnd();
    return;
  }
  const int64_t vectors = (n + W - 1) / W;
  const int64_t rows = kStripRows[(vectors < kStripVectors ? (vectors > 0 ? vectors : 1) : kStripVectors) - 1];
  for (int64_t i = 0; i < m; i += rows) {
    const int64_t height = m - i < rows ? m - i : rows;
    const Span s = span(i, i + height);
    const int64_t k = s.k1 > s.k0 ? s.k1 - s.k0 : 0;
    if (k == 0 && add) continue;
    for (int64_t j = s.j0; j < s.j1;) {
      // Even shares: 5 vectors go as 3 and 2. Narrower strips than the height was chosen for only use fewer registers.
      const int64_t left = s.j1 - j, vectorsLeft = (left + W - 1) / W, strips = (vectorsLeft + kStripVectors - 1) / kStripVectors;
      const int64_t wide = (vectorsLeft + strips - 1) / strips;
      const int64_t last = left >= wide * W ? W : left - (wide - 1) * W;
      StripOf(height, wide, last < W, Pairs)(k, {a.p + i * a.row + s.k0 * a.step, a.row, a.step}, {b.p + s.k0 * b.ld + j, b.ld},
                                      {c.p + i * c.ld + j, c.ld}, last, add);
      j += wide * W;
    }
  }
}

/// The whole product, k = 0..k-1.
inline void Product(int64_t m, int64_t n, int64_t k, Factor a, Rows b, Out c, bool add) {
  Product(m, n, a, b, c, add, [=](int64_t, int64_t) { return Span{0, k, 0, n}; });
}

/// Four rows of four numbers turned over.
LAB_INLINE void Transpose4(const float* from, int64_t fromLd, float* to, int64_t toLd) {
#if LAB_AVX512 || LAB_AVX2 || LAB_SSE2
  __m128 a = _mm_loadu_ps(from), b = _mm_loadu_ps(from + fromLd), c = _mm_loadu_ps(from + 2 * fromLd), d = _mm_loadu_ps(from + 3 * fromLd);
  _MM_TRANSPOSE4_PS(a, b, c, d);
  _mm_storeu_ps(to, a);
  _mm_storeu_ps(to + toLd, b);
  _mm_storeu_ps(to + 2 * toLd, c);
  _mm_storeu_ps(to + 3 * toLd, d);
#elif LAB_NEON
  const float32x4x2_t ab = vtrnq_f32(vld1q_f32(from), vld1q_f32(from + fromLd));
  const float32x4x2_t cd = vtrnq_f32(vld1q_f32(from + 2 * fromLd), vld1q_f32(from + 3 * fromLd));
  vst1q_f32(to, vcombine_f32(vget_low_f32(ab.val[0]), vget_low_f32(cd.val[0])));
  vst1q_f32(to + toLd, vcombine_f32(vget_low_f32(ab.val[1]), vget_low_f32(cd.val[1])));
  vst1q_f32(to + 2 * toLd, vcombine_f32(vget_high_f32(ab.val[0]), vget_high_f32(cd.val[0])));
  vst1q_f32(to + 3 * toLd, vcombine_f32(vget_high_f32(ab.val[1]), vget_high_f32(cd.val[1])));
#else
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 4; ++j) to[j * toLd + i] = from[i * fromLd + j];
#endif
}

/// to [columns, rows] = from [rows, columns] transposed.
inline void Transpose(int64_t rows, int64_t columns, Rows from, Out to) {
  const int64_t evenRows = rows / 4 * 4, evenColumns = columns / 4 * 4;
  // Rows outside: they may lie a power of two apart, so that few fit into L1 together.
  for (int64_t i = 0; i < evenRows; i += 4)
    for (int64_t j = 0; j < evenColumns; j += 4) Transpose4(from.p + i * from.ld + j, from.ld, to.p + j * to.ld + i, to.ld);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = i < evenRows ? evenColumns : 0; j < columns; ++j) to.p[j * to.ld + i] = from.p[i * from.ld + j];
}

}  // namespace lab

#endif
