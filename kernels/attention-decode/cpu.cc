// Attention of one new token: each key and value of the cache is read once for all heads that share it, in chunks whose shares are joined in order.
#include <algorithm>
#include <limits>
#include <type_traits>

#include "../core/halves.h"
#include "../core/rows.h"
#include "../core/simd-math.h"
#include "../core/soon.h"
#include "../core/sums.h"

namespace lab {
namespace {

#if LAB_AVX512 || LAB_NEON
constexpr int kSums = 16;  // vectors of sums in registers, of 32
#else
constexpr int kSums = 8;
#endif
constexpr int kMostHeads = 4;  // that read a key or a value together

/// A layer's cache of so many bytes is taken to lie too far away, in part, for the processor to look ahead by itself.
constexpr int64_t kFar = int64_t{3} << 19;

/// Asks for the line that begins at row[c] of a row to come, where N heads read each: their sums take so long that the processor by itself does not look
/// far enough ahead. One head goes through a stream as fast as it comes, but for what comes from memory (`Far`): that is asked for, and no nearer than the
/// second-level cache, since the first would have to wait for it.
template <int N, bool Far, class T>
LAB_INLINE void AskAhead(const T* row, int64_t c) {
  if (c % static_cast<int64_t>(64 / sizeof(T)) != 0) return;
  if (N > 1) SoonLine(row + c, 4096 / static_cast<int64_t>(sizeof(T)));
  else if (Far) LaterLine(row + c, 8192 / static_cast<int64_t>(sizeof(T)));
}

/// T: what keys and values lie as, floats or halves. `width`, `valueWidth` and `sharedWidth`: numbers by which rows of k, v and ks are apart.
template <class T>
struct Decode {
  int64_t B, H, G, Gv, Ck, Cv, Cs, a, width, e, r, valueWidth, sharedWidth;
  float scale, cap;  // cap 0: none
  const float *q, *qs, *slopes, *sinks;
  const T *k, *v, *ks;
  int64_t n;      // tokens in the cache
  int64_t units;  // groups of heads that a task takes: those of one key or value group, whichever holds more
  int64_t Heads() const { return H / units; }
  /// Tokens whose softmax is taken together, keys first and then values: long streams, and enough tasks. Neither capacity nor threads change it.
  int64_t Chunk() const { return B * units < 4 ? 256 : 512; }
  int64_t Chunks() const { return (n + Chunk() - 1) / Chunk(); }
  bool Far() const { return n * (G * width + Gv * valueWidth) * static_cast<int64_t>(sizeof(T)) >= kFar; }
  int64_t Partial() const { return e + 2; }  // greatest score, sum of exponentials, weighted sum of values
};

/// sum[n * keys + i] += q[n] · rows[i], vectors of partial sums, for N queries and kSums / N rows `stride` apart. Rows are read from end to end.
template <int N, bool Whole, bool Far, class T>
LAB_INLINE void AddRows(const float* const* q, const T* rows, int64_t stride, int64_t width, F* sum) {
  constexpr int keys = kSums / N;
  LAB_UNROLL
  for (int i = 0; i < keys; ++i)
    for (int64_t c = 0; c < width; c += W) {
      AskAhead<N, Far>(rows + i * stride, c);
      const int64_t left = Whole ? W : width - c;
      const F row = LoadUpTo(rows + i * stride + c, left);
      LAB_UNROLL
      for (int n = 0; n < N; ++n) sum[n * keys + i] = Fma(LoadUpTo(q[n] + c, left), row, sum[n * keys + i]);
    }
}
/// The same for one query of four vectors, which stay in registers.
template <bool Far, class T>
LAB_INLINE void AddFour(const float* q, const T* rows, int64_t stride, F* sum) {
  F x[4];
  LAB_UNROLL
  for (int c = 0; c < 4; ++c) x[c] = Load(q + c * W);
  LAB_UNROLL
  for (int i = 0; i < kSums; ++i)
    LAB_UNROLL
    for (int c = 0; c < 4; ++c) {
      AskAhead<1, Far>(rows + i * stride, c * W);
      sum[i] = Fma(x[c], Load(rows + i * stride + c * W), sum[i]);
    }
}
template <int N, bool Far, class T>
LAB_INLINE void AddProducts(const float* const* q, const T* rows, int64_t stride, int64_t width, F* sum) {
  if (N == 1 && width == 4 * W)
    AddFour<Far>(q[0], rows, stride, sum);
  else if (width % W == 0)
    AddRows<N, true, Far>(q, rows, stride, width, sum);
  else
    AddRows<N, false, Far>(q, rows, stride, width, sum);
}

/// z[n][i] = q[n] · rows[i] + qs[n] · shared[i] for N queries and `count` rows, which lie `stride` and `rs` numbers apart.
template <int N, bool Far, class T>
void Scores(const float* const* q, const T* rows, int64_t stride, int64_t a, const float* const* qs, const T* shared, int64_t rs, int64_t r, int64_t count,
            float* const* z) {
  constexpr int keys = kSums / N;
  for (int64_t s = 0; count >= keys && s < count; s += keys) {
    const int64_t at = std::min(s, count - keys);  // at the end some come again
    F sum[kSums];
    LAB_UNROLL
    for (F& one : sum) one = F(0.0f);
    AddProducts<N, Far>(q, rows + at * stride, stride, a, sum);
    if (r) AddProducts<N, false>(qs, shared + at * rs, rs, r, sum);
    float all[kSums];
    LAB_UNROLL
    for (int i = 0; i < kSums; i += W) Store(all + i, SumEach(sum + i));
    for (int n = 0; n < N; ++n) std::copy_n(all + n * keys, keys, z[n] + at);
  }
  for (int64_t s = count >= keys ? count : 0; s < count; ++s)
    for (int n = 0; n < N; ++n) {
      const auto dot = [&](const float* x, const T* y, int64_t width) {
        return SumOver(width, [&](int64_t c, int64_t left) { return LoadUpTo(x + c, left) * LoadUpTo(y + c, left); });
      };
      z[n][s] = dot(q[n], rows + s * stride, a) + (r ? dot(qs[n], shared + s * rs, r) : 0.0f);
    }
}

/// o[n] [L vectors] = Σ_s p[n][s] v[s] over `count` tokens, whose values lie `ld` numbers apart; `lanes` of the last vector count.
template <int N, int L, bool Far, class T>
void WeightedLines(const float* const* p, const T* v, int64_t ld, int64_t count, int64_t lanes, float* const* o) {
  constexpr int together = std::max(1, std::min(4, kSums / (N * L)));  // tokens whose sums are apart, so that none waits for another
  F sum[together][N][L];
  LAB_UNROLL
  for (auto& token : sum)
    LAB_UNROLL
    for (auto& head : token)
      LAB_UNROLL
      for (F& one : head) one = F(0.0f);
  const auto add = [&](int64_t s, F (&to)[N][L]) {
    const T* row = v + s * ld;
    LAB_UNROLL
    for (int j = 0; j < L; ++j) {
      AskAhead<N, Far>(row, j * W);
      const F value = j + 1 < L ? Load(row + j * W) : LoadUpTo(row + j * W, lanes);
      LAB_UNROLL
      for (int n = 0; n < N; ++n) to[n][j] = Fma(F(p[n][s]), value, to[n][j]);
    }
  };
  int64_t s = 0;
  for (; s + together <= count; s += together)
    LAB_UNROLL
    for (int t = 0; t < together; ++t) add(s + t, sum[t]);
  for (; s < count; ++s) add(s, sum[0]);
  LAB_UNROLL
  for (int n = 0; n < N; ++n)
    LAB_UNROLL
    for (int j = 0; j < L; ++j) {
      F whole = sum[0][n][j];
      LAB_UNROLL
      for (int t = 1; t < together; ++t) whole += sum[t][n][j];
      StoreUpTo(o[n] + j * W, whole, j + 1 < L ? W : lanes);
    }
}

/// o[n] [e] = Σ_s p[n][s] v[s] over `count` tokens, for N heads that read the same values.
template <int N, bool Far, class T>
void Weighted(const float* const* p, const T* v, int64_t ld, int64_t e, int64_t count, float* const* o) {
  constexpr int most = kSums / N;  // vectors of an output that stay in registers
  float* to[N];
  for (int64_t c = 0; c < e;) {
    for (int n = 0; n < N; ++n) to[n] = o[n] + c;
    const int64_t left = (e - c + W - 1) / W;
    const auto lines = [&](auto l) {
      WeightedLines<N, l, Far>(p, v + c, ld, count, std::min<int64_t>(W, e - c - (l - 1) * W), to);
      c += l * W;
    };
    if (left >= most) lines(std::integral_constant<int, most>());
    else if (most > 8 && left >= 8) lines(std::integral_constant<int, std::min(8, most)>());
    else if (most > 4 && left >= 4) lines(std::integral_constant<int, std::min(4, most)>());
    else if (most > 2 && left >= 2) lines(std::integral_constant<int, std::min(2, most)>());
    else lines(std::integral_constant<int, 1>());
  }
}

/// Calls `each` for the heads of a unit, four or two at a time where all read the same group: each(first head of the unit, group, how many as a type).
template <class T, class Each>
LAB_INLINE void Together(const Decode<T>& x, int64_t unit, int64_t groups, Each&& each) {
  const int64_t heads = x.Heads();
  const auto group = [&](int64_t i) { return (unit * heads + i) * groups / x.H; };
  for (int64_t i = 0; i < heads;) {
    const auto reach = [&](int64_t n) { return i + n <= heads && group(i) == group(i + n - 1); };
    if (reach(4))
      each(i, group(i), std::integral_constant<int, 4>()), i += 4;
    else if (reach(2))
      each(i, group(i), std::integral_constant<int, 2>()), i += 2;
    else
      each(i, group(i), std::integral_constant<int, 1>()), i += 1;
  }
}

/// The share of one chunk for all heads of a unit, to partial [heads][Partial()].
template <bool Far, class T>
void ShareOf(const Decode<T>& x, int64_t b, int64_t unit, int64_t chunk, float* partial) {
  const int64_t heads = x.Heads(), first = chunk * x.Chunk(), count = std::min(x.Chunk(), x.n - first);
  Scratch scores(heads * x.Chunk());
  float* z[kMostHeads];
  const float *q[kMostHeads], *qs[kMostHeads];
  Together(x, unit, x.G, [&](int64_t i, int64_t group, auto n) {
    for (int k = 0; k < n; ++k) {
      const int64_t row = b * x.H + unit * heads + i + k;
      z[k] = scores + (i + k) * x.Chunk();
      q[k] = x.q + row * x.a;
      qs[k] = x.qs + row * x.r;
    }
    Scores<n, Far && n == 1>(q, x.k + ((b * x.G + group) * x.Ck + first) * x.width, x.width, x.a, qs, x.ks + (b * x.Cs + first) * x.sharedWidth, x.sharedWidth, x.r, count, z);
  });
  for (int64_t i = 0; i < heads; ++i) {
    const int64_t h = unit * heads + i;
    float *z = scores + i * x.Chunk(), *to = partial + i * x.Partial();
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
  float* o[kMostHeads];
  Together(x, unit, x.Gv, [&](int64_t i, int64_t group, auto n) {
    for (int k = 0; k < n; ++k) {
      z[k] = scores + (i + k) * x.Chunk();
      o[k] = partial + (i + k) * x.Partial() + 2;
    }
    Weighted<n, Far && n == 1>(z, x.v + ((b * x.Gv + group) * x.Cv + first) * x.valueWidth, x.valueWidth, x.e, count, o);
  });
}

/// Joins the chunks of head h, `stride` floats apart, in order: o [e]. A chunk's sum of exponentials becomes its share.
template <class T>
void Join(const Decode<T>& x, int64_t h, float* partial, int64_t stride, float* o) {
  const int64_t chunks = x.Chunks();
  float most = x.sinks ? x.sinks[h] : partial[0];
  for (int64_t i = 0; i < chunks; ++i) most = std::max(most, partial[i * stride]);
  float total = x.sinks ? Exp1(x.sinks[h] - most) : 0.0f;
  for (int64_t i = 0; i < chunks; ++i) {
    float* one = partial + i * stride;
    const float scale = Exp1(one[0] - most);
    total += one[1] * scale;
    one[1] = scale;
  }
  for (int64_t i = 0; i < chunks; ++i) partial[i * stride + 1] /= total;
  for (int64_t c = 0; c < x.e; c += W) {
    const int64_t left = x.e - c;
    F sum(0.0f);
    for (int64_t i = 0; i < chunks; ++i) {
      const float* one = partial + i * stride;
      sum = Fma(F(one[1]), LoadUpTo(one + 2 + c, left), sum);
    }
    StoreUpTo(o + c, sum, left);
  }
}

template <class T>
void Attend(const Call& c, int64_t valueWidth, int64_t sharedWidth) {
  Decode<T> x{c.n[0], c.n[1], c.n[2], c.n[3], c.n[4], c.n[5], c.n[6], c.n[7], c.n[8], c.n[9], c.n[10], valueWidth, sharedWidth,
              static_cast<float>(c.f[0]), static_cast<float>(c.f[1]), c.In<float>(0), c.In<float>(3), c.In<float>(5), c.In<float>(6), c.In<T>(1), c.In<T>(2),
              c.In<T>(4), c.n[5], std::min(c.n[2], c.n[3])};
  if (const int32_t* length = c.In<int32_t>(7)) x.n = length[0];
  if (x.n < 1 || x.n > x.Ck || x.n > x.Cv || (x.r && x.n > x.Cs)) return c.Fail("the length is not within the cache");
  float* o = c.Out<float>(0);
  const int64_t heads = x.Heads(), chunks = x.Chunks(), one = heads * x.Partial();
  const bool far = x.Far();
  Scratch partial(x.B * x.units * chunks * one);
  float* parts = partial;
  ParallelFor(x.B * x.units * chunks, 1, [&](int64_t task, int64_t) {
    const int64_t b = task / chunks / x.units, unit = task / chunks % x.units, chunk = task % chunks;
    float* share = parts + task * one;
    far ? ShareOf<true>(x, b, unit, chunk, share) : ShareOf<false>(x, b, unit, chunk, share);
  });
  for (int64_t i = 0; i < x.B * x.H; ++i) Join(x, i % x.H, parts + i / heads * chunks * one + i % heads * x.Partial(), one, o + i * x.e);
}

/// As kernel.ts says; n: B, H, G, Gv, capacities of k, v and ks, a, width of a key, e, r. f: scale, cap.
void AttentionDecode(const Call& c) { Attend<float>(c, c.n[9], c.n[10]); }
LAB_KERNEL("AttentionDecode", AttentionDecode);

/// The same over caches of halves; then n: numbers by which values and shared keys are apart.
void AttentionDecodeHalves(const Call& c) { Attend<Half>(c, c.n[11], c.n[12]); }
LAB_KERNEL("AttentionDecodeHalves", AttentionDecodeHalves);

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
