// Heads of a token turned by their position while decoding; whole sequences turn within attention.
#include <algorithm>

#include "../core/rows.h"

namespace lab {
namespace {

/// n: B, T, H, d, half. u [B, T, H, d], cos and sin [T, half] to y like u: of each head the last 2 half channels turn, channel i with channel i + half.
void Rotate(const Call& c) {
  const int64_t T = c.n[1], H = c.n[2], d = c.n[3], half = c.n[4], still = d - 2 * half;
  const float *u = c.In<float>(0), *cosines = c.In<float>(1), *sines = c.In<float>(2);
  float* y = c.Out<float>(0);
  ParallelFor(c.n[0] * T * H, Grain(d), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t t = row / H % T;
      const float *from = u + row * d, *cosine = cosines + t * half, *sine = sines + t * half;
      float* to = y + row * d;
      std::copy_n(from, still, to);
      for (int64_t i = 0; i < half; i += W) {
        const int64_t left = half - i;
        const F a = LoadUpTo(from + still + i, left), b = LoadUpTo(from + still + half + i, left);
        const F x = LoadUpTo(cosine + i, left), z = LoadUpTo(sine + i, left);
        StoreUpTo(to + still + i, a * x - b * z, left);
        StoreUpTo(to + still + half + i, b * x + a * z, left);
      }
    }
  });
}
LAB_KERNEL("Rotate", Rotate);

}  // namespace
}  // namespace lab
