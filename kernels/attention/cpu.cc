// Softmax attention in tiles of 64 queries by 64 keys with an online softmax; the gradient rebuilds each tile from the saved log-sum-exp.
// The same for keys whose rotary part all heads share (MLA, GLA, GTA).
#include "tiles.h"

namespace {

using namespace lab;
using namespace lab::attention;

/// The window of a call: ints from `at` on are causal, strict, window.
void SetSight(const Call& c, int at, Sizes& s) {
  const bool causal = c.n[at] != 0;
  const int64_t strict = c.n[at + 1], window = c.n[at + 2];
  s.ahead = causal ? -strict : window > 0 ? window - 1 : kFar;
  s.behind = window > 0 ? 1 - window - strict : -kFar;
}

/// Inputs q, k, v, cos, sin, sinks; ints B, T, S, H, Hk, d, e, causal, strict, window, turning, alibi; floats scale, cap.
Sizes Plain(const Call& c) {
  Sizes s{};
  s.B = c.n[0], s.T = c.n[1], s.S = c.n[2], s.H = c.n[3], s.Hk = c.n[4], s.d = c.n[5], s.e = c.n[6];
  SetSight(c, 7, s);
  s.turning = c.n[10], s.alibi = c.n[11] != 0;
  s.scale = static_cast<float>(c.f[0]), s.cap = static_cast<float>(c.f[1]);
  s.cos = c.In<float>(3), s.sin = c.In<float>(4);
  s.source = {c.In<float>(1), nullptr, c.In<float>(2), s.Hk * s.d, s.d, s.d, 0, s.Hk * s.e, s.e};
  return s;
}

/// Inputs q, kv, shared, cos, sin; ints B, T, S, H, Hk, d, width of kv, causal, width of the own key, first channel of the value, turning.
Sizes Latent(const Call& c) {
  Sizes s{};
  s.B = c.n[0], s.T = c.n[1], s.S = c.n[2], s.H = c.n[3], s.Hk = c.n[4], s.d = c.n[5];
  const int64_t width = c.n[6], own = c.n[8], valueAt = c.n[9], token = s.Hk * width;
  s.e = width - valueAt;
  s.ahead = c.n[7] != 0 ? 0 : kFar, s.behind = -kFar;
  s.turning = c.n[10];
  s.scale = static_cast<float>(c.f[0]);
  s.cos = c.In<float>(3), s.sin = c.In<float>(4);
  s.source = {c.In<float>(1), c.In<float>(2), c.In<float>(1) + valueAt, token, width, own, s.d - own, token, width};
  return s;
}

/// q [B, T, H, d] to o [B, T, H, e] and lse [B, H, T]. One task a (row, head, run of tiles of queries).
void Forward(const Sizes& s, const float* q, const float* sinks, float* o, float* lse) {
  // Tiles of one head share its turned keys, but some 32 tasks are wanted.
  const int64_t tiles = s.Tiles(), run = std::max<int64_t>(1, std::min(tiles, s.B * s.H * tiles / 32)), runs = (tiles + run - 1) / run;
  ParallelFor(s.B * s.H * runs, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      // The last run of tiles comes first, as it is the longest.
      const int64_t q0 = (runs - 1 - task % runs) * run * kTile, q1 = std::min(s.T, q0 + run * kTile), h = task / runs % s.H, b = task / runs / s.H;
      const int64_t g = h * s.Hk / s.H, first = s.FirstKey(q0 + s.Shift()), past = std::max(first, s.PastKey(q1 - 1 + s.Shift()));
      Held keys(s.form, past - first, s.d, true, false), values(s.form, past - first, s.e, false, true);
      FillKeys(s, b, g, first, past, keys);
      FillValues(s, b, g, first, past, values);
      ForwardScratch x(s);
      for (int64_t t0 = q0; t0 < q1; t0 += kTile) {
        const int64_t rows = std::min(kTile, s.T - t0), place = t0 + s.Shift(), at = (b * s.T + t0) * s.H + h;
        LoadQueries(s, rows, t0, q + at * s.d, s.H * s.d, false, x.queries);
        std::fill_n(x.most.data(), kTile, sinks ? std::max(kLowest, sinks[h] * kLog2e) : kLowest);
        std::fill_n(x.sum.data(), kTile, sinks ? 1.0f : 0.0f);
        const Upcoming next{q + (at + kTile * s.H) * s.d, s.H * s.d, s.d, std::min(kTile, q1 - t0 - kTile)};
        AttendTile(s, rows, place, s.FirstKey(place), s.PastKey(place + rows - 1), first, keys, values, s.Slope(h), next, x);
        for (int64_t i = 0; i < rows; ++i) {
          const F share(x.sum[i] > 0.0f ? 1.0f / x.sum[i] : x.sum[i]);
          float* to = o + (at + i * s.H) * s.e;
          for (int64_t j = 0; j < s.e; j += W) StoreUpTo(to + j, LoadUpTo(x.o + i * s.e + j, s.e - j) * share, s.e - j);
        }
        LogSums(rows, x.most, x.sum, lse + (b * s.H + h) * s.T + t0);
      }
    }
  });
}

/// What the gradient goes to. dOwn and dValues lie like Source's; `overlaid`: the own keys are the first channels of the values, and no halves.
struct Target {
  Room dq, dOwn, dValues;
  float *dShared, *dSinks;
  bool overlaid;
};

/// What one part of the gradient of one (row, key head) works with.
struct GradScratch {
  Held keys, values;
  Queries queries, slopes;
  Scratch P, dZ, gain, pairs, dq, lse, delta, rest;
  explicit GradScratch(const Sizes& s)
      : keys(s.form, s.S, s.d, true, true), values(s.form, s.S, s.e, true, false), queries(s.form, s.d), slopes(s.form, s.e), P(kTile * kTile),
        dZ(kTile * kTile), gain(s.cap > 0.0f ? kTile * kTile : 0), pairs(kTile * kTile / 2), dq(kTile * s.d), lse(kTile), delta(kTile),
        rest(kTile) {}
};

/// Rows that the next tile of queries will read.
struct NextTile {
  Upcoming q, o, dO;
};

/// One tile of queries against keys k0 ...: adds to dKeys [S, d] and dValues [S, e], and to x.dq (or starts it). `whole`: these are all the keys.
void PairBackward(const Sizes& s, const Pair& t, int64_t k0, float slope, bool start, bool whole, const NextTile& next, GradScratch& x, float* dKeys,
                  float* dValues) {
  Scores(s.form, t, s.d, x.keys.Left(k0), x.queries.Across(), x.P, next.q);
  Scores(s.form, t, s.e, x.values.Left(k0), x.slopes.Across(), x.dZ, next.dO);
  float* gain = s.cap > 0.0f ? x.gain.data() : nullptr;
  if (s.Bent()) Bend(s, t, slope, x.P, gain);
  Slopes(t, {x.lse.data(), x.delta.data(), x.rest.data(), whole}, x.P, x.dZ, gain);
  Multiply(s.form, t.keys, s.e, OverQueries(s.form, t, x.P, x.pairs), x.slopes.ForSums(), {dValues + k0 * s.e, s.e}, true, [&](int64_t s0, int64_t s1) {
    next.o.Ask(s0, s1 < t.keys ? s1 : kTile);
    return t.OverQueries(s.form, s0, s1, s.e);
  });
  Multiply(s.form, t.keys, s.d, OverQueries(s.form, t, x.dZ, x.pairs), x.queries.ForSums(), {dKeys + k0 * s.d, s.d}, true,
           [&](int64_t s0, int64_t s1) { return t.OverQueries(s.form, s0, s1, s.d); });
  Multiply(s.form, t.rows, s.d, OverKeys(s.form, t, x.dZ, x.pairs), x.keys.Right(k0), {x.dq, s.d}, !start,
           [&](int64_t i0, int64_t i1) { return t.OverKeys(s.form, i0, i1, s.d); });
}

/// Rows of dk and dv of one (row, key head), keys `from` .. `past`-1: the sums of `parts` parts, the keys turned back. `shared` takes the rotary part.
void StoreKeys(const Sizes& s, const Target& to, int64_t b, int64_t g, int64_t from, int64_t past, int64_t parts, float* dKeys, float* dValues,
               float* shared) {
  const Source& like = s.source;
  for (int64_t at = from; at < past; ++at) {
    const Room dOwn = to.dOwn.Past((b * s.S + at) * like.ownToken + g * like.ownHead);
    float *sum = dKeys + at * s.d, *dv = dValues + at * s.e;  // the other parts are added to the first
    for (int64_t p = 1; p < parts; ++p) {
      Add(s.d, dKeys + (p * s.S + at) * s.d, sum);
      Add(s.e, dValues + (p * s.S + at) * s.e, dv);
    }
    to.dValues.Past((b * s.S + at) * like.valueToken + g * like.valueHead).With([&](auto* values) { Copy(s.e, dv, values); });
    if (!shared) {
      dOwn.With([&](auto* keys) { TurnRow(s, s.d, at, s.KeyScale(), -1.0f, sum, keys); });
      continue;
    }
    dOwn.With([&](auto* keys) {
      for (int64_t j = 0; j < like.ownWidth; j += W) {
        const int64_t left = like.ownWidth - j;
        const F own = F(s.KeyScale()) * LoadUpTo(sum + j, left);
        StoreUpTo(keys + j, to.overlaid ? LoadUpTo(keys + j, left) + own : own, left);
      }
    });
    TurnRow(s, like.sharedWidth, at, s.KeyScale(), -1.0f, sum + like.ownWidth, shared + at * like.sharedWidth);
  }
}

/// The share of a sink in rows of the log-sum-exp `lse`.
F SinkShare(float sink, F lse) { return Exp2(Min(F(0.0f), F(sink * kLog2e) - lse)); }

/// Adds one tile of queries of head h to dk and dv of its key head, and writes its dq. `deltas`, where there are sinks, keeps Σ do · o of each query.
void TileBackward(const Sizes& s, int64_t b, int64_t h, int64_t q0, const float* q, const float* sinks, const float* o, const float* lse, const float* dO,
                  Room dq, GradScratch& x, float* dKeys, float* dValues, float* deltas) {
  const int64_t rows = std::min(kTile, s.T - q0), at = (b * s.T + q0) * s.H + h, line = (b * s.H + h) * s.T + q0, place = q0 + s.Shift();
  LoadQueries(s, rows, q0, q + at * s.d, s.H * s.d, true, x.queries);
  for (int64_t i = 0; i < rows; ++i) {
    Soon(o + (at + i * s.H) * s.e, s.e);
    Copy(s.e, dO + (at + i * s.H) * s.e, x.slopes.Row(i));
  }
  for (int64_t i = 0; i < kTile; ++i) {
    const float *os = o + (at + i * s.H) * s.e, *gs = x.slopes.Row(i);
    x.lse[i] = i < rows ? lse[line + i] : 0.0f;
    x.delta[i] = i < rows ? SumOver(s.e, [&](int64_t j, int64_t left) { return LoadUpTo(os + j, left) * LoadUpTo(gs + j, left); }) : 0.0f;
  }
  if (sinks) std::copy_n(x.delta.data(), rows, deltas + line);
  for (int64_t i = 0; i < kTile; i += W) Store(x.rest + i, sinks ? SinkShare(sinks[h], Load(x.lse + i)) : F(0.0f));
  x.slopes.Finish(rows, true);
  const int64_t lo = s.FirstKey(place), hi = s.PastKey(place + rows - 1);
  if (hi <= lo) std::fill_n(x.dq.data(), rows * s.d, 0.0f);
  // The next tile of the same head, which usually comes next.
  const int64_t more = std::max<int64_t>(0, std::min(kTile, s.T - q0 - kTile)), then = at + kTile * s.H;
  const NextTile next{{q + then * s.d, s.H * s.d, s.d, more}, {o + then * s.e, s.H * s.e, s.e, more}, {dO + then * s.e, s.H * s.e, s.e, more}};
  for (int64_t k0 = lo; k0 < hi; k0 += kTile)
    PairBackward(s, Pair(s, rows, place, k0, hi), k0, s.Slope(h), k0 == lo, hi - lo <= kTile, k0 == lo ? next : NextTile{}, x, dKeys, dValues);
  for (int64_t i = 0; i < rows; ++i)
    dq.Past((at + i * s.H) * s.d).With([&](auto* row) { TurnRow(s, s.d, place + i, s.scale, -1.0f, x.dq + i * s.d, row); });
}

/// A sink has a share and no value: its exponent's slope is -share · delta, share = 2^(sink - lse).
void SinksBackward(const Sizes& s, const float* sinks, const float* lse, const float* deltas, float* dSinks) {
  for (int64_t h = 0; h < s.H; ++h) {
    dSinks[h] = 0.0f;
    for (int64_t b = 0; sinks && b < s.B; ++b) {
      const int64_t line = (b * s.H + h) * s.T;
      dSinks[h] -= SumOver(s.T, [&](int64_t j, int64_t left) {
        return SinkShare(sinks[h], LoadUpTo(lse + line + j, left)) * LoadUpTo(deltas + line + j, left);
      });
    }
  }
}

/// With p the softmax:  dv[s] = Σ_i p do[i],  dz = p (do[i]·v[s] - do[i]·o[i]),  dq[i] = scale Σ_s dz k[s],  dk[s] = scale Σ_i dz q[i].
/// One task a (row, key head, part): it adds to its own dk and dv, in a fixed order.
void Backward(const Sizes& s, const float* q, const float* sinks, const float* o, const float* lse, const float* dO, const Target& to) {
  const int64_t perKey = s.H / s.Hk, tiles = s.Tiles(), heads = s.B * s.Hk, sharedWidth = s.source.sharedWidth;
  const Deal deal(s, perKey * tiles);
  const int64_t kept = deal.parts > 1 ? heads * deal.parts * s.S : 0;  // a single part is stored while it lies in cache
  Scratch dKeys(kept * s.d), dValues(kept * s.e), deltas(sinks ? s.B * s.H * s.T : 0), shared(heads * s.S * sharedWidth);
  const auto sharedOf = [&](int64_t head) { return to.dShared ? shared + head * s.S * sharedWidth : nullptr; };
  ParallelFor(heads * deal.parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      GradScratch x(s);
      const int64_t head = task / deal.parts, b = head / s.Hk, g = head % s.Hk;
      Scratch localKeys(kept ? 0 : s.S * s.d), localValues(kept ? 0 : s.S * s.e);
      float *ownKeys = kept ? dKeys + task * s.S * s.d : localKeys.data(), *ownValues = kept ? dValues + task * s.S * s.e : localValues.data();
      FillKeys(s, b, g, 0, s.S, x.keys);
      FillValues(s, b, g, 0, s.S, x.values);
      std::fill_n(ownKeys, s.S * s.d, 0.0f);
      std::fill_n(ownValues, s.S * s.e, 0.0f);
      deal.Each(task % deal.parts, [&](int64_t item) {
        TileBackward(s, b, g * perKey + item / tiles, item % tiles * kTile, q, sinks, o, lse, dO, to.dq, x, ownKeys, ownValues, deltas.data());
      });
      if (!kept) StoreKeys(s, to, b, g, 0, s.S, 1, ownKeys, ownValues, sharedOf(head));
    }
  });
  if (kept) {
    const int64_t blocks = (s.S + kTile - 1) / kTile;
    ParallelFor(heads * blocks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t head = i / blocks, from = i % blocks * kTile, first = head * deal.parts * s.S;
        StoreKeys(s, to, head / s.Hk, head % s.Hk, from, std::min(s.S, from + kTile), deal.parts, dKeys + first * s.d, dValues + first * s.e, sharedOf(head));
      }
    });
  }
  if (to.dShared)
    ParallelFor(s.B * s.S, Grain(s.Hk * sharedWidth), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const int64_t at = row % s.S, b = row / s.S;
        float* sum = to.dShared + row * sharedWidth;
        Copy(sharedWidth, shared + (b * s.Hk * s.S + at) * sharedWidth, sum);
        for (int64_t g = 1; g < s.Hk; ++g) Add(sharedWidth, shared + ((b * s.Hk + g) * s.S + at) * sharedWidth, sum);
      }
    });
  if (to.dSinks) SinksBackward(s, sinks, lse, deltas, to.dSinks);
}

void Attention(const Call& c) { Forward(Plain(c), c.In<float>(0), c.In<float>(5), c.Out<float>(0), c.Out<float>(1)); }
void AttentionGrad(const Call& c) {
  Backward(Plain(c), c.In<float>(0), c.In<float>(5), c.In<float>(6), c.In<float>(7), c.In<float>(8),
           {c.Result(0), c.Result(1), c.Result(2), nullptr, c.Out<float>(3), false});
}
void LatentAttention(const Call& c) { Forward(Latent(c), c.In<float>(0), nullptr, c.Out<float>(0), c.Out<float>(1)); }
void LatentAttentionGrad(const Call& c) {
  const int64_t valueAt = c.n[9];
  Backward(Latent(c), c.In<float>(0), nullptr, c.In<float>(5), c.In<float>(6), c.In<float>(7),
           {c.Result(0), c.Result(1), c.Result(1).Past(valueAt), c.Out<float>(2), nullptr, valueAt == 0});
}

// May be halves: dq, dk and dv; dq and, where values lie apart from the keys, the slopes of both.
uint64_t GradHalved(const Call& c) { return c.OutBits(0, 3); }
uint64_t LatentGradHalved(const Call& c) { return c.OutBits(0, c.n[9] != 0 ? 2 : 1); }

}  // namespace

LAB_KERNEL("Attention", Attention);
LAB_KERNEL("AttentionGrad", AttentionGrad, GradHalved);
LAB_KERNEL("LatentAttention", LatentAttention);
LAB_KERNEL("LatentAttentionGrad", LatentAttentionGrad, LatentGradHalved);
