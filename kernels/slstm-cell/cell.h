// The scalar memory of xLSTM (arXiv 2405.04517, section 2.2): one task runs all tokens of one head for a few rows of the batch.
//
//   a = gates + bias + h R,   l = logsigmoid(a_f) + m,   m' = max(a_i, l),   I = exp(a_i - m'),   F = exp(l - m')
//   n' = F n + I,   u = I / n',   p = F n / n',   r' = r + u (tanh(a_z) - r),   h' = sigmoid(a_o) r'
// r is the published c / n: the mean of the inputs so far. At the first token there is nothing to keep: m' = a_i and F = 0. The rows of a task
// share the loads of R, which stays in cache.
//
// The gradient carries dr and e, the slope of ln n. By them and the shares u and p no slope is a difference of two that nearly agree:
//   da_i = u e + dr p u (tanh(a_z) - r),   de = p (e - dr u (tanh(a_z) - r)),   da_f = sigmoid(-a_f) de,   and dr p goes to the token before
//
// Some tokens at a time: their preactivations are made, and their slopes used, while they lie in cache.
#ifndef LAB_SLSTM_CELL_H
#define LAB_SLSTM_CELL_H

#include <algorithm>
#include <initializer_list>
#include <type_traits>

#include "../core/lab.h"
#include "../core/rounded.h"
#include "../core/rows.h"
#include "../core/soon.h"
#include "../core/tile.h"

namespace lab {
namespace slstm {

constexpr int64_t kGates = 4;
constexpr int64_t kRows = 4;     // rows of the batch of a tile, whose slopes of weights are summed together
constexpr int64_t kTokens = 32;  // of a span
constexpr int64_t kKept = 6;     // see KEPT of sizes.ts
enum Kept { kShare, kPast, kOpen, kMove, kBent, kOutput };

// Rows whose sums with R stay in registers, four vectors a row.
#if LAB_AVX512 || LAB_NEON
constexpr int kTogether = 4;
#else
constexpr int kTogether = 2;
#endif

struct Sizes {
  int64_t B, T, H, d, D, tiles, padded, rows;  // padded: d in whole vectors; rows: of a task
  // A task runs a tile, or part of one where there would not be a task for each thread: a row's numbers are the same whatever goes with it.
  explicit Sizes(const Call& c)
      : B(c.n[0]), T(c.n[1]), H(c.n[2]), d(c.n[3]), D(H * d), tiles((B + kRows - 1) / kRows), padded((d + W - 1) / W * W), rows(kRows) {
    while (rows > 1 && Tasks() < Threads()) rows /= 2;
  }
  int64_t Tasks() const { return H * ((B + rows - 1) / rows); }
  int64_t Weights() const { return kGates * H * d * d; }
  int64_t Span() const { return kTokens * kRows * kGates * d; }
};

// Head h and rows b0 .. b0 + rows - 1, at most `most`.
struct Task {
  int64_t h, b0, rows;
  Task(const Sizes& s, int64_t task, int64_t most) : h(task % s.H), b0(task / s.H * most), rows(std::min(most, s.B - b0)) {}
  int64_t Tile() const { return b0 / kRows; }
  // Where the head's channels of a token lie in [B, T, D].
  int64_t At(const Sizes& s, int64_t row, int64_t t) const { return ((b0 + row) * s.T + t) * s.D + h * s.d; }
};

// What each token keeps: the channels of number `which` of token t of row b and head h lie at p + (b T + t) token + h head + which number.
template <class T>
struct Keeping {
  T* p;
  int64_t token, head, number;
  T* At(const Sizes& s, const Task& at, int64_t row, int64_t t) const { return p + ((at.b0 + row) * s.T + t) * token + at.h * head; }
};

// 1 / a, 1 / b and 1 / c by one division; none of them or their product may be 0 or infinite.
struct Inverses {
  F a, b, c;
  LAB_INLINE Inverses(F x, F y, F z) {
    const F xy = x * y, all = F(1.0f) / (xy * z), ofXy = all * z;
    a = ofXy * y, b = ofXy * x, c = all * xy;
  }
};

// e^x for x <= 0: Exp's polynomial with fewer steps that wait for one another, as a token waits for the one before.
LAB_INLINE F ExpDown(F x) {
  const F y = Max(F(-104.0f), x), n = Round(y * F(1.44269504088896341f));
  const F r = Fma(n, F(2.12194440e-4f), Fma(n, F(-0.693359375f), y)), square = r * r;
  const F high = Fma(F(1.9875691500e-4f), r, F(1.3981999507e-3f)), middle = Fma(F(8.3334519073e-3f), r, F(4.1665795894e-2f));
  const F p = Fma(Fma(high, square, middle), square, Fma(F(1.6666665459e-1f), r, F(5.0000001201e-1f)));
  return Scale2(Fma(p, square, r) + F(1.0f), n);
}

// ln(1 + u) for 0 <= u <= 1, within 1.6e-7 of itself: u + u² p(u), p by its largest error in the whole.
LAB_INLINE F LogOnePlus(F u) {
  const F square = u * u, fourth = square * square;
  const F a = Fma(F(3.3321324e-1f), u, F(-4.99996483e-1f)), b = Fma(F(1.91536531e-1f), u, F(-2.48571634e-1f));
  const F c = Fma(F(7.92044923e-2f), u, F(-1.37537986e-1f)), d = Fma(F(5.36481664e-3f), u, F(-3.00657637e-2f));
  return Fma(Fma(Fma(d, square, c), fourth, Fma(b, square, a)), square, u);
}

// Calls `body(count, row)` for groups of 4, 2 or 1 rows below `rows`, the count a constant.
template <class Body>
LAB_INLINE void EachRows(int64_t rows, Body&& body) {
  int64_t row = 0;
  for (; row + kTogether <= rows; row += kTogether) body(std::integral_constant<int, kTogether>(), row);
  for (; row + 2 <= rows; row += 2) body(std::integral_constant<int, 2>(), row);
  if (row < rows) body(std::integral_constant<int, 1>(), row);
}

// R of one head by vectors of channels out: side [padded / W, d, gate, W], and the biases [padded / W, gate, W]; 0 past the end.
inline void Spread(const Sizes& s, int64_t h, const float* r, const float* bias, float* side, float* biases) {
  for (int64_t j = 0; j < s.padded; j += W)
    for (int64_t g = 0; g < kGates; ++g) {
      const int64_t left = s.d - j;
      const float* from = r + (g * s.H + h) * s.d * s.d + j;
      for (int64_t k = 0; k < s.d; ++k) Store(side + ((j / W * s.d + k) * kGates + g) * W, LoadUpTo(from + k * s.d, left));
      Store(biases + (j / W * kGates + g) * W, LoadUpTo(bias + g * s.D + h * s.d + j, left));
    }
}

// sum[row][gate] = h R for one vector of channels; side [d, gate, W], h of neighbouring rows `ld` apart.
template <int R>
LAB_INLINE void Mix(int64_t d, const float* side, const float* h, int64_t ld, F (&sum)[R][kGates]) {
  for (int64_t k = 0; k < d; ++k, side += kGates * W) {
    F w[kGates];
    LAB_UNROLL for (int g = 0; g < kGates; ++g) w[g] = Load(side + g * W);
    LAB_UNROLL for (int r = 0; r < R; ++r) {
      const F x(h[r * ld + k]);
      LAB_UNROLL for (int g = 0; g < kGates; ++g) sum[r][g] = Fma(x, w[g], sum[r][g]);
    }
  }
}

// The rows' memory between tokens, [rows, padded] each; h by turns in two places, since a token's channels all read those of the last.
struct Memory {
  Scratch m, mean, count, even, odd;
  explicit Memory(const Sizes& s) : m(kRows * s.padded), mean(kRows * s.padded), count(kRows * s.padded), even(kRows * s.padded), odd(kRows * s.padded) {}
  float* H(int64_t t) { return t % 2 == 0 ? even.data() : odd.data(); }
};

// One token of R rows. gates: their preactivations [4 d], `apart` from row to row; the memory's parts [R, padded].
template <int R>
struct Token {
  int64_t d, padded, apart, number;
  bool first;
  const float *side, *biases, *gates, *before;
  float *m, *mean, *count, *next, *out[R], *keep[R];

  // The vector of channels at j, all of its lanes or `d - j`.
  template <bool Full>
  LAB_INLINE void At(int64_t j) const {
    const int64_t left = Full ? W : d - j;
    F sum[R][kGates];
    LAB_UNROLL for (int r = 0; r < R; ++r)
      LAB_UNROLL for (int g = 0; g < kGates; ++g) sum[r][g] = F(0.0f);
    if (!first) Mix<R>(d, side + j * d * kGates, before, padded, sum);
    // Each step for all rows before the next: what waits for one row's numbers lets the others' go on.
    F a[R][kGates], fade[R], small[R], tail[R];
    LAB_UNROLL for (int r = 0; r < R; ++r)
      LAB_UNROLL for (int g = 0; g < kGates; ++g) a[r][g] = LoadUpTo(gates + r * apart + g * d + j, left) + Load(biases + j * kGates + g * W) + sum[r][g];
    // exp(-|a|): what sigmoids and tanh are made of lies between 1 and 2, so one division does for the three.
    LAB_UNROLL for (int r = 0; r < R; ++r) fade[r] = ExpDown(Neg(Abs(a[r][1])));
    F to[R], write[R], had[R], old[R];  // had: what the tokens before weigh
    if (!first) {
      Exponent remembered[R];
      LAB_UNROLL for (int r = 0; r < R; ++r) remembered[r] = Plus(Min(a[r][1], F(0.0f)) - LogOnePlus(fade[r]), Load(m + r * padded + j));
      LAB_UNROLL for (int r = 0; r < R; ++r) {  // one of the two exponents is that of 0
        const F ahead = a[r][0] - remembered[r].sum, less = ExpDown(Neg(Abs(ahead)));
        const Mask behind = Lt(ahead, F(0.0f));
        write[r] = Select(behind, less, F(1.0f));
        had[r] = Select(behind, F(1.0f), less) * remembered[r].rest * Load(count + r * padded + j);
        to[r] = Max(a[r][0], remembered[r].sum);
        old[r] = Load(mean + r * padded + j);
      }
    } else {
      LAB_UNROLL for (int r = 0; r < R; ++r) to[r] = a[r][0], write[r] = F(1.0f), had[r] = old[r] = F(0.0f);
    }
    LAB_UNROLL for (int r = 0; r < R; ++r) small[r] = ExpDown(Abs(a[r][2]) * F(-2.0f)), tail[r] = ExpDown(Neg(Abs(a[r][3])));
    LAB_UNROLL for (int r = 0; r < R; ++r) {
      const Inverses one(F(1.0f) + fade[r], F(1.0f) + small[r], F(1.0f) + tail[r]);
      const F open = Select(Lt(a[r][1], F(0.0f)), one.a, fade[r] * one.a);  // 1 - sigmoid(a_f)
      const F weight = had[r] + write[r], part = F(1.0f) / weight, share = write[r] * part;
      const F step = TanhOr(a[r][2], (F(1.0f) - small[r]) * one.b) - old[r], now = Fma(share, step, old[r]);
      const F h = Select(Lt(a[r][3], F(0.0f)), tail[r] * one.c, one.c) * now;
      const int64_t place = r * padded + j;
      Store(m + place, to[r]);
      Store(mean + place, now);
      Store(count + place, weight);
      Store(next + place, h);
      StoreUpTo(out[r] + j, h, left);
      float* k = keep[r] + j;
      StoreUpTo(k + kShare * number, share, left);
      StoreUpTo(k + kPast * number, had[r] * part, left);
      StoreUpTo(k + kOpen * number, open, left);
      StoreUpTo(k + kMove * number, share * step, left);
      StoreUpTo(k + kBent * number, share * F(4.0f) * small[r] * one.b * one.b, left);
      StoreUpTo(k + kOutput * number, a[r][3], left);
    }
  }
};

template <int R>
void Step(const Sizes& s, const Task& at, int64_t row, int64_t t, const float* side, const float* biases, const float* gates, int64_t apart, Memory& memory,
          float* y, const Keeping<float>& kept) {
  const int64_t first = row * s.padded;
  Token<R> token{s.d, s.padded, apart, kept.number, t == 0, side, biases, gates, memory.H(t + 1) + first,
                 memory.m + first, memory.mean + first, memory.count + first, memory.H(t) + first, {}, {}};
  for (int r = 0; r < R; ++r) token.out[r] = y + at.At(s, row + r, t), token.keep[r] = kept.At(s, at, row + r, t);
  int64_t j = 0;
  for (; j + W <= s.d; j += W) token.template At<true>(j);
  if (j < s.d) token.template At<false>(j);
}

// All tokens of one task. fill(t0, t1, gates) writes the preactivations [rows, t1 - t0, 4 d] of tokens t0 .. t1 - 1, without biases and h R; soon:
// tensors [B, T, D] that it will read.
template <class Fill>
void Forward(const Sizes& s, const Task& at, const float* r, const float* bias, float* y, const Keeping<float>& kept, std::initializer_list<const float*> soon,
             Fill&& fill) {
  Scratch side(kGates * s.d * s.padded), biases(kGates * s.padded), gates(s.Span());
  Memory memory(s);
  Spread(s, at.h, r, bias, side, biases);
  const int64_t wide = kGates * s.d;
  for (int64_t t0 = 0; t0 < s.T; t0 += kTokens) {
    const int64_t t1 = std::min(s.T, t0 + kTokens);
    fill(t0, t1, gates.data());
    for (int64_t t = t0; t < t1; ++t) {
      const int64_t apart = (t1 - t0) * wide;
      for (int64_t row = 0; row < at.rows; ++row) {
        if (t + 1 < s.T)
          for (int64_t which = 0; which < kKept; ++which) SoonWritten(kept.At(s, at, row, t + 1) + which * kept.number, s.d);
        if (t + kTokens < s.T)
          for (const float* from : soon) Soon(from + at.At(s, row, t + kTokens), s.d);
      }
      EachRows(at.rows, [&](auto together, int64_t row) {
        Step<decltype(together)::value>(s, at, row, t, side, biases, gates + row * apart + (t - t0) * wide, apart, memory, y, kept);
      });
    }
  }
}

}  // namespace slstm
}  // namespace lab

#endif
