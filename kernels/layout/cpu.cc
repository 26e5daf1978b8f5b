// Moving 4-byte elements: strided copies (slice, concat, pad, tile, split) and transposition.
#include <algorithm>
#include <cstring>

#include "../core/rows.h"

namespace lab {
namespace {

constexpr int kMaxRank = 12;

/// to[toOffset + i·toSteps] = from[fromOffset + i·fromSteps] for all index vectors i below dims. A step of 0 repeats.
/// n: rank, fromOffset, toOffset, dims, fromSteps, toSteps.
void StridedCopy(const Call& c) {
  const int rank = static_cast<int>(c.n[0]);
  const int64_t *dims = c.n + 3, *fromStep = dims + rank, *toStep = fromStep + rank;
  const float* from = c.In<float>(0) + c.n[1];
  float* to = c.Out<float>(0) + c.n[2];
  const int64_t width = dims[rank - 1], fromEach = fromStep[rank - 1], toEach = toStep[rank - 1];
  int64_t rows = 1;
  for (int d = 0; d + 1 < rank; ++d) rows *= dims[d];
  const auto row = [&](const float* x, float* y, int64_t count) {
    if (fromEach == 1 && toEach == 1) std::memcpy(y, x, static_cast<size_t>(count) * sizeof(float));
    else if (fromEach == 0 && toEach == 1) std::fill_n(y, count, *x);
    else for (int64_t i = 0; i < count; ++i) y[i * toEach] = x[i * fromEach];
  };
  if (rows == 1) {
    ParallelFor(width, 65536, [&](int64_t begin, int64_t end) { row(from + begin * fromEach, to + begin * toEach, end - begin); });
    return;
  }
  ParallelFor(rows, Grain(width, 32768), [&](int64_t begin, int64_t end) {
    int64_t at[kMaxRank] = {}, x = 0, y = 0, rest = begin;
    for (int d = rank - 2; d >= 0; --d) {
      at[d] = rest % dims[d];
      rest /= dims[d];
      x += at[d] * fromStep[d];
      y += at[d] * toStep[d];
    }
    for (int64_t r = begin; r < end; ++r) {
      row(from + x, to + y, width);
      for (int d = rank - 2; d >= 0; --d) {
        x += fromStep[d];
        y += toStep[d];
        if (++at[d] < dims[d]) break;
        x -= at[d] * fromStep[d];
        y -= at[d] * toStep[d];
        at[d] = 0;
      }
    }
  });
}
LAB_KERNEL("StridedCopy", StridedCopy);

/// to [batch, columns, rows] = from [batch, rows, columns] with its last two axes swapped, each element `each` floats wide
/// (from [batch, rows, columns, each]). n: batch, rows, columns, each.
void SwapAxes(const Call& c) {
  const int64_t batch = c.n[0], rows = c.n[1], columns = c.n[2], each = c.n[3];
  const float* from = c.In<float>(0);
  float* to = c.Out<float>(0);
  if (each > 1) {
    ParallelFor(batch * columns, Grain(rows * each), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const float* x = from + (i / columns * rows * columns + i % columns) * each;
        for (int64_t r = 0; r < rows; ++r) std::memcpy(to + (i * rows + r) * each, x + r * columns * each, static_cast<size_t>(each) * sizeof(float));
      }
    });
    return;
  }
  constexpr int64_t kTile = 32;
  const int64_t strips = (columns + kTile - 1) / kTile;
  ParallelFor(batch * strips, Grain(rows * kTile), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float* x = from + i / strips * rows * columns;
      float* y = to + i / strips * rows * columns;
      const int64_t left = i % strips * kTile, right = std::min(left + kTile, columns);
      for (int64_t top = 0; top < rows; top += kTile) {
        const int64_t bottom = std::min(top + kTile, rows);
        int64_t column = left;
        for (; column + 4 <= right; column += 4) {
          int64_t r = top;
          for (; r + 4 <= bottom; r += 4) Transpose4x4(x + r * columns + column, columns, y + column * rows + r, rows);
          for (; r < bottom; ++r)
            for (int k = 0; k < 4; ++k) y[(column + k) * rows + r] = x[r * columns + column + k];
        }
        for (; column < right; ++column)
          for (int64_t r = top; r < bottom; ++r) y[column * rows + r] = x[r * columns + column];
      }
    }
  });
}
LAB_KERNEL("SwapAxes", SwapAxes);

/// n: count; f: the value.
template <class T>
void Fill(const Call& c) {
  T* y = c.Out<T>(0);
  ParallelFor(c.n[0], 65536, [&](int64_t begin, int64_t end) { std::fill(y + begin, y + end, static_cast<T>(c.f[0])); });
}
LAB_KERNEL("Fill", Fill<float>);
LAB_KERNEL("FillInt", Fill<int32_t>);

}  // namespace
}  // namespace lab
