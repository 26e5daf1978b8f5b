// Rows by index, and rows added up by index.
#include <algorithm>
#include <cstring>

#include "../core/rows.h"

namespace lab {
namespace {

/// y [outer, count, inner] = x [outer, length, inner] at the indices of the middle axis. n: outer, length, inner, count.
void Gather(const Call& c) {
  const int64_t outer = c.n[0], length = c.n[1], inner = c.n[2], count = c.n[3];
  const int32_t* index = c.In<int32_t>(1);
  for (int64_t i = 0; i < count; ++i)
    if (index[i] < 0 || index[i] >= length) return c.Fail("gather: an index is outside the axis; check the ids against the table's length");
  const float* x = c.In<float>(0);
  float* y = c.Out<float>(0);
  ParallelFor(outer * count, Grain(inner), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      std::memcpy(y + i * inner, x + (i / count * length + index[i % count]) * inner, static_cast<size_t>(inner) * sizeof(float));
  });
}
LAB_KERNEL("Gather", Gather);

/// y [segments, inner]: row s is the sum of the rows of x [count, inner] whose id is s, in their order; ids outside are left out.
/// n: count, inner, segments.
void SegmentSum(const Call& c) {
  const int64_t count = c.n[0], inner = c.n[1], segments = c.n[2];
  const float* x = c.In<float>(0);
  const int32_t* id = c.In<int32_t>(1);
  float* y = c.Out<float>(0);
  // Each part owns a range of segments and reads all ids, so no two threads write one row.
  const int64_t parts = count * inner < 32768 ? 1 : std::min<int64_t>(16, segments);
  ParallelFor(segments, (segments + parts - 1) / parts, [&](int64_t begin, int64_t end) {
    std::fill(y + begin * inner, y + end * inner, 0.0f);
    for (int64_t i = 0; i < count; ++i) {
      if (id[i] < begin || id[i] >= end) continue;
      float* row = y + id[i] * inner;
      for (int64_t j = 0; j < inner; j += W) StoreUpTo(row + j, LoadUpTo(row + j, inner - j) + LoadUpTo(x + i * inner + j, inner - j), inner - j);
    }
  });
}
LAB_KERNEL("SegmentSum", SegmentSum);

}  // namespace
}  // namespace lab
