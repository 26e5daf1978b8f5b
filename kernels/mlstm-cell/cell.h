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
#include <utility>

#include "../core/lab.h"
#include "../core/rounded.h"
#include "../core/rows.h"
#include "../core/tile.h"

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

// Gates of one chunk.
struct Gates {
  double a[kChunk], M[kChunk], m[kChunk];
  int64_t top[kChunk];                  // the token that attains M, or -1: the memory that entered
  float recall[kChunk], write[kChunk];  // w and u
  double m0, last;                      // last: M[last], rounded with `after`
  float keep;                           // g
  float after;                          // the next chunk's m0; a float, as it is stored
  Gates(const Sizes& s, const Inputs& in, int64_t row, int64_t chunk, double entered) : m0(entered) {
    const int64_t tokens = s.Tokens(chunk), first = s.Gate(row, chunk * kChunk);
    double b = 0, most = m0;
    int64_t at = -1;
    for (int64_t t = 0; t < tokens; ++t) {
      const double f = in.f[first + t * s.step];
      b += s.exponential ? f : std::min(f, 0.0) - std::log1p(std::exp(-std::fabs(f)));
      a[t] = in.i[first + t * s.step] - b;
      if (a[t] > most) most = a[t], at = t;
      M[t] = most;
      m[t] = b + most;
      top[t] = at;
    }
    after = static_cast<float>(b + most);
    last = after - b;
    for (int64_t t = 0; t < kChunk; ++t) {
      recall[t] = t < tokens ? static_cast<float>(m0 - M[t]) : 0.0f;
      write[t] = t < tokens ? static_cast<float>(a[t] - last) : 0.0f;
    }
    for (int64_t t = 0; t < kChunk; t += W) {
      Store(recall + t, Exp(Load(recall + t)));
      Store(write + t, Exp(Load(write + t)));
    }
    keep = Exp1(static_cast<float>(m0 - last));
  }
  // D[t][j] for j <= t, else 0, up to the end of t's vector.
  void Weights(int64_t t, float* to) const {
    const int64_t end = (t / W + 1) * W;
    for (int64_t j = 0; j < end; ++j) to[j] = j <= t ? static_cast<float>(a[j] - M[t]) : 0.0f;
    for (int64_t j = 0; j < end; j += W) Store(to + j, Exp(Load(to + j)));
    std::fill(to + t + 1, to + end, 0.0f);
  }
  // The smallest denominator. e^-m overflows float32, and from e^80 on the output is 0 anyway; below e^-40 it would be divided by.
  double Floor(int64_t t) const { return std::exp(std::min(80.0, std::max(-40.0, -m[t]))); }
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

// to = a + by (b - c), of `width` numbers.
inline void Step(int64_t width, const float* a, float by, const float* b, const float* c, float* to) {
  const F factor(by);
  for (int64_t j = 0; j < width; j += W)
    StoreUpTo(to + j, Fma(factor, LoadUpTo(b + j, width - j) - LoadUpTo(c + j, width - j), LoadUpTo(a + j, width - j)), width - j);
}

// to[r] = from[r] - of.
inline void Centre(int64_t rows, int64_t width, Rows from, const float* of, Out to) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t j = 0; j < width; j += W)
      StoreUpTo(to.p + r * to.ld + j, LoadUpTo(from.p + r * from.ld + j, width - j) - LoadUpTo(of + j, width - j), width - j);
}

// turned [d, kChunk] = from [tokens, d] transposed, 0 beyond the tokens.
inline void Turn(int64_t tokens, int64_t d, Rows from, float* turned) {
  if (tokens < kChunk)
    for (int64_t c = 0; c < d; ++c) std::fill(turned + c * kChunk + tokens, turned + (c + 1) * kChunk, 0.0f);
  Transpose(tokens, d, from, {turned, kChunk});
}

// pairs[t][j] = a[t]·b[j] for j <= t and a little beyond; bT: b transposed, [d, kChunk].
inline void Pairs(int64_t tokens, int64_t d, Rows a, const float* bT, float* pairs) {
  Multiply(tokens, kChunk, d, {a.p, a.ld, 1}, {bT, kChunk}, {pairs, kChunk}, false,
          [&](int64_t, int64_t i1) { return Span{0, d, 0, std::min(kChunk, (i1 + W - 1) / W * W)}; });
}

// Σ row[j] for j <= t, exactly enough to tell what the float32 numbers lack of a sum that nearly cancels.
inline double ExactSum(int64_t t, const float* row) {
  double sum[4] = {};
  for (int64_t j = 0; j <= t; ++j) sum[j % 4] += row[j];
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

// The token j <= t with the largest |S[j]|, and that number; S is 0 up to the end of t's vector.
inline int64_t Ruler(int64_t t, const float* S, float* largest) {
  F most(0.0f);
  for (int64_t j = 0; j <= t; j += W) most = Max(most, Abs(Load(S + j)));
  *largest = MaxOf(most);
  int64_t j = 0;
  while (j < t && !(std::fabs(S[j]) >= *largest)) ++j;
  return j;
}

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
