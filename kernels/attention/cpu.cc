// Softmax attention in tiles of 64 queries by 64 keys with an online softmax; the gradient rebuilds each tile from the saved log-sum-exp.
//
// A tile of scores lies transposed, P[s][i] with the queries i in the vector: row sums and maxima over keys are then plain vector sums, keys
// and values are read where they are, one number at a time, and only the queries (and do, in the gradient) are turned over once a tile.
#include <algorithm>
#include <cmath>
#include <limits>

#include "../core/lab.h"
#include "../core/rows.h"
#include "../core/tile.h"

namespace {

using namespace lab;

constexpr int64_t kTile = 64;                   // queries and keys of a tile
constexpr int kVectors = static_cast<int>(kTile) / W;
constexpr int kAtOnce = kVectors < 4 ? kVectors : 4;  // columns of vectors whose chains run side by side

struct Sizes {
  int64_t B, T, S, H, Hk, d, e;  // queries [B, T, H, d], keys [B, S, Hk, d], values [B, S, Hk, e]
  bool causal;
  float scale;
  const float *cos, *sin;  // [>= S, d/2] or null
  explicit Sizes(const Call& c)
      : B(c.n[0]), T(c.n[1]), S(c.n[2]), H(c.n[3]), Hk(c.n[4]), d(c.n[5]), e(c.n[6]), causal(c.n[7] != 0), scale(static_cast<float>(c.f[0])),
        cos(c.In<float>(3)), sin(c.In<float>(4)) {}
  int64_t Tiles() const { return (T + kTile - 1) / kTile; }
  // Query t stands where key t + Shift() stands.
  int64_t Shift() const { return S - T; }
};

// to[r] = scale · row r of `from` turned by table row first + r, for `rows` rows of d channels; sign -1 turns back.
void Turn(const Sizes& s, int64_t rows, int64_t first, float scale, float sign, Rows from, Out to) {
  const int64_t half = s.d / 2;
  for (int64_t r = 0; r < rows; ++r) {
    const float* u = from.p + r * from.ld;
    float* v = to.p + r * to.ld;
    if (!s.cos) {
      for (int64_t j = 0; j < s.d; j += W) StoreUpTo(v + j, F(scale) * LoadUpTo(u + j, s.d - j), s.d - j);
      continue;
    }
    const float *cs = s.cos + (first + r) * half, *sn = s.sin + (first + r) * half;
    for (int64_t j = 0; j < half; j += W) {
      const int64_t left = half - j;
      const F a = LoadUpTo(u + j, left), b = LoadUpTo(u + half + j, left);
      const F c = LoadUpTo(cs + j, left) * F(scale), n = LoadUpTo(sn + j, left) * F(scale * sign);
      StoreUpTo(v + j, a * c - b * n, left);
      StoreUpTo(v + half + j, b * c + a * n, left);
    }
  }
}

// One pair of tiles: queries q0 .. q0+rows-1 against keys k0 .. k0+keys-1. Query i sees key s where s <= i + reach.
struct Pair {
  int64_t rows, keys, reach;
  bool Masked() const { return reach < keys - 1; }
  // First query (rounded down to a vector) that sees key s.
  int64_t FirstQuery(int64_t s) const { return std::max<int64_t>(0, s - reach) / W * W; }
};

// P[s][i] = K[s] · Q^T[:, i] where query i may see key s (and a little beyond).
void Scores(const Pair& t, int64_t width, Rows keys, const float* qT, float* P) {
  Product(t.keys, kTile, {keys.p, keys.ld, 1}, {qT, kTile}, {P, kTile}, false,
          [&](int64_t s0, int64_t) { return Span{0, width, t.FirstQuery(s0), kTile}; });
}

// Sets what may not be seen to `value`.
void MaskOut(const Pair& t, float value, float* P) {
  for (int64_t s = std::max<int64_t>(0, t.reach + 1); s < t.keys; ++s) {
    const int64_t unseen = s - t.reach;  // queries 0 .. unseen-1
    for (int64_t i = 0; i < unseen && i < kTile; i += W)
      Store(P + s * kTile + i, unseen - i >= W ? F(value) : Select(Lt(Iota(), F(static_cast<float>(unseen - i))), F(value), Load(P + s * kTile + i)));
  }
}

// Takes the scores of a tile to exp(score - most), keeping for each query the running maximum and sum; factor[i] is what earlier sums shrink by.
void OnlineSoftmax(int64_t keys, float* P, float* most, float* sum, float* factor) {
  for (int v = 0; v < kVectors; v += kAtOnce) {
    F m[kAtOnce], l[kAtOnce];
    for (int a = 0; a < kAtOnce; ++a) m[a] = Load(most + (v + a) * W);
    for (int64_t s = 0; s < keys; ++s)
      for (int a = 0; a < kAtOnce; ++a) m[a] = Max(m[a], Load(P + s * kTile + (v + a) * W));
    for (int a = 0; a < kAtOnce; ++a) {
      const int64_t at = (v + a) * W;
      const F shrink = Exp(Load(most + at) - m[a]);
      Store(factor + at, shrink);
      Store(most + at, m[a]);
      l[a] = Load(sum + at) * shrink;
    }
    for (int64_t s = 0; s < keys; ++s)
      for (int a = 0; a < kAtOnce; ++a) {
        float* p = P + s * kTile + (v + a) * W;
        const F e = Exp(Load(p) - m[a]);
        Store(p, e);
        l[a] += e;
      }
    for (int a = 0; a < kAtOnce; ++a) Store(sum + (v + a) * W, l[a]);
  }
}

// Rows of `width` numbers from one place to another.
void Copy(int64_t rows, int64_t width, Rows from, Out to) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t j = 0; j < width; j += W) StoreUpTo(to.p + r * to.ld + j, LoadUpTo(from.p + r * from.ld + j, width - j), width - j);
}

// Keys and values of one (row, key head), the keys turned: side by side, as rows a power of two apart would fight for the same lines of L1.
struct Memory {
  Scratch keys, values;
  explicit Memory(const Sizes& s) : keys(s.S * s.d), values(s.S * s.e) {}
  void Fill(const Sizes& s, int64_t b, int64_t g, int64_t count, const float* k, const float* v) {
    Turn(s, count, 0, 1.0f, 1.0f, {k + (b * s.S * s.Hk + g) * s.d, s.Hk * s.d}, {keys, s.d});
    Copy(count, s.e, {v + (b * s.S * s.Hk + g) * s.e, s.Hk * s.e}, {values, s.e});
  }
};

// Turns, scales and transposes the queries of a tile; missing rows are 0.
void LoadQueries(const Sizes& s, int64_t rows, int64_t first, Rows q, float* qRows, float* qT) {
  Turn(s, rows, first, s.scale, 1.0f, q, {qRows, s.d});
  std::fill(qRows + rows * s.d, qRows + kTile * s.d, 0.0f);
  Transpose(kTile, s.d, {qRows, s.d}, {qT, kTile});
}

// q [B, T, H, d], k [B, S, Hk, d], v [B, S, Hk, e] to o [B, T, H, e] and lse [B, H, T]. One task a (row, head, run of tiles of queries).
void Attention(const Call& c) {
  const Sizes s(c);
  const float *q = c.In<float>(0), *k = c.In<float>(1), *v = c.In<float>(2);
  float *o = c.Out<float>(0), *lse = c.Out<float>(1);
  // Tiles of one head share its turned keys, but some 32 tasks are wanted.
  const int64_t tiles = s.Tiles(), run = std::max<int64_t>(1, std::min(tiles, s.B * s.H * tiles / 32)), runs = (tiles + run - 1) / run;
  ParallelFor(s.B * s.H * runs, 1, [&](int64_t begin, int64_t end) {
    Memory memory(s);
    Scratch qRows(kTile * s.d), qT(kTile * s.d), P(kTile * kTile), oRows(kTile * s.e), most(kTile), sum(kTile), factor(kTile);
    for (int64_t task = begin; task < end; ++task) {
      // The last run of tiles comes first, as it is the longest.
      const int64_t first = (runs - 1 - task % runs) * run, h = task / runs % s.H, b = task / runs / s.H;
      const int64_t past = std::min(s.T, (first + run) * kTile);
      memory.Fill(s, b, h * s.Hk / s.H, s.causal ? past + s.Shift() : s.S, k, v);
      for (int64_t q0 = first * kTile; q0 < past; q0 += kTile) {
        const int64_t rows = std::min(kTile, s.T - q0), at = (b * s.T + q0) * s.H + h;
        LoadQueries(s, rows, q0 + s.Shift(), {q + at * s.d, s.H * s.d}, qRows, qT);
        std::fill_n(most.data(), kTile, -std::numeric_limits<float>::infinity());
        std::fill_n(sum.data(), kTile, 0.0f);
        const int64_t seen = s.causal ? q0 + rows + s.Shift() : s.S;
        for (int64_t k0 = 0; k0 < seen; k0 += kTile) {
          const Pair t{rows, std::min(kTile, seen - k0), s.causal ? q0 + s.Shift() - k0 : kTile};
          Scores(t, s.d, {memory.keys + k0 * s.d, s.d}, qT, P);
          if (t.Masked()) MaskOut(t, -std::numeric_limits<float>::infinity(), P);
          OnlineSoftmax(t.keys, P, most, sum, factor);
          if (k0 > 0)
            for (int64_t i = 0; i < rows; ++i)
              for (int64_t j = 0; j < s.e; j += W)
                StoreUpTo(oRows + i * s.e + j, LoadUpTo(oRows + i * s.e + j, s.e - j) * F(factor[i]), s.e - j);
          Product(rows, s.e, {P, 1, kTile}, {memory.values + k0 * s.e, s.e}, {oRows, s.e}, k0 > 0,
                  [&](int64_t, int64_t i1) { return Span{0, std::min(t.keys, i1 + t.reach), 0, s.e}; });
        }
        for (int64_t i = 0; i < rows; ++i) {
          const F share(1.0f / sum[i]);
          for (int64_t j = 0; j < s.e; j += W)
            StoreUpTo(o + (at + i * s.H) * s.e + j, LoadUpTo(oRows + i * s.e + j, s.e - j) * share, s.e - j);
          lse[(b * s.H + h) * s.T + q0 + i] = most[i] + std::log(sum[i]);
        }
      }
    }
  });
}

// What the gradient of one (row, key head) works with.
struct GradScratch {
  Memory memory;
  Scratch dKeys, dValues, qRows, qT, doRows, doT, P, dZ, dqRows, lse, delta;
  explicit GradScratch(const Sizes& s)
      : memory(s), dKeys(s.S * s.d), dValues(s.S * s.e), qRows(kTile * s.d), qT(kTile * s.d), doRows(kTile * s.e), doT(kTile * s.e),
        P(kTile * kTile), dZ(kTile * kTile), dqRows(kTile * s.d), lse(kTile), delta(kTile) {}
};

// One tile of queries against one of keys: adds to dKeys and dValues, and to dqRows (or starts it where k0 is 0).
void PairBackward(const Sizes& s, const Pair& t, int64_t k0, GradScratch& x) {
  const Rows keys{x.memory.keys + k0 * s.d, s.d}, values{x.memory.values + k0 * s.e, s.e};
  Scores(t, s.d, keys, x.qT, x.P);
  Scores(t, s.e, values, x.doT, x.dZ);
  for (int64_t key = 0; key < t.keys; ++key)
    for (int64_t i = t.FirstQuery(key); i < kTile; i += W) {
      float *p = x.P + key * kTile + i, *z = x.dZ + key * kTile + i;
      const F e = Exp(Load(p) - Load(x.lse + i));
      Store(p, e);
      Store(z, e * (Load(z) - Load(x.delta + i)));
    }
  if (t.Masked()) {
    MaskOut(t, 0.0f, x.P);
    MaskOut(t, 0.0f, x.dZ);
  }
  // Keys s0 .. s1-1 are seen from query s0 - reach on; queries i0 .. i1-1 see keys up to i1 - 1 + reach.
  const auto from = [&](int64_t width) {
    return [=](int64_t s0, int64_t) { return Span{std::max<int64_t>(0, s0 - t.reach), t.rows, 0, width}; };
  };
  Product(t.keys, s.e, {x.P, kTile, 1}, {x.doRows, s.e}, {x.dValues + k0 * s.e, s.e}, true, from(s.e));
  Product(t.keys, s.d, {x.dZ, kTile, 1}, {x.qRows, s.d}, {x.dKeys + k0 * s.d, s.d}, true, from(s.d));
  Product(t.rows, s.d, {x.dZ, 1, kTile}, keys, {x.dqRows, s.d}, k0 > 0,
          [&](int64_t, int64_t i1) { return Span{0, std::min(t.keys, i1 + t.reach), 0, s.d}; });
}

// With p the softmax:  dv[s] = Σ_i p do[i],  dz = p (do[i]·v[s] - do[i]·o[i]),  dq[i] = scale Σ_s dz k[s],  dk[s] = scale Σ_i dz q[i].
// One task a (row, key head): it alone adds to that head's dk and dv, in a fixed order.
void AttentionGrad(const Call& c) {
  const Sizes s(c);
  const float *q = c.In<float>(0), *k = c.In<float>(1), *v = c.In<float>(2), *o = c.In<float>(5), *lse = c.In<float>(6), *dO = c.In<float>(7);
  float *dq = c.Out<float>(0), *dk = c.Out<float>(1), *dv = c.Out<float>(2);
  const int64_t perKey = s.H / s.Hk;
  ParallelFor(s.B * s.Hk, 1, [&](int64_t begin, int64_t end) {
    GradScratch x(s);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t b = task / s.Hk, g = task % s.Hk;
      x.memory.Fill(s, b, g, s.S, k, v);
      std::fill_n(x.dKeys.data(), s.S * s.d, 0.0f);
      std::fill_n(x.dValues.data(), s.S * s.e, 0.0f);
      for (int64_t h = g * perKey; h < (g + 1) * perKey; ++h)
        for (int64_t q0 = 0; q0 < s.T; q0 += kTile) {
          const int64_t rows = std::min(kTile, s.T - q0), at = (b * s.T + q0) * s.H + h;
          LoadQueries(s, rows, q0 + s.Shift(), {q + at * s.d, s.H * s.d}, x.qRows, x.qT);
          Copy(rows, s.e, {dO + at * s.e, s.H * s.e}, {x.doRows, s.e});
          std::fill(x.doRows + rows * s.e, x.doRows + kTile * s.e, 0.0f);
          Transpose(kTile, s.e, {x.doRows, s.e}, {x.doT, kTile});
          for (int64_t i = 0; i < kTile; ++i) {
            const float *os = o + (at + i * s.H) * s.e, *gs = x.doRows + i * s.e;
            x.lse[i] = i < rows ? lse[(b * s.H + h) * s.T + q0 + i] : 0.0f;
            x.delta[i] = i < rows ? SumOver(s.e, [&](int64_t j, int64_t left) { return LoadUpTo(os + j, left) * LoadUpTo(gs + j, left); }) : 0.0f;
          }
          const int64_t seen = s.causal ? q0 + rows + s.Shift() : s.S;
          for (int64_t k0 = 0; k0 < seen; k0 += kTile)
            PairBackward(s, {rows, std::min(kTile, seen - k0), s.causal ? q0 + s.Shift() - k0 : kTile}, k0, x);
          Turn(s, rows, q0 + s.Shift(), s.scale, -1.0f, {x.dqRows, s.d}, {dq + at * s.d, s.H * s.d});
        }
      Turn(s, s.S, 0, 1.0f, -1.0f, {x.dKeys, s.d}, {dk + (b * s.S * s.Hk + g) * s.d, s.Hk * s.d});
      Copy(s.S, s.e, {x.dValues, s.e}, {dv + (b * s.S * s.Hk + g) * s.e, s.Hk * s.e});
    }
  });
}

}  // namespace

LAB_KERNEL("Attention", Attention);
LAB_KERNEL("AttentionGrad", AttentionGrad);
