// Keys and values of Memory Mosaics. One task a (row, head), which walks over the tokens; gradients of a head's scalars are summed over rows in order.
#include <algorithm>
#include <cmath>

#include "../core/lab.h"
#include "../core/rows.h"

namespace {

using namespace lab;

constexpr float kTiny = 1e-30f;                     // keeps the root's slope finite at zero
constexpr float kLongest = 11.0903396f;             // ln 65535

struct Sizes {
  int64_t B, T, H, d;
  float raw, epsilon;
  explicit Sizes(const Call& c)
      : B(c.n[0]), T(c.n[1]), H(c.n[2]), d(c.n[3]), raw(static_cast<float>(c.f[0])), epsilon(static_cast<float>(c.f[1])) {}
  int64_t At(int64_t b, int64_t t, int64_t h) const { return ((b * T + t) * H + h) * d; }
  int64_t Step() const { return H * d; }  // from a token to the next
};

float LengthOf(int64_t d, const float* u) {
  return std::sqrt(SumOver(d, [&](int64_t j, int64_t left) { const F x = LoadUpTo(u + j, left); return x * x; }) + kTiny);
}
/// to = length · u / (|u| + epsilon).
void ToLength(int64_t d, float length, float epsilon, const float* u, float* to) {
  const F factor(length / (LengthOf(d, u) + epsilon));
  for (int64_t j = 0; j < d; j += W) StoreUpTo(to + j, factor * LoadUpTo(u + j, d - j), d - j);
}
/// The gradient of u, from that of ToLength's result; gives Σ result · slope.
float ToLengthGrad(int64_t d, float length, float epsilon, const float* u, const float* slope, float* du) {
  const float size = LengthOf(d, u), all = size + epsilon;
  const float dot = SumOver(d, [&](int64_t j, int64_t left) { return LoadUpTo(u + j, left) * LoadUpTo(slope + j, left); });
  const F straight(length / all), back(length * (dot / all) / all / size);
  for (int64_t j = 0; j < d; j += W) StoreUpTo(du + j, straight * LoadUpTo(slope + j, d - j) - back * LoadUpTo(u + j, d - j), d - j);
  return length * dot / all;
}

/// sums [parts = B, H] over rows, times a factor a head, to out [H].
template <class Factor>
void SumRows(const Sizes& s, const float* sums, float* out, Factor&& factor) {
  for (int64_t h = 0; h < s.H; ++h) {
    float sum = 0.0f;
    for (int64_t b = 0; b < s.B; ++b) sum += sums[b * s.H + h];
    const float by = factor(h);
    out[h] = by == 0.0f ? 0.0f : by * sum;
  }
}

/// a = keep · before + u.
void Leak(int64_t d, float keep, const float* before, const float* u, float* a) {
  for (int64_t j = 0; j < d; j += W) StoreUpTo(a + j, Fma(F(keep), LoadUpTo(before + j, d - j), LoadUpTo(u + j, d - j)), d - j);
}
float KeepOf(const Sizes& s, float leak) { return std::exp(-s.raw * std::fabs(leak)); }

// u [B, T, H, d], leak, scale [H] to k [B, T, H, d].
void LeakyKeys(const Call& c) {
  const Sizes s(c);
  const float *u = c.In<float>(0), *leak = c.In<float>(1), *scale = c.In<float>(2);
  float* k = c.Out<float>(0);
  const float power = static_cast<float>(c.f[2]);
  ParallelFor(s.B * s.H, Grain(8 * s.T * s.d), [&](int64_t begin, int64_t end) {
    Scratch a(s.d);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t b = task / s.H, h = task % s.H;
      const float keep = KeepOf(s, leak[h]), length = std::exp(std::min(power * s.raw * scale[h], kLongest));
      std::fill_n(a.data(), s.d, 0.0f);
      for (int64_t t = 0; t < s.T; ++t) {
        const int64_t at = s.At(b, t, h);
        Leak(s.d, keep, a, u + at, a);
        ToLength(s.d, length, s.epsilon, a, k + at);
      }
    }
  });
}

// With g the gradient of a[t]: du[t] = s[t] = g[t] + keep s[t+1], dkeep = Σ s[t] · a[t-1].
void LeakyKeysGrad(const Call& c) {
  const Sizes s(c);
  const float *u = c.In<float>(0), *leak = c.In<float>(1), *scale = c.In<float>(2), *dk = c.In<float>(3);
  float *du = c.Out<float>(0), *dleak = c.Out<float>(1), *dscale = c.Out<float>(2);
  const float power = static_cast<float>(c.f[2]);
  Scratch keeps(s.B * s.H), scales(s.B * s.H);
  ParallelFor(s.B * s.H, Grain(16 * s.T * s.d), [&](int64_t begin, int64_t end) {
    Scratch sums(s.T * s.d), later(s.d), slope(s.d);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t b = task / s.H, h = task % s.H;
      const float keep = KeepOf(s, leak[h]), length = std::exp(std::min(power * s.raw * scale[h], kLongest));
      for (int64_t t = 0; t < s.T; ++t) {
        if (t == 0) std::copy_n(u + s.At(b, t, h), s.d, sums.data());
        else Leak(s.d, keep, sums + (t - 1) * s.d, u + s.At(b, t, h), sums + t * s.d);
      }
      std::fill_n(later.data(), s.d, 0.0f);
      float keepSlope = 0.0f, scaleSlope = 0.0f;
      for (int64_t t = s.T - 1; t >= 0; --t) {
        const int64_t at = s.At(b, t, h);
        scaleSlope += ToLengthGrad(s.d, length, s.epsilon, sums + t * s.d, dk + at, slope);
        Leak(s.d, keep, later, slope, later);
        std::copy_n(later.data(), s.d, du + at);
        const float* before = sums + (t - 1) * s.d;
        if (t > 0) keepSlope += SumOver(s.d, [&](int64_t j, int64_t left) { return LoadUpTo(later + j, left) * LoadUpTo(before + j, left); });
      }
      keeps[task] = keepSlope;
      scales[task] = scaleSlope;
    }
  });
  SumRows(s, keeps, dleak, [&](int64_t h) { return -s.raw * KeepOf(s, leak[h]) * (leak[h] > 0.0f ? 1.0f : leak[h] < 0.0f ? -1.0f : 0.0f); });
  SumRows(s, scales, dscale, [&](int64_t h) { return power * s.raw * scale[h] <= kLongest ? power * s.raw : 0.0f; });
}

/// to = mix · own + (1 - mix) · next.
void Mix(int64_t d, float mix, const float* own, const float* next, float* to) {
  for (int64_t j = 0; j < d; j += W) StoreUpTo(to + j, F(mix) * LoadUpTo(own + j, d - j) + F(1.0f - mix) * LoadUpTo(next + j, d - j), d - j);
}

// u [B, T, H, d], mix, scale [H] to v [B, T, H, d].
void MixedValues(const Call& c) {
  const Sizes s(c);
  const float *u = c.In<float>(0), *mix = c.In<float>(1), *scale = c.In<float>(2);
  float* v = c.Out<float>(0);
  ParallelFor(s.B * s.H, Grain(8 * s.T * s.d), [&](int64_t begin, int64_t end) {
    Scratch m(s.d);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t b = task / s.H, h = task % s.H;
      const float length = std::exp(s.raw * scale[h]);
      for (int64_t t = 0; t + 1 < s.T; ++t) {
        const int64_t at = s.At(b, t, h);
        Mix(s.d, mix[h], u + at, u + at + s.Step(), m);
        ToLength(s.d, length, s.epsilon, m, v + at);
      }
      if (s.T > 0) std::fill_n(v + s.At(b, s.T - 1, h), s.d, 0.0f);
    }
  });
}

void MixedValuesGrad(const Call& c) {
  const Sizes s(c);
  const float *u = c.In<float>(0), *mix = c.In<float>(1), *scale = c.In<float>(2), *dv = c.In<float>(3);
  float *du = c.Out<float>(0), *dmix = c.Out<float>(1), *dscale = c.Out<float>(2);
  Scratch mixes(s.B * s.H), scales(s.B * s.H);
  ParallelFor(s.B * s.H, Grain(16 * s.T * s.d), [&](int64_t begin, int64_t end) {
    Scratch m(s.d), slope(s.d), before(s.d);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t b = task / s.H, h = task % s.H;
      const float length = std::exp(s.raw * scale[h]);
      float mixSlope = 0.0f, scaleSlope = 0.0f;
      std::fill_n(before.data(), s.d, 0.0f);  // gradient of the mixture of the token before
      for (int64_t t = 0; t < s.T; ++t) {
        const int64_t at = s.At(b, t, h);
        const float *own = u + at, *next = own + s.Step();
        if (t + 1 < s.T) {
          Mix(s.d, mix[h], own, next, m);
          scaleSlope += ToLengthGrad(s.d, length, s.epsilon, m, dv + at, slope);
          mixSlope += SumOver(s.d, [&](int64_t j, int64_t left) { return LoadUpTo(slope + j, left) * (LoadUpTo(own + j, left) - LoadUpTo(next + j, left)); });
        } else {
          std::fill_n(slope.data(), s.d, 0.0f);
        }
        Mix(s.d, mix[h], slope, before, du + at);
        std::copy_n(slope.data(), s.d, before.data());
      }
      mixes[task] = mixSlope;
      scales[task] = scaleSlope;
    }
  });
  SumRows(s, mixes, dmix, [](int64_t) { return 1.0f; });
  SumRows(s, scales, dscale, [&](int64_t) { return s.raw; });
}

}  // namespace

LAB_KERNEL("LeakyKeys", LeakyKeys);
LAB_KERNEL("LeakyKeysGrad", LeakyKeysGrad);
LAB_KERNEL("MixedValues", MixedValues);
LAB_KERNEL("MixedValuesGrad", MixedValuesGrad);
