// The matrix memory of xLSTM (arXiv 2405.04517, section 2.3) in chunks of 64 tokens: sizes and gates, and what forward.h and backward.h share.
//
// Within a chunk, with b[t] the sum of log forget gates up to t, a[j] = i[j] - b[j], and M[t] = max(m0, a[0] .. a[t]), all in float64:
//   w[t] = exp(m0 - M[t]),  D[t][j] = exp(a[j] - M[t]) for j <= t,  S[t][j] = (q[t]·k[j] / √d) D[t][j],  m[t] = b[t] + M[t]
//   size[t] = w[t] q[t]·n0 + Σ_j S[t][j],   den[t] = max(|size[t]|, exp(-m[t])) + eps
//   y[t] = (w[t] C0ᵀ q[t] + Σ_j S[t][j] v[j]) / den[t]
//   C = g C0 + Σ_j u[j] k[j] v[j]ᵀ / √d,  n alike,  u[j] = exp(a[j] - M[last]),  g = exp(m0 - M[last]),  m0 of the next chunk = m[last]
// No exponent is above 0. Three things keep digits where gates are extreme:
// - size may nearly cancel, and all of y is divided by it: it is q·n with the sums n[t] over keys carried in float64, and what rounding took from
//   the S[t][j] is given to the largest of them, so that they sum to it.
// - Where one token outweighs all others, y is nearly its value and the slopes nearly cancel. So the memory holds C - n rᵀ, with r the value of
//   the token that attains M at the chunk's end: what is left is small where r's token rules.
// - Likewise, slopes are built on dy·(v[j] - v of the ruling token); see Inside in backward.h.
// A memory [d + 2, d] is that matrix by key and value channel, n, and r. Where there are few rows (batch, head), their chunks run side by side:
// the sums of each chunk first, then the walk over whole memories, then the outputs.
#ifndef LAB_MLSTM_CELL_H
#define LAB_MLSTM_CELL_H

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "../core/lab.h"
#include "../core/rounded.h"
#include "../core/rows.h"
#include "../core/tile.h"
#include "../core/turn.h"

namespace lab {
namespace mlstm {

constexpr int64_t kChunk = 64;
constexpr double kNothing = -1e30;   // stabiliser of an empty memory
constexpr int64_t kEnoughRows = 16;  // fewer rows run chunk by chunk

struct Sizes {
  int64_t rows, H, T, d, ld, step, chunks;  // ld: from token to token in q, k, v, y; step: in i, f, size
  bool exponential, tokensFirst;
  float scale;
  double eps;
  explicit Sizes(const Call& c)
      : rows(c.n[0] * c.n[1]), H(c.n[1]), T(c.n[2]), d(c.n[3]), chunks((T + kChunk - 1) / kChunk), exponential(c.n[4] != 0),
        tokensFirst(c.n[5] != 0), scale(1.0f / std::sqrt(static_cast<float>(c.n[3]))), eps(c.f[0]) {
    ld = tokensFirst ? H * d : d;
    step = tokensFirst ? H : 1;
  }
  int64_t Matrix() const { return d * d; }
  int64_t Memory() const { return (d + 2) * d; }
  // Index of a gate; times d of a channel: token t of a row.
  int64_t Gate(int64_t row, int64_t t) const { return tokensFirst ? (row / H * T + t) * H + row % H : row * T + t; }
  int64_t Tokens(int64_t chunk) const { return std::min(kChunk, T - chunk * kChunk); }
  bool SideBySide() const { return rows < kEnoughRows && chunks > 1; }
};

struct Inputs {
  const float *q, *k, *v, *i, *f;
};

// to[i] = e^from[i] within 1e-15 of itself, from e^-700 (for anything less) to e^700; plain enough for the compiler to make vectors of it.
inline void ExpAll(int64_t n, const double* from, double* to) {
  constexpr double inverse = 1.4426950408889634, high = 0.69314718036912382, low = 1.9082149292705877e-10, shift = 6755399441055744.0;  // ln 2 in two parts; 1.5 2^52
  for (int64_t i = 0; i < n; ++i) {
    const double x = std::min(std::max(from[i], -700.0), 700.0), shifted = x * inverse + shift, k = shifted - shift;
    const double r = (x - k * high) - k * low;
    double p = 1.0 / 479001600;
    for (const double c : {1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040, 1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6, 0.5, 1.0, 1.0}) p = p * r + c;
    // The last bits of `shifted` are those of k: they go to the exponent.
    int64_t bits, power;
    std::memcpy(&bits, &p, sizeof(bits));
    std::memcpy(&power, &shifted, sizeof(power));
    bits += static_cast<int64_t>(static_cast<uint64_t>(power) << 52);
    std::memcpy(&to[i], &bits, sizeof(bits));
  }
}

// Of preactivations x: ln(1 / (1 + e^-x)), and its slope 1 / (1 + e^x).
inline void LogSigmoid(int64_t n, const double* x, double* value, double* slope) {
  double u[kChunk];
  for (int64_t i = 0; i < n; ++i) u[i] = -std::fabs(x[i]);
  ExpAll(n, u, u);
  for (int64_t i = 0; i < n; ++i) {
    // ln(1 + u) = 2 artanh z with z = u / (2 + u) <= 1/3.
    const double z = u[i] / (2.0 + u[i]), square = z * z;
    double p = 1.0 / 33;
    for (int odd = 31; odd > 0; odd -= 2) p = p * square + 1.0 / odd;
    value[i] = std::min(x[i], 0.0) - 2.0 * z * p;
    slope[i] = (x[i] < 0 ? 1.0 : u[i]) / (1.0 + u[i]);
  }
}

// Gates of one chunk.
struct Gates {
  double a[kChunk], M[kChunk], m[kChunk];
  double floor[kChunk];                 // the smallest denominators
  double slope[kChunk];                 // of the log forget gate in its preactivation
  int64_t top[kChunk];                  // the token that attains M, or -1: the memory that entered
  float recall[kChunk], write[kChunk];  // w and u
  double m0, last;                      // last: M[last], rounded with `after`
  float keep;                           // g
  float after;                          // the next chunk's m0; a float, as it is stored
  Gates(const Sizes& s, const Inputs& in, int64_t row, int64_t chunk, double entered) : m0(entered) {
    const int64_t tokens = s.Tokens(chunk), first = s.Gate(row, chunk * kChunk);
    double f[kChunk], log[kChunk];
    for (int64_t t = 0; t < kChunk; ++t) f[t] = t < tokens ? in.f[first + t * s.step] : 0.0;
    if (s.exponential) {
      std::copy_n(f, kChunk, log);
      std::fill_n(slope, kChunk, 1.0);
    } else {
      LogSigmoid(kChunk, f, log, slope);
    }
    double b = 0, most = m0;
    int64_t at = -1;
    for (int64_t t = 0; t < tokens; ++t) {
      b += log[t];
      a[t] = in.i[first + t * s.step] - b;
      if (a[t] > most) most = a[t], at = t;
      M[t] = most;
      m[t] = b + most;
      top[t] = at;
    }
    after = static_cast<float>(b + most);
    last = after - b;
    for (int64_t t = tokens; t < kChunk; ++t) a[t] = kNothing, M[t] = most, m[t] = b + most;
    for (int64_t t = 0; t < kChunk; ++t) {
      recall[t] = static_cast<float>(m0 - M[t]);
      write[t] = static_cast<float>(a[t] - last);
      // e^-m overflows float32, and from e^80 on the output is 0 anyway; below e^-40 it would be divided by.
      floor[t] = std::min(80.0, std::max(-40.0, -m[t]));
    }
    ExpAll(kChunk, floor, floor);
    for (int64_t t = 0; t < kChunk; t += W) {
      Store(recall + t, Exp(Load(recall + t)));
      Store(write + t, Exp(Load(write + t)));
    }
    keep = Exp1(static_cast<float>(m0 - last));
  }
};

// D[t][j] = exp(a[j] - M[t]) for j <= t. Where j lies in a vector of tokens before t's, it is the product of two factors about M of the last token
// before t's vector: within[t] and since[t / W][j]. M never falls, so neither is above 1.
struct Spread {
  const Gates& gates;
  float within[kChunk], since[kChunk / W][kChunk];
  Spread(const Gates& g, int64_t tokens) : gates(g) {
    for (int64_t own = W; own < tokens; own += W) {
      const double edge = g.M[own - 1];
      float* before = since[own / W];
      for (int64_t i = 0; i < W; ++i) within[own + i] = static_cast<float>(edge - g.M[own + i]);
      for (int64_t j = 0; j < own; ++j) before[j] = static_cast<float>(g.a[j] - edge);
      Store(within + own, Exp(Load(within + own)));
      for (int64_t j = 0; j < own; j += W) Store(before + j, Exp(Load(before + j)));
    }
  }
  // Of the vector of tokens that t is one of, from `own` on; 0 for later ones.
  LAB_INLINE F Own(int64_t t, int64_t own) const {
    float gap[W];
    for (int64_t i = 0; i < W; ++i) gap[i] = static_cast<float>(gates.a[own + i] - gates.M[t]);
    return Select(Le(Iota(), F(static_cast<float>(t - own))), Exp(Min(Load(gap), F(0.0f))), F(0.0f));
  }
  // Calls with(j, weights) for each vector of tokens up to t's.
  template <class With>
  LAB_INLINE void Row(int64_t t, With&& with) const {
    const int64_t own = t / W * W;
    const F factor(within[t]);
    for (int64_t j = 0; j < own; j += W) with(j, factor * Load(since[own / W] + j));
    with(own, Own(t, own));
  }
};

inline float Dot(int64_t n, const float* a, const float* b) {
  return SumOver(n, [&](int64_t j, int64_t left) { return LoadUpTo(a + j, left) * LoadUpTo(b + j, left); });
}

// to[r] = factor(r) · from[r] for rows of `width`.
template <class Factor>
void ScaleRows(int64_t rows, int64_t width, Rows from, Out to, Factor&& factor) {
  for (int64_t r = 0; r < rows; ++r) {
    const F by(factor(r));
    for (int64_t j = 0; j < width; j += W) StoreUpTo(to.p + r * to.ld + j, LoadUpTo(from.p + r * from.ld + j, width - j) * by, width - j);
  }
}

// to[r] = from[r] - of.
inline void Centre(int64_t rows, int64_t width, Rows from, const float* of, Out to) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t j = 0; j < width; j += W)
      StoreUpTo(to.p + r * to.ld + j, LoadUpTo(from.p + r * from.ld + j, width - j) - LoadUpTo(of + j, width - j), width - j);
}

// turned [d, kChunk] = from [tokens, d] transposed, 0 beyond the tokens.
inline void TurnTokens(int64_t tokens, int64_t d, Rows from, float* turned) {
  if (tokens < kChunk)
    for (int64_t c = 0; c < d; ++c) std::fill(turned + c * kChunk + tokens, turned + (c + 1) * kChunk, 0.0f);
  Turn(tokens, d, from, {turned, kChunk});
}

// pairs[t][j] = a[t]·b[j] for j <= t and a little beyond; bT: b transposed, [d, kChunk].
inline void Pairs(int64_t tokens, int64_t d, Rows a, const float* bT, float* pairs) {
  Multiply(tokens, kChunk, d, {a.p, a.ld, 1}, {bT, kChunk}, {pairs, kChunk}, false,
          [&](int64_t, int64_t i1) { return Span{0, d, 0, std::min(kChunk, (i1 + W - 1) / W * W)}; });
}

// Σ row[j] for j <= t, exactly enough to tell what the float32 numbers lack of a sum that nearly cancels; row is 0 up to the end of t's vector.
inline double ExactSum(int64_t t, const float* row) {
  constexpr int lanes = W < 8 ? W : 8;
  double sum[lanes] = {};
  for (int64_t j = 0; j <= t; j += lanes)
    for (int lane = 0; lane < lanes; ++lane) sum[lane] += row[j + lane];
  double whole = 0;
  for (int lane = 0; lane < lanes; ++lane) whole += sum[lane];
  return whole;
}

// Finds the number of largest size among those it is shown.
struct Ruler {
  F most{0.0f}, at{0.0f};
  LAB_INLINE void See(int64_t j, F S) {
    const F size = Abs(S);
    const Mask more = Lt(most, size);
    most = Select(more, size, most);
    at = Select(more, F(static_cast<float>(j)), at);
  }
  // Its size, and which it is: the first of its like, t at most.
  int64_t Find(int64_t t, float* largest) const {
    *largest = MaxOf(most);
    return static_cast<int64_t>(MinOf(Select(Eq(most, F(*largest)), at + Iota(), F(static_cast<float>(t)))));
  }
};

// One chunk of one row.
struct Chunk {
  int64_t row, index, tokens, at;  // at: offset of its first token in q, k, v, y
  Rows q, k, v;
  Chunk(const Sizes& s, const Inputs& in, int64_t row, int64_t index) : row(row), index(index), tokens(s.Tokens(index)) {
    at = s.Gate(row, index * kChunk) * s.d;
    q = {in.q + at, s.ld}, k = {in.k + at, s.ld}, v = {in.v + at, s.ld};
  }
};

}  // namespace mlstm
}  // namespace lab

#endif
