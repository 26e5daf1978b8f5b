// Transposition in square blocks, so that the lines which a block reads and writes stay in L1, however far apart its rows lie.
#ifndef LAB_TURN_H
#define LAB_TURN_H

#include <algorithm>

#include "tile.h"

namespace lab {

constexpr int64_t kTurned = 16;  // rows and columns of a block: a cache line of floats

/// A block: to [16, 16] = from [16, 16] transposed.
LAB_INLINE void TurnBlock(const float* from, int64_t fromLd, float* to, int64_t toLd) {
#if LAB_AVX512
  __m512 a[16], b[16];
  LAB_UNROLL for (int i = 0; i < 16; ++i) a[i] = _mm512_loadu_ps(from + i * fromLd);
  LAB_UNROLL for (int i = 0; i < 16; i += 2) {
    b[i] = _mm512_unpacklo_ps(a[i], a[i + 1]);
    b[i + 1] = _mm512_unpackhi_ps(a[i], a[i + 1]);
  }
  // a[4 i + c]: in quarter q column 4 q + c of rows 4 i to 4 i + 3.
  const auto low = [](__m512 x, __m512 y) { return _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(x), _mm512_castps_pd(y))); };
  const auto high = [](__m512 x, __m512 y) { return _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(x), _mm512_castps_pd(y))); };
  LAB_UNROLL for (int i = 0; i < 16; i += 4) {
    a[i] = low(b[i], b[i + 2]);
    a[i + 1] = high(b[i], b[i + 2]);
    a[i + 2] = low(b[i + 1], b[i + 3]);
    a[i + 3] = high(b[i + 1], b[i + 3]);
  }
  LAB_UNROLL for (int c = 0; c < 4; ++c) {
    const __m512 even0 = _mm512_shuffle_f32x4(a[c], a[4 + c], 0x88), even1 = _mm512_shuffle_f32x4(a[8 + c], a[12 + c], 0x88);
    const __m512 odd0 = _mm512_shuffle_f32x4(a[c], a[4 + c], 0xdd), odd1 = _mm512_shuffle_f32x4(a[8 + c], a[12 + c], 0xdd);
    _mm512_storeu_ps(to + c * toLd, _mm512_shuffle_f32x4(even0, even1, 0x88));
    _mm512_storeu_ps(to + (4 + c) * toLd, _mm512_shuffle_f32x4(odd0, odd1, 0x88));
    _mm512_storeu_ps(to + (8 + c) * toLd, _mm512_shuffle_f32x4(even0, even1, 0xdd));
    _mm512_storeu_ps(to + (12 + c) * toLd, _mm512_shuffle_f32x4(odd0, odd1, 0xdd));
  }
#else
  for (int64_t i = 0; i < kTurned; i += 4)
    for (int64_t j = 0; j < kTurned; j += 4) Transpose4(from + i * fromLd + j, fromLd, to + j * toLd + i, toLd);
#endif
}

/// to [columns, rows] = from [rows, columns] transposed.
inline void Turn(int64_t rows, int64_t columns, Rows from, Out to) {
  for (int64_t i = 0; i < rows; i += kTurned)
    for (int64_t j = 0; j < columns; j += kTurned) {
      const int64_t high = std::min(kTurned, rows - i), wide = std::min(kTurned, columns - j);
      const float* at = from.p + i * from.ld + j;
      float* put = to.p + j * to.ld + i;
      if (high == kTurned && wide == kTurned)
        TurnBlock(at, from.ld, put, to.ld);
      else
        Transpose(high, wide, {at, from.ld}, {put, to.ld});
    }
}

}  // namespace lab

#endif
