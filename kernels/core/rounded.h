// Products of small matrices in cache, as tile.h makes them, whose inputs are rounded to bfloat16 where the precision asks for it.
#ifndef LAB_ROUNDED_H
#define LAB_ROUNDED_H

#include "gemm.h"
#include "lab.h"
#include "pairs.h"
#include "rows.h"
#include "tile.h"

namespace lab {

/// As Product, with k = 0..k-1 inside every span; under SetBfloat16(true) the numbers of A and B are rounded first, and sums stay float32. Entries of A
/// next to a span's ends may take part, so they must be zero where the span leaves them out.
template <class SpanOf>
void Multiply(int64_t m, int64_t n, int64_t k, Factor a, Rows b, Out c, bool add, SpanOf&& span) {
  if (!Bfloat16()) {
    Product(m, n, a, b, c, add, span);
    return;
  }
  const int64_t depth = Paired() ? (k + 1) / 2 : k;
  Scratch left(m * depth + 1), right(depth * n + 1);
  const bool rows = a.step == 1;  // else its columns are contiguous
  const int64_t ld = rows ? depth : m;
  // Rows `i` and `i + 1` of `from`, rounded, as one row of pairs.
  const auto pair = [&](int64_t width, const float* from, int64_t apart, bool last, float* to) {
    for (int64_t j = 0; j < width; j += W)
      StoreUpTo(to + j, PairLanes(LoadUpTo(from + j, width - j), last ? F(0.0f) : LoadUpTo(from + apart + j, width - j)), width - j);
  };
  const auto round = [&](int64_t width, const float* from, float* to) {
    for (int64_t j = 0; j < width; j += W) StoreUpTo(to + j, RoundBf16(LoadUpTo(from + j, width - j)), width - j);
  };
  for (int64_t i = 0; rows && i < m; ++i) {
    if (Paired())
      PairRow(a.p + i * a.row, k, left + i * ld);
    else
      round(k, a.p + i * a.row, left + i * ld);
  }
  for (int64_t i = 0; i < depth; ++i) {
    if (Paired()) {
      if (!rows) pair(m, a.p + 2 * i * a.step, a.step, 2 * i + 1 == k, left + i * ld);
      pair(n, b.p + 2 * i * b.ld, b.ld, 2 * i + 1 == k, right + i * n);
    } else {
      if (!rows) round(m, a.p + i * a.step, left + i * ld);
      round(n, b.p + i * b.ld, right + i * n);
    }
  }
  const Factor held{left, rows ? ld : 1, rows ? 1 : ld};
  if (Paired())
    Product<true>(m, n, held, {right, n}, c, add, [&](int64_t i0, int64_t i1) {
      const Span s = span(i0, i1);
      return Span{s.k0 / 2, (s.k1 + 1) / 2, s.j0, s.j1};
    });
  else
    Product(m, n, held, {right, n}, c, add, span);
}

/// The whole product.
inline void Multiply(int64_t m, int64_t n, int64_t k, Factor a, Rows b, Out c, bool add) {
  Multiply(m, n, k, a, b, c, add, [=](int64_t, int64_t) { return Span{0, k, 0, n}; });
}

}  // namespace lab

#endif
