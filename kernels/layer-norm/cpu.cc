// LayerNorm: mean first, then the variance about it (two passes over a row in cache); forward and gradient.
#include <algorithm>
#include <cmath>

#include "../core/lab.h"
#include "../core/rows.h"

namespace {

using namespace lab;

// Lanes past the end of the row hold 0 - mean, which must not count.
LAB_INLINE F Valid(F u, int64_t left) { return left >= W ? u : Select(Lt(Iota(), F(static_cast<float>(left))), u, F(0.0f)); }

// x [rows, width], weight and bias [width] to y like x, mean and rstd [rows].
void LayerNorm(const Call& c) {
  const int64_t rows = c.n[0], width = c.n[1];
  const float epsilon = static_cast<float>(c.f[0]), share = 1.0f / static_cast<float>(width);
  const float *x = c.In<float>(0), *weight = c.In<float>(1), *bias = c.In<float>(2);
  float *y = c.Out<float>(0), *mean = c.Out<float>(1), *rstd = c.Out<float>(2);
  ParallelFor(rows, Grain(width), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* xs = x + r * width;
      const float m = share * SumOver(width, [&](int64_t j, int64_t left) { return LoadUpTo(xs + j, left); });
      const float variance = share * SumOver(width, [&](int64_t j, int64_t left) {
        const F u = Valid(LoadUpTo(xs + j, left) - F(m), left);
        return u * u;
      });
      const float scale = 1.0f / std::sqrt(variance + epsilon);
      mean[r] = m;
      rstd[r] = scale;
      for (int64_t j = 0; j < width; j += W) {
        const int64_t left = width - j;
        const F u = (LoadUpTo(xs + j, left) - F(m)) * F(scale) * LoadUpTo(weight + j, left);
        StoreUpTo(y + r * width + j, bias ? u + LoadUpTo(bias + j, left) : u, left);
      }
    }
  });
}

// With n the normalised row and a = dy · weight:  dx = rstd (a - mean(a) - n mean(a n)).
void LayerNormGrad(const Call& c) {
  const int64_t rows = c.n[0], width = c.n[1];
  const float share = 1.0f / static_cast<float>(width);
  const float *x = c.In<float>(0), *weight = c.In<float>(1), *mean = c.In<float>(2), *rstd = c.In<float>(3), *dy = c.In<float>(4);
  float* dx = c.Out<float>(0);
  const Parts parts(rows, Grain(width, 4096));
  Scratch partial(std::max<int64_t>(parts.count, 1) * 2 * width);  // a part: dweight, then dbias
  ParallelFor(rows, parts.grain, [&](int64_t begin, int64_t end) {
    float* dw = partial + begin / parts.grain * 2 * width;
    float* db = dw + width;
    std::fill_n(dw, 2 * width, 0.0f);
    for (int64_t r = begin; r < end; ++r) {
      const float *xs = x + r * width, *gs = dy + r * width;
      const F m(mean[r]), scale(rstd[r]);
      const float sum = SumOver(width, [&](int64_t j, int64_t left) { return LoadUpTo(gs + j, left) * LoadUpTo(weight + j, left); });
      const float dot = SumOver(width, [&](int64_t j, int64_t left) {  // lanes past the end: dy is 0
        return LoadUpTo(gs + j, left) * LoadUpTo(weight + j, left) * (LoadUpTo(xs + j, left) - m) * scale;
      });
      for (int64_t j = 0; j < width; j += W) {
        const int64_t left = width - j;
        const F n = (LoadUpTo(xs + j, left) - m) * scale, g = LoadUpTo(gs + j, left);
        StoreUpTo(dx + r * width + j, scale * (g * LoadUpTo(weight + j, left) - F(sum * share) - n * F(dot * share)), left);
        StoreUpTo(dw + j, Fma(g, n, LoadUpTo(dw + j, left)), left);
        StoreUpTo(db + j, g + LoadUpTo(db + j, left), left);
      }
    }
  });
  SumParts(partial, parts.count, 2 * width, width, c.Out<float>(1));
  SumParts(partial + width, parts.count, 2 * width, width, c.Out<float>(2));
}

}  // namespace

LAB_KERNEL("LayerNorm", LayerNorm);
LAB_KERNEL("LayerNormGrad", LayerNormGrad);
