// The memory of one head in doubles: how its matrices lie, what it recalls and learns from a token.
//
//   M(k) = k + silu(p W1) W2, or p W1;   G = Σ γ ∇ ½|M(k) - v|² over the window, at the anchor
//   S = θ S + G,   W = α W - η NS(S),   y = M(q)
// A matrix that is wider than tall lies transposed: rows of the smaller side, as orthogonalisation takes them (schulz.h).
#ifndef LAB_ATLAS_MEMORY_H
#define LAB_ATLAS_MEMORY_H

#include "schulz.h"

namespace lab::atlas {

constexpr int64_t kSegment = 16;  // see SEGMENT of kernel.ts

/// One matrix: [in, out] outside, [s, rp] inside with r <= s, rows padded to rp.
struct Matrix {
  int64_t in = 0, out = 0, r = 0, s = 0, rp = 0, sp = 0, at = 0, outside = 0;  // at, outside: where it starts among all numbers
  bool flipped = false;
  void Set(int64_t inputs, int64_t outputs) {
    in = inputs, out = outputs;
    flipped = in < out;
    r = std::min(in, out), s = std::max(in, out);
    rp = Padded(r), sp = Padded(s);
  }
  int64_t Size() const { return s * rp; }
  int64_t TurnedSize() const { return rp * sp; }
  /// to [rp, sp] = W turned over.
  void Turn(const double* W, double* to) const { Transpose(s, rp, W, rp, to, sp); }

  /// y = x W, [out]; both padded.
  void Apply(const double* W, const double* x, double* y) const { flipped ? Across(s, rp, W, x, y) : Along(s, rp, W, x, y); }
  /// x = W y, [in].
  void Back(const double* W, const double* y, double* x) const { flipped ? Along(s, rp, W, y, x) : Across(s, rp, W, y, x); }
  /// W += x yᵀ.
  void Learn(const double* x, const double* y, double* W) const { flipped ? AddOuter(s, rp, y, x, W) : AddOuter(s, rp, x, y, W); }

  /// The term x W of rows x [n, ldx], where `turned` is W turned over; it has Padded(out) columns.
  Term<double> Forward(const double* W, const double* turned, const double* x, int64_t ldx) const {
    return {x, ldx, 1, flipped ? turned : W, flipped ? sp : rp, in};
  }
  /// The term y Wᵀ of rows y [n, ldy]; it has Padded(in) columns.
  Term<double> Backward(const double* W, const double* turned, const double* y, int64_t ldy) const {
    return {y, ldy, 1, flipped ? W : turned, flipped ? rp : sp, out};
  }
  /// The term Σ x yᵀ over `rows` rows, as a matrix lies inside.
  Term<double> Outer(int64_t rows, const double* x, int64_t ldx, const double* y, int64_t ldy) const {
    return flipped ? Term<double>{y, 1, ldy, x, ldx, rows} : Term<double>{x, 1, ldx, y, ldy, rows};
  }
  /// The number at row i and column j outside.
  int64_t Index(int64_t i, int64_t j) const { return flipped ? j * rp + i : i * rp + j; }
};

struct Sizes {
  int64_t R, H, T, behind, F, h, d, window, chunk, steps, position;
  int64_t Fp, hp, dp;  // padded
  int matrices;
  Matrix m[2];
  int64_t total = 0, outside = 0;  // numbers of all matrices, inside and outside
  explicit Sizes(const Call& c)
      : R(c.n[0]), H(c.n[1]), T(c.n[2]), behind(c.n[3]), F(c.n[4]), h(c.n[5]), d(c.n[6]), window(c.n[7]), chunk(c.n[8]), steps(c.n[9]), position(c.n[10]) {
    Fp = Padded(F), hp = Padded(std::max<int64_t>(1, h)), dp = Padded(d);
    matrices = h > 0 ? 2 : 1;
    m[0].Set(F, h > 0 ? h : d);
    m[1].Set(h, d);
    for (int i = 0; i < matrices; ++i) {
      m[i].at = total, m[i].outside = outside;
      total += m[i].Size(), outside += m[i].in * m[i].out;
    }
  }
  bool Deep() const { return matrices == 2; }
  int64_t Largest() const { return Deep() ? std::max(m[0].Size(), m[1].Size()) : m[0].Size(); }
  int64_t Rows() const { return kSegment + window - 1; }  // tokens that a piece looks at, at most
};

/// Where each matrix of a memory begins.
struct Apart {
  double* p[kMatrices];
  Apart(const Sizes& s, double* all) : p{all, all + s.m[1].at} {}
};

/// All matrices from floats outside, [in, out] one after another, to the layout inside; `rest` adds what rounding took.
inline void Read(const Matrix& m, const float* from, const float* rest, double* to) {
  std::fill_n(to, m.Size(), 0.0);
  for (int64_t i = 0; i < m.in; ++i)
    for (int64_t j = 0; j < m.out; ++j)
      to[m.Index(i, j)] = static_cast<double>(from[i * m.out + j]) + (rest ? static_cast<double>(rest[i * m.out + j]) : 0.0);
}
inline void Write(const Matrix& m, const double* from, float* to, float* rest) {
  for (int64_t i = 0; i < m.in; ++i)
    for (int64_t j = 0; j < m.out; ++j) {
      const double value = from[m.Index(i, j)];
      const float rounded = static_cast<float>(value);
      to[i * m.out + j] = rounded;
      if (rest) rest[i * m.out + j] = static_cast<float>(value - static_cast<double>(rounded));
    }
}
/// `rows` rows of n floats to rows of padded doubles.
inline void ReadRows(int64_t rows, int64_t n, const float* from, double* to, int64_t padded) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < n; ++j) to[i * padded + j] = from[i * n + j];
    std::fill(to + i * padded + n, to + (i + 1) * padded, 0.0);
  }
}

/// The inputs of one memory.
struct Tokens {
  const float *p, *k, *v, *gamma, *q, *pq, *alpha, *eta, *theta;
  Tokens(const Call& c, const Sizes& s, int64_t row) {
    const int64_t all = row * (s.behind + s.T), now = row * s.T;
    p = c.In<float>(0) + all * s.F, k = c.In<float>(1) + all * s.d, v = c.In<float>(2) + all * s.d, gamma = c.In<float>(3) + all;
    q = c.In<float>(4) + now * s.d, pq = c.In<float>(5) + now * s.F;
    alpha = c.In<float>(6) + now, eta = c.In<float>(7) + now, theta = c.In<float>(8) + now;
  }
};

// ---------------------------------------------------------------- what a token teaches

/// What the memory at an anchor makes of some tokens, a row each; matrix i learns left[i] right[i]ᵀ of each.
struct Lessons {
  const Sizes& s;
  Zeros p, k, v, before, open, hidden, residual, error, thrown, back, gamma, turned0, turned1;
  explicit Lessons(const Sizes& sizes)
      : s(sizes), p(s.Rows() * s.Fp), k(s.Rows() * s.dp), v(s.Rows() * s.dp), before(s.Rows() * s.hp), open(s.Rows() * s.hp), hidden(s.Rows() * s.hp),
        residual(s.Rows() * s.dp), error(s.Rows() * s.dp), thrown(s.Rows() * s.hp), back(s.Rows() * s.hp), gamma(s.Rows()), turned0(s.m[0].TurnedSize()),
        turned1(s.Deep() ? s.m[1].TurnedSize() : 0) {}
  double* Left(int i, int64_t row) { return i == 0 ? p + row * s.Fp : hidden + row * s.hp; }
  double* Right(int i, int64_t row) { return i == 0 && s.Deep() ? back + row * s.hp : error + row * s.dp; }
  int64_t LeftLd(int i) const { return i == 0 ? s.Fp : s.hp; }
  int64_t RightLd(int i) const { return i == 0 && s.Deep() ? s.hp : s.dp; }

  /// Tokens first .. first + rows - 1, counted from the first that the inputs hold. Keeps the anchor's matrices turned over.
  void Take(const Tokens& in, int64_t first, int64_t rows, const double* anchor) {
    ReadRows(rows, s.F, in.p + first * s.F, p, s.Fp);
    ReadRows(rows, s.d, in.k + first * s.d, k, s.dp);
    ReadRows(rows, s.d, in.v + first * s.d, v, s.dp);
    double *res = residual, *err = error, *weight = gamma;
    const double *key = k, *value = v;
    for (int64_t i = 0; i < rows; ++i) weight[i] = in.gamma[first + i];
    const Matrix& one = s.m[0];
    one.Turn(anchor, turned0);
    if (!s.Deep()) {
      Multiply<double, 1>(rows, s.dp, {one.Forward(anchor, turned0, p, s.Fp)}, res, s.dp);
      for (int64_t j = 0; j < rows * s.dp; ++j) res[j] -= value[j];
      Weigh(rows);
      return;
    }
    const Matrix& two = s.m[1];
    const double* second = anchor + two.at;
    two.Turn(second, turned1);
    double *pre = before, *sig = open, *act = hidden, *t = thrown, *to = back;
    Multiply<double, 1>(rows, s.hp, {one.Forward(anchor, turned0, p, s.Fp)}, pre, s.hp);
    Sigmoids(rows * s.hp, pre, sig);
    for (int64_t j = 0; j < rows * s.hp; ++j) act[j] = pre[j] * sig[j];
    Multiply<double, 1>(rows, s.dp, {two.Forward(second, turned1, act, s.hp)}, res, s.dp);
    for (int64_t j = 0; j < rows * s.dp; ++j) res[j] += key[j] - value[j];
    Weigh(rows);
    Multiply<double, 1>(rows, s.hp, {two.Backward(second, turned1, err, s.dp)}, t, s.hp);
    for (int64_t j = 0; j < rows * s.hp; ++j) to[j] = t[j] * sig[j] * (1.0 + pre[j] * (1.0 - sig[j]));
  }

  /// S = theta S + the gradients of rows from .. to - 1.
  void Gather(int i, int64_t from, int64_t to, double theta, double* S) {
    const Matrix& m = s.m[i];
    Multiply<double, 1>(m.s, m.rp, {m.Outer(to - from, Left(i, from), LeftLd(i), Right(i, from), RightLd(i))}, S, m.rp, {S, 1.0, theta});
  }

 private:
  void Weigh(int64_t rows) {
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = i * s.dp; j < (i + 1) * s.dp; ++j) error[j] = gamma[i] * residual[j];
  }
};

/// Tokens t0 .. t1 - 1 of one chunk, as `Each` gives them out.
struct Piece {
  int64_t t0, t1, rows0;  // rows0: the first token that the window of t0 holds, counted from the first of the inputs
};

/// Pieces of the tokens from .. to - 1, of at most a segment each, none across the border of a chunk.
struct Pieces {
  const Sizes& s;
  int64_t from, to;
  int64_t End(int64_t t) const {
    const int64_t past = (s.position + t) % s.chunk;
    return std::min({to, t + s.chunk - past, t + kSegment});
  }
  Piece At(int64_t t) const { return {t, End(t), std::max<int64_t>(0, s.behind + t - s.window + 1)}; }
};

/// The answer to a query.
struct Answer {
  Zeros q, pq, before, open, hidden, out;
  explicit Answer(const Sizes& s) : q(s.dp), pq(s.Fp), before(s.hp), open(s.hp), hidden(s.hp), out(s.dp) {}
  void Give(const Sizes& s, const Tokens& in, int64_t t, const double* W) {
    ReadRows(1, s.F, in.pq + t * s.F, pq, s.Fp);
    if (!s.Deep()) {
      s.m[0].Apply(W, pq, out);
      return;
    }
    ReadRows(1, s.d, in.q + t * s.d, q, s.dp);
    double *pre = before, *sig = open, *act = hidden, *y = out;
    s.m[0].Apply(W, pq, pre);
    Sigmoids(s.hp, pre, sig);
    for (int64_t j = 0; j < s.hp; ++j) act[j] = pre[j] * sig[j];
    s.m[1].Apply(W + s.m[1].at, act, y);
    for (int64_t j = 0; j < s.dp; ++j) y[j] += q[j];
  }
};

/// First token of each segment: see segmentStarts of kernel.ts.
struct Segments {
  int64_t chunk, step, pieces, T;
  explicit Segments(const Sizes& s) : chunk(s.chunk), T(s.T) {
    step = chunk <= kSegment ? chunk * (kSegment / chunk) : chunk;
    pieces = (step + kSegment - 1) / kSegment;
  }
  int64_t Start(int64_t g) const { return g / pieces * step + g % pieces * kSegment; }
  int64_t Count() const { return T / step * pieces + (T % step + kSegment - 1) / kSegment; }
  /// The segment at whose start the chunk of segment g starts.
  int64_t Anchor(int64_t g) const { return chunk <= kSegment ? g : g - g % pieces; }
};

}  // namespace lab::atlas

#endif
