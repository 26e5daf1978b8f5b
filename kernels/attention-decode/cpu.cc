// Attention of one new token: each key and value of the cache is read once for all heads that share it, in chunks whose shares are joined in order.
#include <algorithm>
#include <limits>
#include <type_traits>

#include "../core/rows.h"
#include "../core/simd-math.h"

namespace lab {
namespace {

constexpr int64_t kChunk = 256;  // tokens whose softmax is taken together: fixed, so that neither capacity nor threads change a bit
constexpr int kRows = 4;         // keys at a time
#if LAB_AVX512 || LAB_NEON
constexpr int kSums = 16;  // vectors of sums in registers, of 32
#else
constexpr int kSums = 8;
#endif

struct Decode {
  int64_t B, H, G, Gv, Ck, Cv, Cs, a, width, e, r;
  float scale, cap;  // cap 0: none
  const float *q, *k, *v, *qs, *ks, *slopes, *sinks;
  int64_t n;      // tokens in the cache
  int64_t units;  // groups of heads that a task takes: those of one key or value group, whichever holds more
  int64_t Heads() const { return H / units; }
  int64_t Chunks() const { return (n + kChunk - 1) / kChunk; }
  int64_t Partial() const { return e + 2; }  // greatest score, sum of exponentials, weighted sum of values
};

/// z[n][i] += q[n] · rows[i] for N queries and `count` (at most kRows) rows `stride` apart.
template <int N>
LAB_INLINE void Dots(const float* const* q, const float* rows, int64_t stride, int64_t width, int64_t count, float* const* z) {
  if (count < kRows) {
    for (int n = 0; n < N; ++n)
      for (int64_t i = 0; i < count; ++i)
        z[n][i] += SumOver(width, [&](int64_t c, int64_t left) { return LoadUpTo(q[n] + c, left) * LoadUpTo(rows + i * stride + c, left); });
    return;
  }
  F sum[N][kRows];
  for (int n = 0; n < N; ++n)
    for (F& one : sum[n]) one = F(0.0f);
  for (int64_t c = 0; c < width; c += W) {
    const int64_t left = width - c;
    F row[kRows];
    for (int i = 0; i < kRows; ++i) row[i] = LoadUpTo(rows + i * stride + c, left);
    for (int n = 0; n < N; ++n) {
      const F x = LoadUpTo(q[n] + c, left);
      for (int i = 0; i < kRows; ++i) sum[n][i] = Fma(x, row[i], sum[n][i]);
    }
  }
  for (int n = 0; n < N; ++n)
    for (int i = 0; i < kRows; ++i) z[n][i] += Sum(sum[n][i]);
}

/// o[n] [e] = Σ_s p[n][s] v[s] over `count` tokens, for N heads that read the same values.
template <int N>
void Weighted(const float* const* p, const float* v, int64_t e, int64_t count, float* const* o) {
  constexpr int kLine = kSums / N;  // vectors of an output that stay in registers
  for (int64_t c = 0; c < e; c += kLine * W) {
    const int64_t lines = std::min<int64_t>(kLine, (e - c + W - 1) / W);
    F sum[N][kLine];
    for (int n = 0; n < N; ++n)
      for (F& one : sum[n]) one = F(0.0f);
    for (int64_t s = 0; s < count; ++s) {
      const float* row = v + s * e + c;
      if (e - c >= kLine * W)
        for (int j = 0; j < kLine; ++j) {
          const F value = Load(row + j * W);
          for (int n = 0; n < N; ++n) sum[n][j] = Fma(F(p[n][s]), value, sum[n][j]);
        }
      else
        for (int64_t j = 0; j < lines; ++j) {
          const F value = LoadUpTo(row + j * W, e - c - j * W);
          for (int n = 0; n < N; ++n) sum[n][j] = Fma(F(p[n][s]), value, sum[n][j]);
        }
    }
    for (int n = 0; n < N; ++n)
      for (int64_t j = 0; j < lines; ++j) StoreUpTo(o[n] + c + j * W, sum[n][j], e - c - j * W);
  }
}

/// Calls `each` for the heads of a unit, two at a time where both read the same group: each(first head of the unit, how many as a type).
template <class Each>
LAB_INLINE void InPairs(const Decode& x, int64_t unit, int64_t groups, Each&& each) {
  const int64_t heads = x.Heads();
  const auto group = [&](int64_t i) { return (unit * heads + i) * groups / x.H; };
  for (int64_t i = 0; i < heads;)
    if (i + 1 < heads && group(i) == group(i + 1))
      each(i, group(i), std::integral_constant<int, 2>()), i += 2;
    else
      each(i, group(i), std::integral_constant<int, 1>()), i += 1;
}

/// The share of one chunk for all heads of a unit, to partial [heads][Partial()].
void Chunk(const Decode& x, int64_t b, int64_t unit, int64_t chunk, float* partial) {
  const int64_t heads = x.Heads(), first = chunk * kChunk, count = std::min(kChunk, x.n - first);
  Scratch scores(heads * kChunk);
  float* z[2];
  const float *q[2], *qs[2];
  for (int64_t s = 0; s < count; s += kRows) {
    const int64_t rows = std::min<int64_t>(kRows, count - s);
    InPairs(x, unit, x.G, [&](int64_t i, int64_t group, auto n) {
      for (int k = 0; k < n; ++k) {
        const int64_t row = b * x.H + unit * heads + i + k;
        z[k] = scores + (i + k) * kChunk + s;
        std::fill_n(z[k], rows, 0.0f);
        q[k] = x.q + row * x.a;
        qs[k] = x.qs + row * x.r;
      }
      Dots<n>(q, x.k + ((b * x.G + group) * x.Ck + first + s) * x.width, x.width, x.a, rows, z);
      if (x.r) Dots<n>(qs, x.ks + (b * x.Cs + first + s) * x.r, x.r, x.r, rows, z);
    });
  }
  for (int64_t i = 0; i < heads; ++i) {
    const int64_t h = unit * heads + i;
    float *z = scores + i * kChunk, *to = partial + i * x.Partial();
    const F scale(x.scale);
    F top(-std::numeric_limits<float>::infinity());
    for (int64_t s = 0; s < count; s += W) {
      const int64_t left = count - s;
      F scaled = scale * LoadUpTo(z + s, left);
      if (x.cap > 0.0f) scaled = F(x.cap) * Tanh(scaled / F(x.cap));
      Store(z + s, scaled);
      if (x.slopes)
        for (int64_t i = s; i < std::min(s + W, count); ++i) z[i] -= x.slopes[h] * static_cast<float>(x.n - 1 - first - i);
      if (left < W) std::fill(z + count, z + s + W, -std::numeric_limits<float>::infinity());  // lanes past the end count nothing
      top = Max(top, Load(z + s));
    }
    to[0] = MaxOf(top);
    const F shift(to[0]);
    F sum(0.0f);
    for (int64_t s = 0; s < count; s += W) {
      const F p = Exp(Load(z + s) - shift);
      Store(z + s, p);
      sum += p;
    }
    to[1] = Sum(sum);
  }
  float* o[2];
  InPairs(x, unit, x.Gv, [&](int64_t i, int64_t group, auto n) {
    for (int k = 0; k < n; ++k) {
      z[k] = scores + (i + k) * kChunk;
      o[k] = partial + (i + k) * x.Partial() + 2;
    }
    Weighted<n>(z, x.v + ((b * x.Gv + group) * x.Cv + first) * x.e, x.e, count, o);
  });
}

/// Joins the chunks of head h, `stride` floats apart, in order: o [e].
void Join(const Decode& x, int64_t h, const float* partial, int64_t stride, float* o) {
  const int64_t chunks = x.Chunks();
  float most = x.sinks ? x.sinks[h] : partial[0];
  for (int64_t i = 0; i < chunks; ++i) most = std::max(most, partial[i * stride]);
  float total = x.sinks ? Exp1(x.sinks[h] - most) : 0.0f;
  for (int64_t i = 0; i < chunks; ++i) total += partial[i * stride + 1] * Exp1(partial[i * stride] - most);
  for (int64_t c = 0; c < x.e; c += W) {
    const int64_t left = x.e - c;
    F sum(0.0f);
    for (int64_t i = 0; i < chunks; ++i) {
      const float* one = partial + i * stride;
      sum = Fma(F(Exp1(one[0] - most) / total), LoadUpTo(one + 2 + c, left), sum);
    }
    StoreUpTo(o + c, sum, left);
  }
}

/// As kernel.ts says; n: B, H, G, Gv, capacities of k, v and ks, a, width of a key, e, r. f: scale, cap.
void AttentionDecode(const Call& c) {
  Decode x{c.n[0], c.n[1], c.n[2], c.n[3], c.n[4], c.n[5], c.n[6], c.n[7], c.n[8], c.n[9], c.n[10], static_cast<float>(c.f[0]),
           static_cast<float>(c.f[1]), c.In<float>(0), c.In<float>(1), c.In<float>(2), c.In<float>(3), c.In<float>(4), c.In<float>(5),
           c.In<float>(6), c.n[5], std::min(c.n[2], c.n[3])};
  if (const int32_t* length = c.In<int32_t>(7)) x.n = length[0];
  if (x.n < 1 || x.n > x.Ck || x.n > x.Cv || (x.r && x.n > x.Cs)) return c.Fail("the length is not within the cache");
  float* o = c.Out<float>(0);
  const int64_t heads = x.Heads(), chunks = x.Chunks(), one = heads * x.Partial();
  Scratch partial(x.B * x.units * chunks * one);
  float* parts = partial;
  ParallelFor(x.B * x.units * chunks, 1, [&](int64_t task, int64_t) {
    Chunk(x, task / chunks / x.units, task / chunks % x.units, task % chunks, parts + task * one);
  });
  for (int64_t i = 0; i < x.B * x.H; ++i) Join(x, i % x.H, parts + i / heads * chunks * one + i % heads * x.Partial(), one, o + i * x.e);
}
LAB_KERNEL("AttentionDecode", AttentionDecode);

/// n: stretches, tokens of each, width.
void CacheAppend(const Call& c) {
  const int64_t outer = c.n[0], tokens = c.n[1], width = c.n[2], at = c.In<int32_t>(2)[0];
  if (at < 0 || at >= tokens) return c.Fail("the token lies outside of the cache");
  const float *cache = c.In<float>(0), *row = c.In<float>(1);
  float* to = c.Out<float>(0);
  if (to != cache) std::copy_n(cache, outer * tokens * width, to);
  for (int64_t i = 0; i < outer; ++i) std::copy_n(row + i * width, width, to + (i * tokens + at) * width);
}
LAB_KERNEL("CacheAppend", CacheAppend);

}  // namespace
}  // namespace lab
