// Differential attention: both maps of a head over the same values, their difference, and its norm, in tiles; nothing of size T x T is kept.
#include "tiles.h"

namespace {

using namespace lab;
using namespace lab::attention;

/// Inputs q [B, T, 2H, d], k [B, S, 2Hk, d], v [B, S, Hk, e], rest, weight [e], cos, sin; ints B, T, S, H, Hk, d, e, causal, turning; floats scale, epsilon.
struct Differential : Sizes {
  float rest, epsilon;
  const float* weight;
  explicit Differential(const Call& c) : Sizes{} {
    B = c.n[0], T = c.n[1], S = c.n[2], H = c.n[3], Hk = c.n[4], d = c.n[5], e = c.n[6];
    ahead = c.n[7] != 0 ? 0 : kFar, behind = -kFar;
    turning = c.n[8];
    scale = static_cast<float>(c.f[0]), epsilon = static_cast<float>(c.f[1]);
    rest = *c.In<float>(3), weight = c.In<float>(4);
    cos = c.In<float>(5), sin = c.In<float>(6);
    // Key head 2 g + component; values of head g are asked for by themselves.
    source = {c.In<float>(1), nullptr, c.In<float>(2), 2 * Hk * d, d, d, 0, Hk * e, e};
  }
  /// Query head 2 h + component: its first number in q and dq, at token t; and its row in lse.
  int64_t QueryAt(int64_t b, int64_t t, int64_t h, int component) const { return (((b * T + t) * H + h) * 2 + component) * d; }
  int64_t Line(int64_t b, int64_t h, int component) const { return ((b * H + h) * 2 + component) * T; }
  /// (first - second) + rest · second, whose digits hold where both maps agree.
  F Difference(F first, F second) const { return Fma(F(rest), second, first - second); }
  /// 1 / sqrt(mean(o²) + epsilon).
  float Rstd(const float* first, const float* second) const {
    const float square = SumOver(e, [&](int64_t j, int64_t left) {
      const F o = Difference(LoadUpTo(first + j, left), LoadUpTo(second + j, left));
      return o * o;
    });
    return 1.0f / std::sqrt(square / static_cast<float>(e) + epsilon);
  }
};

void DifferentialAttention(const Call& c) {
  const Differential s(c);
  const float* q = c.In<float>(0);
  const Room y = c.Result(0);
  float *read[2] = {c.Out<float>(1), c.Out<float>(2)}, *lse = c.Out<float>(3);
  const int64_t tiles = s.Tiles(), run = std::max<int64_t>(1, std::min(tiles, s.B * s.H * tiles / 32)), runs = (tiles + run - 1) / run;
  ParallelFor(s.B * s.H * runs, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t q0 = (runs - 1 - task % runs) * run * kTile, q1 = std::min(s.T, q0 + run * kTile), h = task / runs % s.H, b = task / runs / s.H;
      const int64_t g = h * s.Hk / s.H, past = s.PastKey(q1 - 1 + s.Shift());
      Held keys0(s.form, past, s.d, true, false), keys1(s.form, past, s.d, true, false), values(s.form, past, s.e, false, true);
      FillKeys(s, b, 2 * g, 0, past, keys0);
      FillKeys(s, b, 2 * g + 1, 0, past, keys1);
      FillValues(s, b, g, 0, past, values);
      ForwardScratch x(s);
      for (int64_t t0 = q0; t0 < q1; t0 += kTile) {
        const int64_t rows = std::min(kTile, s.T - t0), place = t0 + s.Shift(), at = ((b * s.T + t0) * s.H + h) * s.e, apart = s.H * s.e;
        for (const int map : {0, 1}) {
          LoadQueries(s, rows, t0, q + s.QueryAt(b, t0, h, map), 2 * s.H * s.d, false, x.queries);
          std::fill_n(x.most.data(), kTile, kLowest);
          std::fill_n(x.sum.data(), kTile, 0.0f);
          const Upcoming next{q + s.QueryAt(b, t0 + kTile, h, map), 2 * s.H * s.d, s.d, std::min(kTile, q1 - t0 - kTile)};
          AttendTile(s, rows, place, 0, s.PastKey(place + rows - 1), 0, map ? keys1 : keys0, values, 0.0f, next, x);
          for (int64_t i = 0; i < rows; ++i) {
            const F share(1.0f / x.sum[i]);
            float* to = read[map] + at + i * apart;
            for (int64_t j = 0; j < s.e; j += W) StoreUpTo(to + j, LoadUpTo(x.o + i * s.e + j, s.e - j) * share, s.e - j);
          }
          LogSums(rows, x.most, x.sum, lse + s.Line(b, h, map) + t0);
        }
        for (int64_t i = 0; i < rows; ++i) {
          const float *first = read[0] + at + i * apart, *second = read[1] + at + i * apart;
          const F rstd(s.Rstd(first, second));
          y.Past(at + i * apart).With([&](auto* to) {
            for (int64_t j = 0; j < s.e; j += W) {
              const int64_t left = s.e - j;
              const F o = s.Difference(LoadUpTo(first + j, left), LoadUpTo(second + j, left));
              StoreUpTo(to + j, o * rstd * LoadUpTo(s.weight + j, left), left);
            }
          });
        }
      }
    }
  });
}

/// What one part of the gradient of one (row, key head) works with.
struct GradScratch {
  Held keys0, keys1, values;
  Queries queries0, queries1, slopes;
  Scratch P0, P1, dZ0, dZ1, pairs, dq0, dq1, lse0, lse1, delta0, delta1;
  explicit GradScratch(const Sizes& s)
      : keys0(s.form, s.S, s.d, true, true), keys1(s.form, s.S, s.d, true, true), values(s.form, s.S, s.e, true, false), queries0(s.form, s.d),
        queries1(s.form, s.d), slopes(s.form, s.e), P0(kTile * kTile), P1(kTile * kTile), dZ0(kTile * kTile), dZ1(kTile * kTile),
        pairs(kTile * kTile / 2), dq0(kTile * s.d), dq1(kTile * s.d), lse0(kTile), lse1(kTile), delta0(kTile), delta1(kTile) {}
};

/// The rows of the tile from t0: do from dy through the norm into x.slopes, both deltas and log-sums; adds to dweight [e] and, the result, to drest.
float LoadSlopes(const Differential& s, int64_t rows, int64_t b, int64_t t0, int64_t h, const float* first, const float* second, const float* lse,
                 const float* dy, GradScratch& x, float* dweight) {
  float drest = 0.0f;
  for (int64_t i = 0; i < kTile; ++i) x.lse0[i] = x.lse1[i] = x.delta0[i] = x.delta1[i] = 0.0f;
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t at = ((b * s.T + t0 + i) * s.H + h) * s.e;
    const float *a = first + at, *z = second + at, *gradient = dy + at;
    float* to = x.slopes.Row(i);
    const float rstd = s.Rstd(a, z);
    const auto normed = [&](int64_t j, int64_t left) { return s.Difference(LoadUpTo(a + j, left), LoadUpTo(z + j, left)) * F(rstd); };
    const float mean = SumOver(s.e, [&](int64_t j, int64_t left) {
      const F slope = LoadUpTo(gradient + j, left), unit = normed(j, left);
      StoreUpTo(dweight + j, Fma(slope, unit, LoadUpTo(dweight + j, left)), left);
      return slope * LoadUpTo(s.weight + j, left) * unit;
    }) / static_cast<float>(s.e);
    for (int64_t j = 0; j < s.e; j += W) {
      const int64_t left = s.e - j;
      StoreUpTo(to + j, F(rstd) * (LoadUpTo(gradient + j, left) * LoadUpTo(s.weight + j, left) - F(mean) * normed(j, left)), left);
    }
    x.delta0[i] = SumOver(s.e, [&](int64_t j, int64_t left) { return LoadUpTo(to + j, left) * LoadUpTo(a + j, left); });
    x.delta1[i] = SumOver(s.e, [&](int64_t j, int64_t left) { return LoadUpTo(to + j, left) * LoadUpTo(z + j, left); });
    x.lse0[i] = lse[s.Line(b, h, 0) + t0 + i];
    x.lse1[i] = lse[s.Line(b, h, 1) + t0 + i];
    drest += x.delta1[i];
  }
  x.slopes.Finish(rows, true);
  return drest;
}

/// One tile of queries against keys k0 ...: adds to dKeys of both components [2, S, d] and dValues [S, e], and to dq (or starts it). `whole`: these are
/// all the keys.
void PairBackward(const Differential& s, const Pair& t, int64_t k0, bool start, bool whole, GradScratch& x, float* dKeys, float* dValues) {
  Scores(s.form, t, s.d, x.keys0.Left(k0), x.queries0.Across(), x.P0, {});
  Scores(s.form, t, s.d, x.keys1.Left(k0), x.queries1.Across(), x.P1, {});
  Scores(s.form, t, s.e, x.values.Left(k0), x.slopes.Across(), x.dZ0, {});
  std::copy_n(x.dZ0.data(), t.keys * kTile, x.dZ1.data());
  if (s.Bent()) {
    Bend(s, t, 0.0f, x.P0, nullptr);
    Bend(s, t, 0.0f, x.P1, nullptr);
  }
  Slopes(t, {x.lse0.data(), x.delta0.data(), nullptr, whole}, x.P0, x.dZ0, nullptr);
  Slopes(t, {x.lse1.data(), x.delta1.data(), nullptr, whole}, x.P1, x.dZ1, nullptr);
  // The values were read by P0 - λ P1, and the second map's exponents count -λ times.
  const F minus(s.rest - 1.0f);
  for (int64_t i = 0; i < t.keys * kTile; i += W) {
    Store(x.P0 + i, Fma(minus, Load(x.P1 + i), Load(x.P0 + i)));
    Store(x.dZ1 + i, minus * Load(x.dZ1 + i));
  }
  const auto queries = [&](int64_t width) { return [&s, &t, width](int64_t s0, int64_t s1) { return t.OverQueries(s.form, s0, s1, width); }; };
  const auto keys = [&](int64_t i0, int64_t i1) { return t.OverKeys(s.form, i0, i1, s.d); };
  Multiply(s.form, t.keys, s.e, OverQueries(s.form, t, x.P0, x.pairs), x.slopes.ForSums(), {dValues + k0 * s.e, s.e}, true, queries(s.e));
  Multiply(s.form, t.keys, s.d, OverQueries(s.form, t, x.dZ0, x.pairs), x.queries0.ForSums(), {dKeys + k0 * s.d, s.d}, true, queries(s.d));
  Multiply(s.form, t.keys, s.d, OverQueries(s.form, t, x.dZ1, x.pairs), x.queries1.ForSums(), {dKeys + (s.S + k0) * s.d, s.d}, true, queries(s.d));
  Multiply(s.form, t.rows, s.d, OverKeys(s.form, t, x.dZ0, x.pairs), x.keys0.Right(k0), {x.dq0, s.d}, !start, keys);
  Multiply(s.form, t.rows, s.d, OverKeys(s.form, t, x.dZ1, x.pairs), x.keys1.Right(k0), {x.dq1, s.d}, !start, keys);
}

void DifferentialAttentionGrad(const Call& c) {
  const Differential s(c);
  const float *q = c.In<float>(0), *first = c.In<float>(7), *second = c.In<float>(8), *lse = c.In<float>(9), *dy = c.In<float>(10);
  const Room dq = c.Result(0), dk = c.Result(1), dv = c.Result(2);
  float *drest = c.Out<float>(3), *dweight = c.Out<float>(4);
  const int64_t perKey = s.H / s.Hk, tiles = s.Tiles(), heads = s.B * s.Hk;
  const Deal deal(s, perKey * tiles);
  const int64_t perKeys = 2 * s.S * s.d, perValues = s.S * s.e, tasks = heads * deal.parts, kept = deal.parts > 1 ? tasks : 0;
  Scratch dKeys(kept * perKeys), dValues(kept * perValues), weights(tasks * s.e), rests(tasks);
  // The other parts are added to the first.
  const auto store = [&](int64_t head, int64_t from, int64_t past, int64_t parts, float* keys, float* values) {
    const int64_t b = head / s.Hk, g = head % s.Hk;
    for (int64_t at = from; at < past; ++at) {
      for (int64_t p = 1; p < parts; ++p) Add(s.e, values + p * perValues + at * s.e, values + at * s.e);
      dv.Past(((b * s.S + at) * s.Hk + g) * s.e).With([&](auto* to) { Copy(s.e, values + at * s.e, to); });
      for (const int map : {0, 1}) {
        float* sum = keys + (map * s.S + at) * s.d;
        for (int64_t p = 1; p < parts; ++p) Add(s.d, sum + p * perKeys, sum);
        dk.Past(((b * s.S + at) * 2 * s.Hk + 2 * g + map) * s.d).With([&](auto* to) { TurnRow(s, s.d, at, s.KeyScale(), -1.0f, sum, to); });
      }
    }
  };
  ParallelFor(tasks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      GradScratch x(s);
      const int64_t head = task / deal.parts, b = head / s.Hk, g = head % s.Hk;
      Scratch localKeys(kept ? 0 : perKeys), localValues(kept ? 0 : perValues);
      float *ownKeys = kept ? dKeys + task * perKeys : localKeys.data(), *ownValues = kept ? dValues + task * perValues : localValues.data();
      FillKeys(s, b, 2 * g, 0, s.S, x.keys0);
      FillKeys(s, b, 2 * g + 1, 0, s.S, x.keys1);
      FillValues(s, b, g, 0, s.S, x.values);
      std::fill_n(ownKeys, perKeys, 0.0f);
      std::fill_n(ownValues, perValues, 0.0f);
      std::fill_n(weights + task * s.e, s.e, 0.0f);
      rests[task] = 0.0f;
      deal.Each(task % deal.parts, [&](int64_t item) {
        const int64_t h = g * perKey + item / tiles, t0 = item % tiles * kTile, rows = std::min(kTile, s.T - t0), place = t0 + s.Shift();
        const int64_t at = s.QueryAt(b, t0, h, 0), apart = 2 * s.H * s.d;
        LoadQueries(s, rows, t0, q + at, apart, true, x.queries0);
        LoadQueries(s, rows, t0, q + at + s.d, apart, true, x.queries1);
        rests[task] += LoadSlopes(s, rows, b, t0, h, first, second, lse, dy, x, weights + task * s.e);
        const int64_t hi = s.PastKey(place + rows - 1);
        for (int64_t k0 = 0; k0 < hi; k0 += kTile) PairBackward(s, Pair(s, rows, place, k0, hi), k0, k0 == 0, hi <= kTile, x, ownKeys, ownValues);
        for (int64_t i = 0; i < rows; ++i)
          dq.Past(at + i * apart).With([&](auto* to) {
            TurnRow(s, s.d, place + i, s.scale, -1.0f, x.dq0 + i * s.d, to);
            TurnRow(s, s.d, place + i, s.scale, -1.0f, x.dq1 + i * s.d, to + s.d);
          });
      });
      if (!kept) store(head, 0, s.S, 1, ownKeys, ownValues);
    }
  });
  if (kept) {
    const int64_t blocks = (s.S + kTile - 1) / kTile;
    ParallelFor(heads * blocks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t head = i / blocks, from = i % blocks * kTile, task = head * deal.parts;
        store(head, from, std::min(s.S, from + kTile), deal.parts, dKeys + task * perKeys, dValues + task * perValues);
      }
    });
  }
  SumParts(weights, tasks, s.e, s.e, dweight);
  *drest = 0.0f;
  for (int64_t task = 0; task < tasks; ++task) *drest += rests[task];
}

// May be halves: y; dq, dk and dv.
uint64_t Halved(const Call& c) { return c.OutBit(0); }
uint64_t GradHalved(const Call& c) { return c.OutBits(0, 3); }

}  // namespace

LAB_KERNEL("DifferentialAttention", DifferentialAttention, Halved);
LAB_KERNEL("DifferentialAttentionGrad", DifferentialAttentionGrad, GradHalved);
