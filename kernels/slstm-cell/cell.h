// The scalar memory of xLSTM (arXiv 2405.04517, section 2.2): one task runs all tokens of one head for a few rows of the batch.
//
//   a = gates + bias + h R,   l = logsigmoid(a_f) + m,   m' = max(a_i, l),   I = exp(a_i - m'),   F = exp(l - m')
//   n' = F n + I,   r' = r + I / n' (tanh(a_z) - r),   h' = sigmoid(a_o) r'
// r is the published c / n: the mean of the inputs so far. At the first token there is nothing to keep: m' = a_i and F = 0. The rows of a task
// share the loads of R, which stays in cache.
//
// The gradient carries dc and e = dn + dc r, the slope of a common factor of c and n. By them no slope is a difference of two that nearly agree:
//   da_i = I (e + dc (F n / n') (z - r)),   da_f = F n sigmoid(-a_f) (e - dc (I / n') (z - r))   (n, r: before the token)
//
// Some tokens at a time: their preactivations are made, and their slopes used, while they lie in cache.
#ifndef LAB_SLSTM_CELL_H
#define LAB_SLSTM_CELL_H

#include <algorithm>
#include <type_traits>

#include "../core/lab.h"
#include "../core/rows.h"
#include "../core/soon.h"
#include "../core/tile.h"

namespace lab {
namespace slstm {

constexpr int64_t kGates = 4;
constexpr int64_t kRows = 4;     // rows of the batch that a task runs together
constexpr int64_t kTokens = 32;  // of a span
constexpr int64_t kKept = 7;     // see KEPT of kernel.ts
enum Kept { kWrite, kKeep, kInput, kOutput, kOpen, kMean, kCount };

// Rows whose sums with R stay in registers, four vectors a row.
#if LAB_AVX512 || LAB_NEON
constexpr int kTogether = 4;
#else
constexpr int kTogether = 2;
#endif

struct Sizes {
  int64_t B, T, H, d, D, tiles, padded;  // padded: d in whole vectors
  explicit Sizes(const Call& c)
      : B(c.n[0]), T(c.n[1]), H(c.n[2]), d(c.n[3]), D(H * d), tiles((B + kRows - 1) / kRows), padded((d + W - 1) / W * W) {}
  int64_t Weights() const { return kGates * H * d * d; }
  int64_t Span() const { return kTokens * kRows * kGates * d; }
};

// Head h and rows b0 .. b0 + rows - 1.
struct Task {
  int64_t h, tile, b0, rows;
  Task(const Sizes& s, int64_t task) : h(task % s.H), tile(task / s.H), b0(tile * kRows), rows(std::min(kRows, s.B - b0)) {}
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

// Calls `body(full, j)` for j = 0, W .. below n; `full`, a constant, says that no lane is past the end.
template <class Body>
LAB_INLINE void EachVector(int64_t n, Body&& body) {
  int64_t j = 0;
  for (; j + W <= n; j += W) body(std::true_type(), j);
  if (j < n) body(std::false_type(), j);
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

// One token of R rows from `row` on; gates: the rows' preactivations, 4 d apart.
template <int R>
void Step(const Sizes& s, const Task& at, int64_t row, int64_t t, const float* side, const float* biases, const float* gates, Memory& memory, float* y,
          const Keeping<float>& kept) {
  const float* before = memory.H(t + 1) + row * s.padded;
  float* now = memory.H(t) + row * s.padded;
  EachVector(s.d, [&](auto full, int64_t j) {
    const int64_t left = decltype(full)::value ? W : s.d - j;
    F sum[R][kGates];
    LAB_UNROLL for (int r = 0; r < R; ++r)
      LAB_UNROLL for (int g = 0; g < kGates; ++g) sum[r][g] = F(0.0f);
    if (t > 0) Mix<R>(s.d, side + j * s.d * kGates, before, s.padded, sum);
    LAB_UNROLL for (int r = 0; r < R; ++r) {
      F a[kGates];
      LAB_UNROLL for (int g = 0; g < kGates; ++g)
        a[g] = LoadUpTo(gates + (r * kGates + g) * s.d + j, left) + Load(biases + j * kGates + g * W) + sum[r][g];
      // exp(-|a|): what sigmoids and tanh are made of lies between 1 and 2, so one division does for the three.
      const F fade = Exp(Neg(Abs(a[1]))), small = Exp(Abs(a[2]) * F(-2.0f)), tail = Exp(Neg(Abs(a[3])));
      const F base = F(1.0f) + fade;
      const Inverses one(base, F(1.0f) + small, F(1.0f) + tail);
      const F open = Select(Lt(a[1], F(0.0f)), one.a, fade * one.a);  // 1 - sigmoid(a_f)
      const int64_t place = (row + r) * s.padded + j;
      F m = a[0], write(1.0f), forget(0.0f), mean(0.0f), count(0.0f);
      if (t > 0) {
        const F softly = Fma(fade - (base - F(1.0f)), one.a, Log(base));  // ln(1 + fade), what rounding took from the sum made up for
        const Exponent remembered = Plus(Min(a[1], F(0.0f)) - softly, Load(memory.m + place));
        // One of the two exponents is that of 0.
        const F ahead = a[0] - remembered.sum, less = Exp(Neg(Abs(ahead)));
        const Mask behind = Lt(ahead, F(0.0f));
        m = Max(a[0], remembered.sum);
        write = Select(behind, less, write);
        forget = Select(behind, F(1.0f), less) * remembered.rest;
        mean = Load(memory.mean + place);
        count = forget * Load(memory.count + place);
      }
      count = count + write;
      mean = Fma(write / count, TanhOr(a[2], (F(1.0f) - small) * one.b) - mean, mean);
      const F h = Select(Lt(a[3], F(0.0f)), tail * one.c, one.c) * mean;
      Store(memory.m + place, m);
      Store(memory.mean + place, mean);
      Store(memory.count + place, count);
      Store(now + r * s.padded + j, h);
      StoreUpTo(y + at.At(s, row + r, t) + j, h, left);
      float* keep = kept.At(s, at, row + r, t) + j;
      StoreUpTo(keep + kWrite * kept.number, write, left);
      StoreUpTo(keep + kKeep * kept.number, forget, left);
      StoreUpTo(keep + kInput * kept.number, a[2], left);
      StoreUpTo(keep + kOutput * kept.number, a[3], left);
      StoreUpTo(keep + kOpen * kept.number, open, left);
      StoreUpTo(keep + kMean * kept.number, mean, left);
      StoreUpTo(keep + kCount * kept.number, count, left);
    }
  });
}

// All tokens of one task. fill(t0, t1, gates) writes the preactivations [t1 - t0, rows, 4 d] of tokens t0 .. t1 - 1, without biases and h R.
template <class Fill>
void Forward(const Sizes& s, const Task& at, const float* r, const float* bias, float* y, const Keeping<float>& kept, Fill&& fill) {
  Scratch side(kGates * s.d * s.padded), biases(kGates * s.padded), gates(s.Span());
  Memory memory(s);
  Spread(s, at.h, r, bias, side, biases);
  const int64_t wide = kGates * s.d;
  for (int64_t t0 = 0; t0 < s.T; t0 += kTokens) {
    const int64_t t1 = std::min(s.T, t0 + kTokens);
    fill(t0, t1, gates.data());
    for (int64_t t = t0; t < t1; ++t) {
      const float* of = gates + (t - t0) * at.rows * wide;
      if (t + 1 < s.T)
        for (int64_t row = 0; row < at.rows; ++row)
          for (int64_t which = 0; which < kKept; ++which) SoonWritten(kept.At(s, at, row, t + 1) + which * kept.number, s.d);
      for (int64_t row = 0; row < at.rows;) {
        const int64_t left = at.rows - row;
        const auto step = left >= kTogether ? Step<kTogether> : left >= 2 ? Step<2> : Step<1>;
        step(s, at, row, t, side, biases, of + row * wide, memory, y, kept);
        row += left >= kTogether ? kTogether : left >= 2 ? 2 : 1;
      }
    }
  }
}

// The slopes of one task from the last token back. take(t0, t1, da) gets those of the preactivations of tokens t0 .. t1 - 1, [t1 - t0, rows, 4 d].
template <class Take>
void Backward(const Sizes& s, const Task& at, const float* r, const Keeping<const float>& kept, const float* dy, Take&& take) {
  // turned: R with channels in and out exchanged, [4 d, d]. The others between tokens [rows, d].
  Scratch turned(kGates * s.d * s.d), slopes(s.Span()), dh(kRows * s.d), dcell(kRows * s.d), dscale(kRows * s.d);
  for (int64_t g = 0; g < kGates; ++g) Transpose(s.d, s.d, {r + (g * s.H + at.h) * s.d * s.d, s.d}, {turned + g * s.d * s.d, s.d});
  for (float* carried : {dh.data(), dcell.data(), dscale.data()}) std::fill_n(carried, kRows * s.d, 0.0f);
  const int64_t wide = kGates * s.d;
  for (int64_t t0 = (s.T - 1) / kTokens * kTokens; t0 >= 0; t0 -= kTokens) {
    const int64_t t1 = std::min(s.T, t0 + kTokens);
    for (int64_t t = t1 - 1; t >= t0; --t) {
      float* da = slopes + (t - t0) * at.rows * wide;
      for (int64_t row = 0; row < at.rows; ++row) {
        const int64_t offset = at.At(s, row, t);
        const float *keep = kept.At(s, at, row, t), *before = keep - kept.token;
        if (t > 1) {
          Soon(dy + offset - s.D, s.d);
          for (int64_t which = 0; which < kKept; ++which) Soon(before - kept.token + which * kept.number, s.d);
        }
        EachVector(s.d, [&](auto full, int64_t j) {
          const int64_t left = decltype(full)::value ? W : s.d - j;
          const auto read = [&](Kept which) { return LoadUpTo(keep + which * kept.number + j, left); };
          const F write = read(kWrite), forget = read(kKeep), input = read(kInput), output = read(kOutput);
          F mean(0.0f), remembered(0.0f);  // r and F n, before the token
          if (t > 0) mean = LoadUpTo(before + kMean * kept.number + j, left), remembered = forget * LoadUpTo(before + kCount * kept.number + j, left);
          // exp(-|a|) of tanh's and of the sigmoid's argument: 1 - tanh² and 1 - sigmoid are no differences by them.
          const F small = Exp(Abs(input) * F(-2.0f)), tail = Exp(Neg(Abs(output)));
          // Lanes past the end must not divide by 0.
          const Inverses one(F(1.0f) + small, F(1.0f) + tail, Select(Lt(Iota(), F(static_cast<float>(left))), read(kCount), F(1.0f)));
          const F bend = one.a, whole = one.b, share = one.c;
          const F g = LoadUpTo(dh + row * s.d + j, left) + LoadUpTo(dy + offset + j, left);
          const F gate = Select(Lt(output, F(0.0f)), tail * whole, whole), step = TanhOr(input, (F(1.0f) - small) * bend) - mean;
          const F dc = LoadUpTo(dcell + row * s.d + j, left) + g * gate * share, e = LoadUpTo(dscale + row * s.d + j, left);
          const F pull = dc * step * share;
          const F through = e - pull * write;
          float* slope = da + row * wide + j;
          StoreUpTo(slope, Fma(pull, remembered, e) * write, left);
          StoreUpTo(slope + s.d, through * remembered * read(kOpen), left);
          StoreUpTo(slope + 2 * s.d, dc * write * F(4.0f) * small * bend * bend, left);
          StoreUpTo(slope + 3 * s.d, g * read(kMean) * tail * whole * whole, left);
          StoreUpTo(dcell + row * s.d + j, dc * forget, left);
          StoreUpTo(dscale + row * s.d + j, through * forget, left);
        });
      }
      if (t > 0) Product(at.rows, s.d, wide, {da, wide, 1}, {turned, s.d}, {dh, s.d}, false);
    }
    take(t0, t1, slopes.data());
  }
}

// Adds a span's share of the slopes of R, dr [d, 4 d], and of the biases, db [4 d]; `held`: room for [kTokens, kRows, d].
inline void AddWeights(const Sizes& s, const Task& at, int64_t t0, int64_t t1, const float* y, const float* da, float* held, float* dr, float* db) {
  const int64_t wide = kGates * s.d, first = std::max<int64_t>(t0, 1);  // the first token has none before it
  for (int64_t t = first; t < t1; ++t)
    for (int64_t row = 0; row < at.rows; ++row) std::copy_n(y + at.At(s, row, t - 1), s.d, held + ((t - t0) * at.rows + row) * s.d);
  const int64_t skipped = (first - t0) * at.rows, pairs = std::max<int64_t>(0, t1 - first) * at.rows;
  Product(s.d, wide, pairs, {held + skipped * s.d, 1, s.d}, {da + skipped * wide, wide}, {dr, wide}, true);
  for (int64_t j = 0; j < wide; j += W) {
    F sum = LoadUpTo(db + j, wide - j);
    for (int64_t i = 0; i < (t1 - t0) * at.rows; ++i) sum += LoadUpTo(da + i * wide + j, wide - j);
    StoreUpTo(db + j, sum, wide - j);
  }
}

// From each tile's slopes of R and biases by head, [H, d, 4 d] then [H, 4 d], `stride` apart, to dr [4, H, d, d] and db [4, D].
inline void SumWeights(const Sizes& s, const float* own, int64_t stride, float* dr, float* db) {
  const int64_t wide = kGates * s.d, biases = s.Weights();
  Scratch sums(std::max<int64_t>(1, biases + kGates * s.D));
  SumParts(own, s.tiles, stride, biases + kGates * s.D, sums);
  for (int64_t h = 0; h < s.H; ++h)
    for (int64_t g = 0; g < kGates; ++g) {
      for (int64_t i = 0; i < s.d; ++i) std::copy_n(sums + (h * s.d + i) * wide + g * s.d, s.d, dr + ((g * s.H + h) * s.d + i) * s.d);
      std::copy_n(sums + biases + h * wide + g * s.d, s.d, db + g * s.D + h * s.d);
    }
}

}  // namespace slstm
}  // namespace lab

#endif
