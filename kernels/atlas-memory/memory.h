// The memory of one head in doubles: how its matrices lie, what it recalls and learns from a token, and the orthogonalised step.
//
//   M(k) = k + silu(p W1) W2, or p W1;   G = Σ γ ∇ ½|M(k) - v|² over the window, at the anchor
//   S = θ S + G,   W = α W - η NS(S),   y = M(q)
// A matrix that is taller than wide lies transposed, so that orthogonalisation works on r x r products with r the smaller side.
#ifndef LAB_ATLAS_MEMORY_H
#define LAB_ATLAS_MEMORY_H

#include <algorithm>
#include <cmath>

#include "../core/doubles.h"

namespace lab::atlas {

constexpr int64_t kSegment = 16;  // see SEGMENT of kernel.ts

/// Doubles of scratch memory, all zero.
struct Zeros {
  Scratch memory;
  explicit Zeros(int64_t n) : memory(2 * std::max<int64_t>(1, n)) { std::fill_n(memory.As<double>(), n, 0.0); }
  operator double*() { return memory.As<double>(); }
};

/// One matrix: [in, out] outside, [r, sp] inside with r <= s, rows padded to sp.
struct Matrix {
  int64_t in = 0, out = 0, r = 0, s = 0, rp = 0, sp = 0, at = 0, outside = 0;  // at, outside: where it starts among all numbers
  bool tall = false;
  void Set(int64_t inputs, int64_t outputs) {
    in = inputs, out = outputs;
    tall = in > out;
    r = std::min(in, out), s = std::max(in, out);
    rp = Padded(r), sp = Padded(s);
  }
  int64_t Size() const { return r * sp; }

  /// y = x W, [out]; both padded.
  template <bool Add = false>
  void Apply(const double* W, const double* x, double* y) const {
    tall ? Across<Add>(r, sp, W, x, y) : Along<Add>(r, sp, W, x, y);
  }
  /// x = W y, [in].
  template <bool Add = false>
  void Back(const double* W, const double* y, double* x) const {
    tall ? Along<Add>(r, sp, W, y, x) : Across<Add>(r, sp, W, y, x);
  }
  /// W += x yᵀ.
  void Learn(const double* x, const double* y, double* W) const {
    tall ? AddOuter(r, sp, y, x, W) : AddOuter(r, sp, x, y, W);
  }
  /// The number at row i and column j outside.
  int64_t Index(int64_t i, int64_t j) const { return tall ? j * sp + i : i * sp + j; }
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
  int64_t Smallest() const { return Deep() ? std::max(m[0].rp, m[1].rp) : m[0].rp; }
  int64_t Widest() const { return Deep() ? std::max(m[0].sp, m[1].sp) : m[0].sp; }
  int64_t Rows() const { return kSegment + window - 1; }  // tokens that a piece looks at, at most
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

// ---------------------------------------------------------------- the orthogonalised step

// Muon's quintic a x + b x³ + c x⁵ of each singular value.
constexpr double kA = 3.4445, kB = -4.775, kC = 2.0315, kEpsilon = 1e-7, kTiny = 1e-30;

/// What one orthogonalisation leaves for its gradient: from X = S / length on, step by step, A = X Xᵀ, Q = a + b A + c A², X = Q X.
/// The products with the Gram matrix alone would be cheaper, but their gradient loses three times as many digits.
struct Trace {
  double norm = 0, scale = 0;
  double *X = nullptr, *A = nullptr, *Q = nullptr;  // before each step [steps, r, sp]; of each step [steps, r, rp]
  static int64_t Size(const Matrix& m, int64_t steps) { return steps * (m.Size() + 2 * m.r * m.rp); }
  void Lay(const Matrix& m, int64_t steps, double* memory) {
    X = memory, A = X + steps * m.Size(), Q = A + steps * m.r * m.rp;
  }
};

/// Scratch of both ways.
struct Bench {
  Zeros turned, square, other, wide;
  explicit Bench(const Sizes& s)
      : turned(s.Widest() * s.Smallest()), square(s.Smallest() * s.Smallest()), other(s.Smallest() * s.Smallest()), wide(s.Smallest() * s.Widest()) {}
};

/// to = NS(S), [r, sp]; `t` keeps what the gradient needs.
inline void Orthogonalise(const Matrix& m, int64_t steps, const double* S, double* to, Trace& t, Bench& bench) {
  const int64_t r = m.r, rp = m.rp, n = r * rp, size = m.Size();
  if (steps == 0) {
    std::copy_n(S, size, to);
    return;
  }
  t.norm = std::sqrt(Dot(size, S, S) + kTiny);
  t.scale = 1.0 / (t.norm + kEpsilon);
  Blend(size, t.scale, S, 0.0, S, t.X);
  for (int64_t step = 0; step < steps; ++step) {
    double *X = t.X + step * size, *A = t.A + step * n, *Q = t.Q + step * n;
    Transpose(r, m.sp, X, m.sp, bench.turned, rp);
    SymmetricProduct(r, rp, m.s, X, m.sp, bench.turned, rp, A);
    SymmetricProduct(r, rp, r, A, rp, A, rp, bench.square);
    Blend(n, kB, A, kC, bench.square, Q);
    for (int64_t i = 0; i < r; ++i) Q[i * rp + i] += kA;
    Product(r, m.sp, r, Q, rp, X, m.sp, step + 1 < steps ? X + size : to, m.sp);
  }
}

/// dS from dX, [r, sp] both; dX is overwritten.
inline void OrthogonaliseBack(const Matrix& m, int64_t steps, const double* S, double* dX, double* dS, const Trace& t, Bench& bench) {
  const int64_t r = m.r, rp = m.rp, n = r * rp, size = m.Size();
  double *square = bench.square, *both = bench.other, *wide = bench.wide;
  for (int64_t step = steps - 1; step >= 0; --step) {
    const double *X = t.X + step * size, *A = t.A + step * n, *Q = t.Q + step * n;
    Transpose(r, m.sp, X, m.sp, bench.turned, rp);
    Product(r, rp, m.s, dX, m.sp, bench.turned, rp, square, rp);
    AddTurned(r, rp, square, both);  // dQ + dQᵀ
    Product(r, rp, r, A, rp, both, rp, square, rp);
    AddTurned(r, rp, square, square);
    Blend(n, kB, both, kC, square, both);  // dA + dAᵀ
    Product(r, m.sp, r, Q, rp, dX, m.sp, wide, m.sp);
    Product(r, m.sp, r, both, rp, X, m.sp, dX, m.sp);
    Blend(size, 1.0, dX, 1.0, wide, dX);
  }
  if (steps == 0)
    std::copy_n(dX, size, dS);
  else
    Blend(size, t.scale, dX, -Dot(size, dX, S) * t.scale * t.scale / t.norm, S, dS);
}

// ---------------------------------------------------------------- what a token teaches

/// What the memory at an anchor makes of some tokens, a row each; matrix i learns left[i] right[i]ᵀ of each.
struct Lessons {
  const Sizes& s;
  Zeros p, k, v, before, open, hidden, residual, error, thrown, back;
  double* gamma;
  Zeros gammas;
  explicit Lessons(const Sizes& sizes)
      : s(sizes), p(s.Rows() * s.Fp), k(s.Rows() * s.dp), v(s.Rows() * s.dp), before(s.Rows() * s.hp), open(s.Rows() * s.hp), hidden(s.Rows() * s.hp),
        residual(s.Rows() * s.dp), error(s.Rows() * s.dp), thrown(s.Rows() * s.hp), back(s.Rows() * s.hp), gammas(s.Rows()) {
    gamma = gammas;
  }
  double* Left(int i, int64_t row) { return i == 0 ? p + row * s.Fp : hidden + row * s.hp; }
  double* Right(int i, int64_t row) { return i == 0 && s.Deep() ? back + row * s.hp : error + row * s.dp; }

  /// Tokens first .. first + rows - 1, counted from the first that the inputs hold.
  void Take(const Tokens& in, int64_t first, int64_t rows, const double* anchor) {
    ReadRows(rows, s.F, in.p + first * s.F, p, s.Fp);
    ReadRows(rows, s.d, in.k + first * s.d, k, s.dp);
    ReadRows(rows, s.d, in.v + first * s.d, v, s.dp);
    for (int64_t i = 0; i < rows; ++i) {
      gamma[i] = in.gamma[first + i];
      double *res = residual + i * s.dp, *err = error + i * s.dp;
      const double* value = v + i * s.dp;
      if (!s.Deep()) {
        s.m[0].Apply(anchor, p + i * s.Fp, res);
        for (int64_t j = 0; j < s.dp; ++j) res[j] -= value[j];
        for (int64_t j = 0; j < s.dp; ++j) err[j] = gamma[i] * res[j];
        continue;
      }
      double *pre = before + i * s.hp, *sig = open + i * s.hp, *act = hidden + i * s.hp, *t = thrown + i * s.hp, *to = back + i * s.hp;
      const double* key = k + i * s.dp;
      s.m[0].Apply(anchor, p + i * s.Fp, pre);
      Sigmoids(s.hp, pre, sig);
      for (int64_t j = 0; j < s.hp; ++j) act[j] = pre[j] * sig[j];
      s.m[1].Apply(anchor + s.m[1].at, act, res);
      for (int64_t j = 0; j < s.dp; ++j) res[j] += key[j] - value[j];
      for (int64_t j = 0; j < s.dp; ++j) err[j] = gamma[i] * res[j];
      s.m[1].Back(anchor + s.m[1].at, err, t);
      for (int64_t j = 0; j < s.hp; ++j) to[j] = t[j] * sig[j] * (1.0 + pre[j] * (1.0 - sig[j]));
    }
  }

  /// S = theta S + the gradients of rows from .. to - 1.
  void Gather(int i, int64_t from, int64_t to, double theta, double* S) {
    const Matrix& m = s.m[i];
    for (int64_t row = 0; row < m.r; ++row) {
      for (int64_t j = 0; j < m.sp; j += DW) {
        D sum = D(theta) * Load(S + row * m.sp + j);
        for (int64_t n = from; n < to; ++n) {
          const double *left = Left(i, n), *right = Right(i, n);
          sum = Fma(D((m.tall ? right : left)[row]), Load((m.tall ? left : right) + j), sum);
        }
        Store(S + row * m.sp + j, sum);
      }
    }
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
