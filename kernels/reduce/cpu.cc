// Sums, means, extremes over one axis, and running sums. Arrays are seen as [outer, length, inner].
#include <algorithm>

#include "../core/rows.h"

namespace lab {
namespace {

struct Adding {
  static constexpr float kStart = 0.0f;
  static LAB_INLINE F Join(F a, F b) { return a + b; }
  static LAB_INLINE float Fold(F v) { return Sum(v); }
};
// Where either is NaN, Max and Min give their second argument; the select brings out a NaN on the left.
struct Largest {
  static constexpr float kStart = -std::numeric_limits<float>::infinity();
  static LAB_INLINE F Join(F a, F b) { return Select(Eq(a, a), Max(a, b), a); }
  static LAB_INLINE float Fold(F v) {
    float t[W];
    Store(t, v);
    float best = t[0];
    for (int i = 1; i < W; ++i) if (t[i] > best || t[i] != t[i]) best = t[i];
    return best;
  }
};
struct Smallest {
  static constexpr float kStart = std::numeric_limits<float>::infinity();
  static LAB_INLINE F Join(F a, F b) { return Select(Eq(a, a), Min(a, b), a); }
  static LAB_INLINE float Fold(F v) { 
    float t[W];
    Store(t, v);
    float best = t[0];
    for (int i = 1; i < W; ++i) if (t[i] < best || t[i] != t[i]) best = t[i];
    return best;
  }
};

/// All of x[0:n].
template <class R>
float Row(const float* x, int64_t n) {
  F s[4] = {F(R::kStart), F(R::kStart), F(R::kStart), F(R::kStart)};
  int64_t i = 0;
  for (; i + 4 * W <= n; i += 4 * W)
    for (int v = 0; v < 4; ++v) s[v] = R::Join(s[v], Load(x + i + v * W));
  for (; i + W <= n; i += W) s[0] = R::Join(s[0], Load(x + i));
  if (i < n) {
    float t[W];
    for (int v = 0; v < W; ++v) t[v] = i + v < n ? x[i + v] : R::kStart;
    s[1] = R::Join(s[1], Load(t));
  }
  return R::Fold(R::Join(R::Join(s[0], s[1]), R::Join(s[2], s[3])));
}

/// y[0:inner] = rows of x [length, inner] joined.
template <class R>
void Columns(const float* x, int64_t length, int64_t inner, float* y) {
  int64_t j = 0;
  for (; j + 4 * W <= inner; j += 4 * W) {
    F s[4] = {F(R::kStart), F(R::kStart), F(R::kStart), F(R::kStart)};
    for (int64_t r = 0; r < length; ++r)
      for (int v = 0; v < 4; ++v) s[v] = R::Join(s[v], Load(x + r * inner + j + v * W));
    for (int v = 0; v < 4; ++v) Store(y + j + v * W, s[v]);
  }
  for (; j < inner; j += W) {
    const int64_t left = inner - j;
    F s(R::kStart);
    for (int64_t r = 0; r < length; ++r) s = R::Join(s, LoadUpTo(x + r * inner + j, left));
    StoreUpTo(y + j, s, left);
  }
}

/// n: outer, length, inner; f: what the result is multiplied by.
template <class R>
void Reduce(const Call& c) {
  const int64_t outer = c.n[0], length = c.n[1], inner = c.n[2];
  const float* x = c.In<float>(0);
  float* y = c.Out<float>(0);
  const float scale = static_cast<float>(c.f[0]);
  const int64_t part = std::max<int64_t>(inner == 1 ? 4096 : 64, (length + 63) / 64);
  const auto piece = [&](const float* from, int64_t count, float* to) {
    if (inner == 1) *to = Row<R>(from, count);
    else Columns<R>(from, count, inner, to);
  };
  const auto scaled = [&](float* to) {
    if (scale != 1.0f) for (int64_t j = 0; j < inner; ++j) to[j] *= scale;
  };
  // Long sums go part by part even on one thread: fewer roundings, and the same bits for any number of threads.
  const int64_t parts = (length + part - 1) / part;
  if (parts == 1) {
    ParallelFor(outer, Grain(length * inner), [&](int64_t begin, int64_t end) {
      for (int64_t o = begin; o < end; ++o) {
        piece(x + o * length * inner, length, y + o * inner);
        scaled(y + o * inner);
      }
    });
    return;
  }
  Scratch all(outer * parts * inner);
  float* partial = all;
  ParallelFor(outer * parts, Grain(part * inner), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t o = i / parts, from = i % parts * part;
      piece(x + (o * length + from) * inner, std::min(part, length - from), partial + i * inner);
    }
  });
  ParallelFor(outer, Grain(parts * inner), [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o) {
      piece(partial + o * parts * inner, parts, y + o * inner);
      scaled(y + o * inner);
    }
  });
}
LAB_KERNEL("ReduceSum", Reduce<Adding>);
LAB_KERNEL("ReduceMax", Reduce<Largest>);
LAB_KERNEL("ReduceMin", Reduce<Smallest>);

/// The index of the largest of each row, the first of equals. n: rows, width.
void ArgMax(const Call& c) {
  const int64_t width = c.n[1];
  const float* x = c.In<float>(0);
  int32_t* y = c.Out<int32_t>(0);
  ParallelFor(c.n[0], Grain(width), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* row = x + r * width;
      int64_t best = 0;
      for (int64_t j = 1; j < width; ++j) if (row[j] > row[best]) best = j;
      y[r] = static_cast<int32_t>(best);
    }
  });
}
LAB_KERNEL("ArgMaxRows", ArgMax);

/// Running sums along the middle axis. n: outer, length, inner, exclusive, reverse.
void Cumsum(const Call& c) {
  const int64_t length = c.n[1], inner = c.n[2];
  const bool exclusive = c.n[3] != 0, reverse = c.n[4] != 0;
  ParallelFor(c.n[0], Grain(length * inner), [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o) {
      const float* x = c.In<float>(0) + o * length * inner;
      float* y = c.Out<float>(0) + o * length * inner;
      for (int64_t step = 0; step < length; ++step) {
        const int64_t here = (reverse ? length - 1 - step : step) * inner, before = here + (reverse ? inner : -inner);
        for (int64_t j = 0; j < inner; ++j) {
          const float sum = step == 0 ? 0.0f : y[before + j];
          y[here + j] = exclusive ? (step == 0 ? 0.0f : sum + x[before + j]) : sum + x[here + j];
        }
      }
    }
  });
}
LAB_KERNEL("Cumsum", Cumsum);

}  // namespace
}  // namespace lab
