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

// q [B, T, H, d], k [B, S, Hk, d], v [B, S, Hk, e] to o [B, T, H, e] and lse [B, H, T]. One task a (row, head, tile of queries).
void Attention(const Call& c) {
  const Sizes s(c);
  const float *q = c.In<float>(0), *k = c.In<float>(1), *v = c.In<float>(2);
  float *o = c.Out<float>(0), *lse = c.Out<float>(1);
  const int64_t tiles = s.Tiles();
  ParallelFor(s.B * s.H * tiles, 1, [&](int64_t begin, int64_t end) {
    Scratch qRows(kTile * s.d), qT(kTile * s.d), kRows(s.cos ? kTile * s.d : 1), P(kTile * kTile), oRows(kTile * s.e);
    Scratch most(kTile), sum(kTile), factor(kTile);
    for (int64_t task = begin; task < end; ++task) {
      // Heads of one key head stand next to each other, so their keys stay in cache; the last tile of queries comes first, as it is the longest.
      const int64_t tile = tiles - 1 - task % tiles, h = task / tiles % s.H, b = task / tiles / s.H, g = h * s.Hk / s.H;
      const int64_t q0 = tile * kTile, rows = std::min(kTile, s.T - q0);
      Turn(s, rows, q0 + s.Shift(), s.scale, 1.0f, {q + ((b * s.T + q0) * s.H + h) * s.d, s.H * s.d}, {qRows, s.d});
      std::fill(qRows + rows * s.d, qRows + kTile * s.d, 0.0f);
      Transpose(kTile, s.d, {qRows, s.d}, {qT, kTile});
      std::fill_n(most.data(), kTile, -std::numeric_limits<float>::infinity());
      std::fill_n(sum.data(), kTile, 0.0f);
      std::fill_n(oRows.data(), kTile * s.e, 0.0f);
      const int64_t seen = s.causal ? std::min(s.S, q0 + rows + s.Shift()) : s.S;
      for (int64_t k0 = 0; k0 < seen; k0 += kTile) {
        const Pair t{rows, std::min(kTile, seen - k0), s.causal ? q0 + s.Shift() - k0 : kTile};
        Rows keys{k + ((b * s.S + k0) * s.Hk + g) * s.d, s.Hk * s.d};
        if (s.cos) {
          Turn(s, t.keys, k0, 1.0f, 1.0f, keys, {kRows, s.d});
          keys = {kRows, s.d};
        }
        Scores(t, s.d, keys, qT, P);
        if (t.Masked()) MaskOut(t, -std::numeric_limits<float>::infinity(), P);
        OnlineSoftmax(t.keys, P, most, sum, factor);
        if (k0 > 0)
          for (int64_t i = 0; i < rows; ++i)
            for (int64_t j = 0; j < s.e; j += W)
              StoreUpTo(oRows + i * s.e + j, LoadUpTo(oRows + i * s.e + j, s.e - j) * F(factor[i]), s.e - j);
        Product(rows, s.e, {P, 1, kTile}, {v + ((b * s.S + k0) * s.Hk + g) * s.e, s.Hk * s.e}, {oRows, s.e}, true,
                [&](int64_t, int64_t i1) { return Span{0, std::min(t.keys, i1 + t.reach), 0, s.e}; });
      }
      for (int64_t i = 0; i < rows; ++i) {
        const F share(1.0f / sum[i]);
        for (int64_t j = 0; j < s.e; j += W)
          StoreUpTo(o + ((b * s.T + q0 + i) * s.H + h) * s.e + j, LoadUpTo(oRows + i * s.e + j, s.e - j) * share, s.e - j);
        lse[(b * s.H + h) * s.T + q0 + i] = most[i] + std::log(sum[i]);
      }
    }
  });
}

// With p the softmax:  dv[s] = Σ_i p do[i],  dz = p (do[i]·v[s] - do[i]·o[i]),  dq[i] = scale Σ_s dz k[s],  dk[s] = scale Σ_i dz q[i].
// One task a (row, key head): it alone adds to that head's dk and dv, in a fixed order.
void AttentionGrad(const Call& c) {
  const Sizes s(c);
  const float *q = c.In<float>(0), *k = c.In<float>(1), *v = c.In<float>(2), *o = c.In<float>(5), *lse = c.In<float>(6), *dO = c.In<float>(7);
  float *dq = c.Out<float>(0), *dk = c.Out<float>(1), *dv = c.Out<float>(2);
  const int64_t perKey = s.H / s.Hk;
  ParallelFor(s.B * s.Hk, 1, [&](int64_t begin, int64_t end) {
    Scratch kRows(s.cos ? s.S * s.d : 1), qRows(kTile * s.d), qT(kTile * s.d), doT(kTile * s.e), P(kTile * kTile), dZ(kTile * kTile);
    Scratch dqRows(kTile * s.d), rowLse(kTile), delta(kTile);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t b = task / s.Hk, g = task % s.Hk;
      const Out dKeys{dk + (b * s.S * s.Hk + g) * s.d, s.Hk * s.d}, dValues{dv + (b * s.S * s.Hk + g) * s.e, s.Hk * s.e};
      for (int64_t t = 0; t < s.S; ++t) {
        std::fill_n(dKeys.p + t * dKeys.ld, s.d, 0.0f);
        std::fill_n(dValues.p + t * dValues.ld, s.e, 0.0f);
      }
      Rows keys{k + (b * s.S * s.Hk + g) * s.d, s.Hk * s.d};
      const Rows values{v + (b * s.S * s.Hk + g) * s.e, s.Hk * s.e};
      if (s.cos) {
        Turn(s, s.S, 0, 1.0f, 1.0f, keys, {kRows, s.d});
        keys = {kRows, s.d};
      }
      for (int64_t h = g * perKey; h < (g + 1) * perKey; ++h)
        for (int64_t q0 = 0; q0 < s.T; q0 += kTile) {
          const int64_t rows = std::min(kTile, s.T - q0), at = (b * s.T + q0) * s.H + h;
          const Rows dOut{dO + at * s.e, s.H * s.e};
          Turn(s, rows, q0 + s.Shift(), s.scale, 1.0f, {q + at * s.d, s.H * s.d}, {qRows, s.d});
          std::fill(qRows + rows * s.d, qRows + kTile * s.d, 0.0f);
          Transpose(kTile, s.d, {qRows, s.d}, {qT, kTile});
          std::fill_n(doT.data(), kTile * s.e, 0.0f);
          Transpose(rows, s.e, dOut, {doT, kTile});
          std::fill_n(rowLse.data(), kTile, 0.0f);
          std::fill_n(delta.data(), kTile, 0.0f);
          for (int64_t i = 0; i < rows; ++i) {
            rowLse[i] = lse[(b * s.H + h) * s.T + q0 + i];
            const float *os = o + (at + i * s.H) * s.e, *gs = dOut.p + i * dOut.ld;
            delta[i] = SumOver(s.e, [&](int64_t j, int64_t left) { return LoadUpTo(os + j, left) * LoadUpTo(gs + j, left); });
          }
          std::fill_n(dqRows.data(), kTile * s.d, 0.0f);
          const int64_t seen = s.causal ? std::min(s.S, q0 + rows + s.Shift()) : s.S;
          for (int64_t k0 = 0; k0 < seen; k0 += kTile) {
            const Pair t{rows, std::min(kTile, seen - k0), s.causal ? q0 + s.Shift() - k0 : kTile};
            const Rows tileKeys{keys.p + k0 * keys.ld, keys.ld}, tileValues{values.p + k0 * values.ld, values.ld};
            Scores(t, s.d, tileKeys, qT, P);
            Scores(t, s.e, tileValues, doT, dZ);
            for (int64_t key = 0; key < t.keys; ++key)
              for (int64_t i = t.FirstQuery(key); i < kTile; i += W) {
                const F p = Exp(Load(P + key * kTile + i) - Load(rowLse + i));
                Store(P + key * kTile + i, p);
                Store(dZ + key * kTile + i, p * (Load(dZ + key * kTile + i) - Load(delta + i)));
              }
            if (t.Masked()) {
              MaskOut(t, 0.0f, P);
              MaskOut(t, 0.0f, dZ);
            }
            // Keys s0 .. s1-1 are seen from query s0 - reach on; queries i0 .. i1-1 see keys up to i1 - 1 + reach.
            const auto seenFrom = [&](int64_t width) {
              return [=](int64_t s0, int64_t) { return Span{std::max<int64_t>(0, s0 - t.reach), rows, 0, width}; };
            };
            Product(t.keys, s.e, {P, kTile, 1}, dOut, {dValues.p + k0 * dValues.ld, dValues.ld}, true, seenFrom(s.e));
            Product(t.keys, s.d, {dZ, kTile, 1}, {qRows, s.d}, {dKeys.p + k0 * dKeys.ld, dKeys.ld}, true, seenFrom(s.d));
            Product(rows, s.d, {dZ, 1, kTile}, tileKeys, {dqRows, s.d}, true,
                    [&](int64_t, int64_t i1) { return Span{0, std::min(t.keys, i1 + t.reach), 0, s.d}; });
          }
          Turn(s, rows, q0 + s.Shift(), s.scale, -1.0f, {dqRows, s.d}, {dq + at * s.d, s.H * s.d});
        }
      if (s.cos) Turn(s, s.S, 0, 1.0f, -1.0f, {dKeys.p, dKeys.ld}, dKeys);
    }
  });
}

}  // namespace

LAB_KERNEL("Attention", Attention);
LAB_KERNEL("AttentionGrad", AttentionGrad);
