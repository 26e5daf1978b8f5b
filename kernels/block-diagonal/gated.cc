// Queries, keys and values by blocks of 4 by 4 channels together with the gates that read all three: each row of channels is read once, forward and
// back, while it lies in cache.
#include <algorithm>

#include "../core/lab.h"
#include "../core/narrow.h"
#include "../core/rows.h"
#include "../core/soon.h"
#include "fours.h"

namespace {

using namespace lab;

constexpr int64_t kTile = 32;      // tokens whose rows stay in cache while one map after the other goes over them
constexpr int64_t kColumns = 256;  // channels whose weights and sums stay in L1 meanwhile
constexpr int kParts = 3;          // queries, keys, values

// c (for queries and keys) and u (for values) [rows, E]; by each map: 4 rows of E as Spreading makes them.
struct Blocks {
  int64_t rows, E, H, gates;
  const float *from[kParts], *w[kParts], *bias[kParts];
  explicit Blocks(const Call& c, int64_t biasAt)
      : rows(c.n[0]), E(c.n[1]), H(c.n[2]), gates(2 * c.n[2]), from{c.In<float>(0), c.In<float>(0), c.In<float>(1)},
        w{c.In<float>(2), c.In<float>(3), c.In<float>(4)}, bias{c.In<float>(biasAt), c.In<float>(biasAt + 1), c.In<float>(biasAt + 2)} {}
  void Spreads(bool turned, float* by) const {
    for (int p = 0; p < kParts; ++p) Spreading(E / 4, w[p], turned, by + p * 4 * E);
  }
};

// sums [R, G, W] += products of R tokens, E apart, with G rows of the map, `ld` apart, lane by lane.
template <int R, int G>
void Dots(int64_t E, const float* x, const float* map, int64_t ld, bool round, float* sums, int64_t apart) {
  F sum[R][G];
  LAB_UNROLL for (int r = 0; r < R; ++r)
    LAB_UNROLL for (int g = 0; g < G; ++g) sum[r][g] = Load(sums + r * apart + g * W);
  for (int64_t e = 0; e < E; e += W) {
    const int64_t left = E - e;
    F from[R];
    LAB_UNROLL for (int r = 0; r < R; ++r) {
      from[r] = LoadUpTo(x + r * E + e, left);
      if (round) from[r] = RoundBf16(from[r]);
    }
    LAB_UNROLL for (int g = 0; g < G; ++g) {
      const F w = LoadUpTo(map + g * ld + e, left);
      LAB_UNROLL for (int r = 0; r < R; ++r) sum[r][g] = Fma(from[r], w, sum[r][g]);
    }
  }
  LAB_UNROLL for (int r = 0; r < R; ++r)
    LAB_UNROLL for (int g = 0; g < G; ++g) Store(sums + r * apart + g * W, sum[r][g]);
}

template <int R>
void AllDots(const Blocks& s, const float* x, const float* map, int64_t ld, bool round, float* sums) {
  const int64_t apart = s.gates * W;
  int64_t g = 0;
  for (; g + kNarrowOutputs <= s.gates; g += kNarrowOutputs) Dots<R, kNarrowOutputs>(s.E, x, map + g * ld, ld, round, sums + g * W, apart);
  for (; g < s.gates; g += 2) Dots<R, 2>(s.E, x, map + g * ld, ld, round, sums + g * W, apart);
}

void GatedBlocks(const Call& c) {
  const Blocks s(c, 9);
  const float *b_i = c.In<float>(6), *b_f = c.In<float>(8);
  float *to[kParts] = {c.Out<float>(0), c.Out<float>(1), c.Out<float>(2)}, *i = c.Out<float>(3), *f = c.Out<float>(4);
  const Narrow maps(kParts, s.E, s.H, {c.In<float>(5), c.In<float>(7)});
  Scratch by(std::max<int64_t>(1, kParts * 4 * s.E));
  s.Spreads(false, by);
  const bool round = Bfloat16();
  ParallelFor(s.rows, kTile, [&](int64_t begin, int64_t end) {
    Scratch sums(kTile * s.gates * W);
    std::fill_n(sums.data(), (end - begin) * s.gates * W, 0.0f);
    for (int p = 0; p < kParts; ++p)
      for (int64_t t = begin; t < end;) {
        const int64_t count = end - t >= kNarrowTokens ? kNarrowTokens : 1;
        float* y = to[p] + t * s.E;
        Fours(count, s.E, s.from[p] + t * s.E, by + p * 4 * s.E, s.bias[p], y);
        (count == kNarrowTokens ? AllDots<kNarrowTokens> : AllDots<1>)(s, y, maps.rows.data() + p * s.E, maps.Row(), round, sums + (t - begin) * s.gates * W);
        t += count;
      }
    for (int64_t t = begin; t < end; ++t)
      for (int64_t g = 0; g < s.gates; ++g) {
        const float sum = Sum(Load(sums + ((t - begin) * s.gates + g) * W));
        (g < s.H ? i[t * s.H + g] : f[t * s.H + g - s.H]) = sum + (g < s.H ? b_i[g] : b_f[g - s.H]);
      }
  });
}

// Sums that a part of the tokens keeps for each map: 4 rows of blocks and one of the bias, then a row a gate.
struct Gradient {
  const Blocks& s;
  const float *by, *turned;  // of one map, [4, E] each
  const float* map;          // its columns of the gates' map, rows `ld` apart
  int64_t ld;
  bool round;

  // R tokens, channels j0 .. j1 - 1. dy: slopes of the map's results; d [R, gates]: those of the gates, G of them where that is not 0. Whole: E is a
  // multiple of the vector. Adds to dx where `add`.
  template <int R, int G, bool Whole>
  void Rows(int64_t j0, int64_t j1, const float* x, const float* dy, const float* bias, const float* d, bool add, float* dx, float* sums) const {
    const int64_t E = s.E, gates = G > 0 ? G : s.gates;
    for (int64_t j = j0; j < j1; j += W) {
      const int64_t left = Whole ? W : E - j;
      F slope[R], value[R];
      LAB_UNROLL for (int r = R; r < 2 * R; ++r) {  // the next tokens
        for (const float* from : {x, dy}) SoonLine(from, r * E + j);
        SoonWritten(dx + r * E + j, W);
      }
      LAB_UNROLL for (int r = 0; r < R; ++r) slope[r] = LoadUpTo(dy + r * E + j, left);
      LAB_UNROLL for (int64_t g = 0; g < gates; ++g) {
        const F w = LoadUpTo(map + g * ld + j, left);
        LAB_UNROLL for (int r = 0; r < R; ++r) slope[r] = Fma(F(d[r * gates + g]), w, slope[r]);
      }
      F sum[5];
      LAB_UNROLL for (int i = 0; i < 5; ++i) sum[i] = LoadUpTo(sums + i * E + j, left);
      const F start = bias ? LoadUpTo(bias + j, left) : F(0.0f);
      const F b0 = LoadUpTo(by + j, left), b1 = LoadUpTo(by + E + j, left), b2 = LoadUpTo(by + 2 * E + j, left), b3 = LoadUpTo(by + 3 * E + j, left);
      LAB_UNROLL for (int r = 0; r < R; ++r) {
        const F a = LoadUpTo(x + r * E + j, left), a0 = Spread<0>(a), a1 = Spread<1>(a), a2 = Spread<2>(a), a3 = Spread<3>(a);
        value[r] = Fma(a3, b3, Fma(a2, b2, Fma(a1, b1, Fma(a0, b0, start))));
        if (round) value[r] = RoundBf16(value[r]);
        sum[0] = Fma(a0, slope[r], sum[0]);
        sum[1] = Fma(a1, slope[r], sum[1]);
        sum[2] = Fma(a2, slope[r], sum[2]);
        sum[3] = Fma(a3, slope[r], sum[3]);
        sum[4] += slope[r];
      }
      LAB_UNROLL for (int i = 0; i < 5; ++i) StoreUpTo(sums + i * E + j, sum[i], left);
      const F t0 = LoadUpTo(turned + j, left), t1 = LoadUpTo(turned + E + j, left), t2 = LoadUpTo(turned + 2 * E + j, left), t3 = LoadUpTo(turned + 3 * E + j, left);
      LAB_UNROLL for (int r = 0; r < R; ++r) {
        const F g = slope[r], before = add ? LoadUpTo(dx + r * E + j, left) : F(0.0f);
        StoreUpTo(dx + r * E + j, Fma(Spread<3>(g), t3, Fma(Spread<2>(g), t2, Fma(Spread<1>(g), t1, Fma(Spread<0>(g), t0, before)))), left);
      }
      LAB_UNROLL for (int64_t g = 0; g < gates; ++g) {
        float* to = sums + (5 + g) * E + j;
        F whole = LoadUpTo(to, left);
        LAB_UNROLL for (int r = 0; r < R; ++r) whole = Fma(F(d[r * gates + g]), value[r], whole);
        StoreUpTo(to, whole, left);
      }
    }
  }
};

void GatedBlocksGrad(const Call& c) {
  const Blocks s(c, 7);
  const float *dy[kParts] = {c.In<float>(10), c.In<float>(11), c.In<float>(12)}, *di = c.In<float>(13), *df = c.In<float>(14);
  float *dc = c.Out<float>(0), *du = c.Out<float>(1);
  const Narrow maps(kParts, s.E, s.H, {c.In<float>(5), c.In<float>(6)});
  const int64_t ofMap = (5 + s.gates) * s.E, width = kParts * ofMap + s.gates;  // sums of a part of the tokens: of each map, then of the gates' biases
  const Parts parts(s.rows, 2 * kTile);
  Scratch by(std::max<int64_t>(1, kParts * 4 * s.E)), turned(std::max<int64_t>(1, kParts * 4 * s.E)), partial(std::max<int64_t>(1, parts.count * width));
  s.Spreads(false, by);
  s.Spreads(true, turned);
  const bool round = Bfloat16();
  ParallelFor(s.rows, parts.grain, [&](int64_t begin, int64_t end) {
    constexpr int64_t several = 4, usual = 8;  // gates: of 4 heads
    Scratch d(kTile * s.gates);
    float *sums = partial + begin / parts.grain * width, *biases = sums + kParts * ofMap;
    std::fill_n(sums, width, 0.0f);
    for (int64_t t0 = begin; t0 < end; t0 += kTile) {
      const int64_t tokens = std::min(kTile, end - t0), numbers = tokens * s.gates;
      for (int64_t n = 0; n < numbers; ++n) {
        const int64_t t = t0 + n / s.gates, g = n % s.gates;
        d[n] = g < s.H ? di[t * s.H + g] : df[t * s.H + g - s.H];
        biases[g] += d[n];
      }
      if (round)
        for (int64_t n = 0; n < numbers; n += W) StoreUpTo(d + n, RoundBf16(LoadUpTo(d + n, numbers - n)), numbers - n);
      for (int p = 0; p < kParts; ++p) {
        const Gradient of{s, by + p * 4 * s.E, turned + p * 4 * s.E, maps.rows.data() + p * s.E, maps.Row(), round};
        float* dx = p < 2 ? dc : du;
        for (int64_t j = 0; j < s.E; j += kColumns)
          for (int64_t t = 0; t < tokens;) {
            const int64_t count = tokens - t >= several ? several : 1, at = (t0 + t) * s.E;
            const auto rows = count < several ? &Gradient::Rows<1, 0, false>
                              : s.gates == usual && s.E % W == 0 ? &Gradient::Rows<several, usual, true> : &Gradient::Rows<several, 0, false>;
            (of.*rows)(j, std::min(s.E, j + kColumns), s.from[p] + at, dy[p] + at, s.bias[p], d + t * s.gates, p == 1, dx + at, sums + p * ofMap);
            t += count;
          }
      }
    }
  });
  Scratch sums(std::max<int64_t>(1, width));
  SumParts(partial, parts.count, width, width, sums);
  float* slopes[2] = {c.Out<float>(5), c.Out<float>(6)};  // of the gates' maps, [3 E, H]
  for (int p = 0; p < kParts; ++p) {
    const float* of = sums + p * ofMap;
    UnSpread(s.E / 4, of, c.Out<float>(2 + p));
    std::copy_n(of + 4 * s.E, s.E, c.Out<float>(7 + p));
    for (int which = 0; which < 2; ++which) Turn(s.H, s.E, {of + (5 + which * s.H) * s.E, s.E}, {slopes[which] + p * s.E * s.H, s.H});
  }
  for (int which = 0; which < 2; ++which) std::copy_n(sums + kParts * ofMap + which * s.H, s.H, c.Out<float>(10 + which));
}

}  // namespace

LAB_KERNEL("GatedBlocks", GatedBlocks);
LAB_KERNEL("GatedBlocksGrad", GatedBlocksGrad);
