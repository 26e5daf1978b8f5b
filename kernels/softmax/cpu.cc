// Softmax over the last axis.
#include "../core/rows.h"

namespace lab {
namespace {

/// y = exp(x - max x) / sum, by rows. n: rows, width.
void Softmax(const Call& c) {
  const int64_t width = c.n[1];
  ParallelFor(c.n[0], Grain(4 * width), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* x = c.In<float>(0) + r * width;
      float* y = c.Out<float>(0) + r * width;
      F top(-std::numeric_limits<float>::infinity());
      float highest = -std::numeric_limits<float>::infinity();
      int64_t j = 0;
      for (; j + W <= width; j += W) top = Max(top, Load(x + j));
      for (; j < width; ++j) highest = x[j] > highest ? x[j] : highest;
      const float best = MaxOf(top);
      const F shift(best > highest ? best : highest);
      const float sum = SumOver(width, [&](int64_t i, int64_t left) {
        const F e = Exp(LoadUpTo(x + i, left) - shift);
        StoreUpTo(y + i, e, left);
        return left >= W ? e : LoadUpTo(y + i, left);  // lanes past the end count nothing
      });
      const F scale(1.0f / sum);
      for (j = 0; j < width; j += W) StoreUpTo(y + j, LoadUpTo(y + j, width - j) * scale, width - j);
    }
  });
}
LAB_KERNEL("Softmax", Softmax);

}  // namespace
}  // namespace lab
