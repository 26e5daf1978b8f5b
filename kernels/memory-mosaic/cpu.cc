// Keys and values of Memory Mosaics. One task a (row, head), which walks over the tokens; gradients of a head's scalars are summed over rows in order.
#include <algorithm>
#include <cmath>
#include <type_traits>

#include "../core/lab.h"
#include "../core/rows.h"
#include "../core/soon.h"

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

// Calls body(j, left) for each vector below d, where `left` lanes count; inlined, so that whole vectors are loaded and stored as such.
template <class Body>
LAB_INLINE void EachVector(int64_t d, Body&& body) {
  int64_t j = 0;
  for (; j + W <= d; j += W) body(j, int64_t{W});
  if (j < d) body(j, d - j);
}
// The same for groups of neighbouring vectors, whose number is a constant: body(vectors, j, left), where `left` lanes of the last one count.
template <class Body>
LAB_INLINE void EachGroup(int64_t d, Body&& body) {
  int64_t j = 0;
  for (; j + 4 * W <= d; j += 4 * W) body(std::integral_constant<int, 4>(), j, int64_t{W});
  for (; j + 2 * W <= d; j += 2 * W) body(std::integral_constant<int, 2>(), j, int64_t{W});
  for (; j + W <= d; j += W) body(std::integral_constant<int, 1>(), j, int64_t{W});
  if (j < d) body(std::integral_constant<int, 1>(), j, d - j);
}
#if defined(__GNUC__)
#define LAB_FLAT __attribute__((always_inline))
#else
#define LAB_FLAT
#endif

// Tokens whose lengths are worked out together, a lane each.
constexpr int64_t kTile = 16;
static_assert(kTile % W == 0, "a tile is whole vectors");

struct Tile {
  float square[kTile] = {}, dot[kTile] = {};      // Σ u², Σ u · slope of each token's u
  float straight[kTile], back[kTile], own[kTile];  // see ToLength and ToLengthGrad

  // straight u = length · u / (|u| + epsilon).
  LAB_INLINE void ToLength(float length, float epsilon) {
    for (int64_t i = 0; i < kTile; i += W) Store(straight + i, F(length) / (Sqrt(Load(square + i) + F(kTiny)) + F(epsilon)));
  }
  // straight slope - back u: the gradient of u, from the slope of that result; own: Σ result · slope.
  LAB_INLINE void ToLengthGrad(float length, float epsilon) {
    for (int64_t i = 0; i < kTile; i += W) {
      const F size = Sqrt(Load(square + i) + F(kTiny)), all = size + F(epsilon), share = F(length) / all, along = Load(dot + i) / all;
      Store(straight + i, share);
      Store(back + i, share * along / size);
      Store(own + i, F(length) * along);
    }
  }
  // Of `tokens`: Σ own.
  float Own(int64_t tokens) const {
    float sum = 0.0f;
    for (int64_t i = 0; i < tokens; ++i) sum += own[i];
    return sum;
  }
};

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

float KeepOf(const Sizes& s, float leak) { return std::exp(-s.raw * std::fabs(leak)); }

// The averages of a tile: a[i + 1] = keep a[i] + u[i], rows of d from `a` on, those of u `step` apart.
LAB_INLINE void Leak(const Sizes& s, int64_t tokens, float keep, const float* u, float* a) {
  EachGroup(s.d, [&](auto vectors, int64_t j, int64_t left) LAB_FLAT {
    constexpr int V = decltype(vectors)::value;
    F sum[V];
    LAB_UNROLL for (int v = 0; v < V; ++v) sum[v] = LoadUpTo(a + j + v * W, left);
    for (int64_t i = 0; i < tokens; ++i) {
      Soon(u + (i + kTile) * s.Step() + j, V * W);
      LAB_UNROLL for (int v = 0; v < V; ++v) {
        sum[v] = Fma(F(keep), sum[v], LoadUpTo(u + i * s.Step() + j + v * W, left));
        StoreUpTo(a + (i + 1) * s.d + j + v * W, sum[v], left);
      }
    }
  });
}

// u [B, T, H, d], leak, scale [H] to k [B, T, H, d].
void LeakyKeys(const Call& c) {
  const Sizes s(c);
  const float *u = c.In<float>(0), *leak = c.In<float>(1), *scale = c.In<float>(2);
  float* k = c.Out<float>(0);
  const float power = static_cast<float>(c.f[2]);
  ParallelFor(s.B * s.H, Grain(8 * s.T * s.d), [&](int64_t begin, int64_t end) {
    Scratch a((kTile + 1) * s.d);  // the last average before the tile, then the tile's
    for (int64_t task = begin; task < end; ++task) {
      const int64_t b = task / s.H, h = task % s.H;
      const float keep = KeepOf(s, leak[h]), length = std::exp(std::min(power * s.raw * scale[h], kLongest));
      std::fill_n(a.data(), s.d, 0.0f);
      for (int64_t t = 0; t < s.T; t += kTile) {
        const int64_t tokens = std::min(kTile, s.T - t), at = s.At(b, t, h);
        Tile tile;
        Leak(s, tokens, keep, u + at, a);
        for (int64_t i = 0; i < tokens; ++i) {
          F square(0.0f);
          EachVector(s.d, [&](int64_t j, int64_t left) LAB_FLAT {
            const F x = LoadUpTo(a + (i + 1) * s.d + j, left);
            square = Fma(x, x, square);
          });
          tile.square[i] = Sum(square);
        }
        tile.ToLength(length, s.epsilon);
        for (int64_t i = 0; i < tokens; ++i)
          EachVector(s.d, [&](int64_t j, int64_t left) LAB_FLAT {
            StoreUpTo(k + at + i * s.Step() + j, F(tile.straight[i]) * LoadUpTo(a + (i + 1) * s.d + j, left), left);
          });
        std::copy_n(a + tokens * s.d, s.d, a.data());
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
    Scratch averages((s.T + 1) * s.d), later(s.d), sums(s.d);  // averages: that before the first token, zeros, then each token's
    for (int64_t task = begin; task < end; ++task) {
      const int64_t b = task / s.H, h = task % s.H;
      const float keep = KeepOf(s, leak[h]), length = std::exp(std::min(power * s.raw * scale[h], kLongest));
      for (float* zeros : {averages.data(), later.data(), sums.data()}) std::fill_n(zeros, s.d, 0.0f);
      Leak(s, s.T, keep, u + s.At(b, 0, h), averages);
      float scaleSlope = 0.0f;
      for (int64_t t = (s.T - 1) / kTile * kTile; t >= 0; t -= kTile) {
        const int64_t tokens = std::min(kTile, s.T - t), at = s.At(b, t, h);
        Tile tile;
        for (int64_t i = 0; i < tokens; ++i) {
          if (t > 0) Soon(dk + at + (i - kTile) * s.Step(), s.d);
          SoonWritten(du + at + i * s.Step(), s.d);
          F square(0.0f), dot(0.0f);
          EachVector(s.d, [&](int64_t j, int64_t left) LAB_FLAT {
            const F x = LoadUpTo(averages + (t + i + 1) * s.d + j, left);
            square = Fma(x, x, square);
            dot = Fma(x, LoadUpTo(dk + at + i * s.Step() + j, left), dot);
          });
          tile.square[i] = Sum(square), tile.dot[i] = Sum(dot);
        }
        tile.ToLengthGrad(length, s.epsilon);
        scaleSlope += tile.Own(tokens);
        EachGroup(s.d, [&](auto vectors, int64_t j, int64_t left) LAB_FLAT {
          constexpr int V = decltype(vectors)::value;
          F carried[V], sum[V];
          LAB_UNROLL for (int v = 0; v < V; ++v) carried[v] = LoadUpTo(later + j + v * W, left), sum[v] = LoadUpTo(sums + j + v * W, left);
          for (int64_t i = tokens - 1; i >= 0; --i) {
            const float *a = averages + (t + i + 1) * s.d + j, *g = dk + at + i * s.Step() + j;
            float* to = du + at + i * s.Step() + j;
            const F straight(tile.straight[i]), back(tile.back[i]);
            LAB_UNROLL for (int v = 0; v < V; ++v) {
              const F slope = straight * LoadUpTo(g + v * W, left) - back * LoadUpTo(a + v * W, left);
              carried[v] = Fma(F(keep), carried[v], slope);
              StoreUpTo(to + v * W, carried[v], left);
              sum[v] = Fma(carried[v], LoadUpTo(a - s.d + v * W, left), sum[v]);
            }
          }
          LAB_UNROLL for (int v = 0; v < V; ++v) StoreUpTo(later + j + v * W, carried[v], left), StoreUpTo(sums + j + v * W, sum[v], left);
        });
      }
      keeps[task] = SumOver(s.d, [&](int64_t j, int64_t left) { return LoadUpTo(sums + j, left); });
      scales[task] = scaleSlope;
    }
  });
  SumRows(s, keeps, dleak, [&](int64_t h) { return -s.raw * KeepOf(s, leak[h]) * (leak[h] > 0.0f ? 1.0f : leak[h] < 0.0f ? -1.0f : 0.0f); });
  SumRows(s, scales, dscale, [&](int64_t h) { return power * s.raw * scale[h] <= kLongest ? power * s.raw : 0.0f; });
}

// mix · own + (1 - mix) · next, for one vector.
LAB_INLINE F Mix(float mix, const float* own, const float* next, int64_t left) {
  return F(mix) * LoadUpTo(own, left) + F(1.0f - mix) * LoadUpTo(next, left);
}

// u [B, T, H, d], mix, scale [H] to v [B, T, H, d].
void MixedValues(const Call& c) {
  const Sizes s(c);
  const float *u = c.In<float>(0), *mix = c.In<float>(1), *scale = c.In<float>(2);
  float* v = c.Out<float>(0);
  const int64_t step = s.Step();
  ParallelFor(s.B * s.H, Grain(8 * s.T * s.d), [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t b = task / s.H, h = task % s.H;
      const float length = std::exp(s.raw * scale[h]), share = mix[h];
      for (int64_t t = 0; t + 1 < s.T; t += kTile) {
        const int64_t tokens = std::min(kTile, s.T - 1 - t), at = s.At(b, t, h);
        Tile tile;
        for (int64_t i = 0; i < tokens; ++i) {
          const float* own = u + at + i * step;
          F square(0.0f);
          EachVector(s.d, [&](int64_t j, int64_t left) LAB_FLAT {
            const F m = Mix(share, own + j, own + step + j, left);
            square = Fma(m, m, square);
          });
          tile.square[i] = Sum(square);
        }
        tile.ToLength(length, s.epsilon);
        for (int64_t i = 0; i < tokens; ++i) {
          const float* own = u + at + i * step;
          EachVector(s.d, [&](int64_t j, int64_t left) LAB_FLAT {
            StoreUpTo(v + at + i * step + j, F(tile.straight[i]) * Mix(share, own + j, own + step + j, left), left);
          });
        }
      }
      if (s.T > 0) std::fill_n(v + s.At(b, s.T - 1, h), s.d, 0.0f);
    }
  });
}

// With g the gradient of a token's mixture: du[t] = mix g[t] + (1 - mix) g[t-1], dmix = Σ g[t] · (u[t] - u[t+1]).
void MixedValuesGrad(const Call& c) {
  const Sizes s(c);
  const float *u = c.In<float>(0), *mix = c.In<float>(1), *scale = c.In<float>(2), *dv = c.In<float>(3);
  float *du = c.Out<float>(0), *dmix = c.Out<float>(1), *dscale = c.Out<float>(2);
  const int64_t step = s.Step();
  Scratch mixes(s.B * s.H), scales(s.B * s.H);
  ParallelFor(s.B * s.H, Grain(16 * s.T * s.d), [&](int64_t begin, int64_t end) {
    Scratch before(s.d), sums(s.d);  // before: gradient of the mixture of the token before the tile
    for (int64_t task = begin; task < end; ++task) {
      const int64_t b = task / s.H, h = task % s.H;
      const float length = std::exp(s.raw * scale[h]), share = mix[h];
      float scaleSlope = 0.0f;
      for (float* zeros : {before.data(), sums.data()}) std::fill_n(zeros, s.d, 0.0f);
      for (int64_t t = 0; t + 1 < s.T; t += kTile) {
        const int64_t tokens = std::min(kTile, s.T - 1 - t), at = s.At(b, t, h);
        Tile tile;
        for (int64_t i = 0; i < tokens; ++i) {
          const float* own = u + at + i * step;
          if (t + i + kTile < s.T)
            for (const float* from : {u, dv}) Soon(from + at + (i + kTile) * step, s.d);
          SoonWritten(du + at + i * step, s.d);
          F square(0.0f), dot(0.0f);
          EachVector(s.d, [&](int64_t j, int64_t left) LAB_FLAT {
            const F m = Mix(share, own + j, own + step + j, left);
            square = Fma(m, m, square);
            dot = Fma(m, LoadUpTo(dv + at + i * step + j, left), dot);
          });
          tile.square[i] = Sum(square), tile.dot[i] = Sum(dot);
        }
        tile.ToLengthGrad(length, s.epsilon);
        scaleSlope += tile.Own(tokens);
        EachGroup(s.d, [&](auto vectors, int64_t j, int64_t left) LAB_FLAT {
          constexpr int V = decltype(vectors)::value;
          F past[V], sum[V], own[V];
          LAB_UNROLL for (int v = 0; v < V; ++v) {
            past[v] = LoadUpTo(before + j + v * W, left), sum[v] = LoadUpTo(sums + j + v * W, left);
            own[v] = LoadUpTo(u + at + j + v * W, left);
          }
          for (int64_t i = 0; i < tokens; ++i) {
            const int64_t place = at + i * step + j;
            const F straight(tile.straight[i]), back(tile.back[i]);
            LAB_UNROLL for (int v = 0; v < V; ++v) {
              const F next = LoadUpTo(u + place + step + v * W, left), m = F(share) * own[v] + F(1.0f - share) * next;
              const F slope = straight * LoadUpTo(dv + place + v * W, left) - back * m;
              StoreUpTo(du + place + v * W, F(share) * slope + F(1.0f - share) * past[v], left);
              sum[v] = Fma(slope, own[v] - next, sum[v]);
              past[v] = slope, own[v] = next;
            }
          }
          LAB_UNROLL for (int v = 0; v < V; ++v) StoreUpTo(before + j + v * W, past[v], left), StoreUpTo(sums + j + v * W, sum[v], left);
        });
      }
      if (s.T > 0)
        EachVector(s.d, [&](int64_t j, int64_t left) LAB_FLAT { StoreUpTo(du + s.At(b, s.T - 1, h) + j, F(1.0f - share) * LoadUpTo(before + j, left), left); });
      mixes[task] = SumOver(s.d, [&](int64_t j, int64_t left) { return LoadUpTo(sums + j, left); });
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
