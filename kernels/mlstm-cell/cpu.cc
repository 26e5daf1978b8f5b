// The matrix memory of xLSTM (arXiv 2405.04517, section 2.3) in chunks of 64 tokens, forward and gradient.
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
// - Likewise, slopes are built on dy·(v[j] - v of the ruling token); see Inside.
// A memory [d + 2, d] is that matrix by key and value channel, n, and r. Where there are few rows (batch, head), their chunks run side by side:
// the sums of each chunk first, then the walk over whole memories, then the outputs.
#include <algorithm>
#include <cmath>
#include <utility>

#include "../core/lab.h"
#include "../core/rounded.h"
#include "../core/rows.h"
#include "../core/tile.h"

namespace {

using namespace lab;

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
  explicit Inputs(const Call& c) : q(c.In<float>(0)), k(c.In<float>(1)), v(c.In<float>(2)), i(c.In<float>(3)), f(c.In<float>(4)) {}
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

float Dot(int64_t n, const float* a, const float* b) {
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
void Step(int64_t width, const float* a, float by, const float* b, const float* c, float* to) {
  const F factor(by);
  for (int64_t j = 0; j < width; j += W)
    StoreUpTo(to + j, Fma(factor, LoadUpTo(b + j, width - j) - LoadUpTo(c + j, width - j), LoadUpTo(a + j, width - j)), width - j);
}

// to[r] = from[r] - of.
void Centre(int64_t rows, int64_t width, Rows from, const float* of, Out to) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t j = 0; j < width; j += W)
      StoreUpTo(to.p + r * to.ld + j, LoadUpTo(from.p + r * from.ld + j, width - j) - LoadUpTo(of + j, width - j), width - j);
}

// turned [d, kChunk] = from [tokens, d] transposed, 0 beyond the tokens.
void Turn(int64_t tokens, int64_t d, Rows from, float* turned) {
  if (tokens < kChunk)
    for (int64_t c = 0; c < d; ++c) std::fill(turned + c * kChunk + tokens, turned + (c + 1) * kChunk, 0.0f);
  Transpose(tokens, d, from, {turned, kChunk});
}

// pairs[t][j] = a[t]·b[j] for j <= t and a little beyond; bT: b transposed, [d, kChunk].
void Pairs(int64_t tokens, int64_t d, Rows a, const float* bT, float* pairs) {
  Multiply(tokens, kChunk, d, {a.p, a.ld, 1}, {bT, kChunk}, {pairs, kChunk}, false,
          [&](int64_t, int64_t i1) { return Span{0, d, 0, std::min(kChunk, (i1 + W - 1) / W * W)}; });
}

// Σ row[j] for j <= t, exactly enough to tell what the float32 numbers lack of a sum that nearly cancels.
double ExactSum(int64_t t, const float* row) {
  double sum[4] = {};
  for (int64_t j = 0; j <= t; ++j) sum[j % 4] += row[j];
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

// The token j <= t with the largest |S[j]|, and that number; S is 0 up to the end of t's vector.
int64_t Ruler(int64_t t, const float* S, float* largest) {
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

struct Forward {
  const Sizes& s;
  const Inputs& in;
  float *y, *memories, *stabilisers, *sizes;
  float* MemoryOf(int64_t row, int64_t chunk) const { return memories + (row * s.chunks + chunk) * s.Memory(); }

  // What the chunk adds to the matrix and to n, into `matrix` [d, d] (+= with `add`) and `sums` [d]; r: the next memory's value.
  void Add(const Chunk& c, const Gates& gates, const float* r, bool add, float* matrix, double* sums, float* keys, float* centred) const {
    ScaleRows(c.tokens, s.d, c.k, {keys, s.d}, [&](int64_t j) { return gates.write[j] * s.scale; });
    Centre(c.tokens, s.d, c.v, r, {centred, s.d});
    Multiply(s.d, s.d, c.tokens, {keys, 1, s.d}, {centred, s.d}, {matrix, s.d}, add);
    for (int64_t e = 0; e < s.d; ++e) sums[e] = 0;
    for (int64_t j = 0; j < c.tokens; ++j) {
      const double u = std::exp(gates.a[j] - gates.last) / std::sqrt(static_cast<double>(s.d));
      for (int64_t e = 0; e < s.d; ++e) sums[e] += u * c.k.p[j * c.k.ld + e];
    }
  }

  // q·n of each token into size; n [d]: of the memory that entered on entry, spoilt on return.
  void Normalise(const Chunk& c, const Gates& gates, double* n, double* size) const {
    constexpr int lanes = 8;
    double before = gates.m0;
    for (int64_t t = 0; t < c.tokens; ++t) {
      const double keep = std::exp(before - gates.M[t]), write = std::exp(gates.a[t] - gates.M[t]) / std::sqrt(static_cast<double>(s.d));
      const float *key = c.k.p + t * c.k.ld, *query = c.q.p + t * c.q.ld;
      double sum[lanes] = {};
      int64_t e = 0;
      for (; e + lanes <= s.d; e += lanes)
        for (int lane = 0; lane < lanes; ++lane) {
          n[e + lane] = keep * n[e + lane] + write * key[e + lane];
          sum[lane] += n[e + lane] * query[e + lane];
        }
      for (; e < s.d; ++e) {
        n[e] = keep * n[e] + write * key[e];
        sum[0] += n[e] * query[e];
      }
      size[t] = ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
      before = gates.M[t];
    }
  }

  void Outputs(const Chunk& c, const Gates& gates, const float* memory, double* n, float* turned, float* pairs, float* scaled) const {
    const float *n0 = memory + s.Matrix(), *r = n0 + s.d;
    double size[kChunk];
    float share[kChunk], own[kChunk], weights[kChunk];  // own: what the memory has of size
    Normalise(c, gates, n, size);
    Turn(c.tokens, s.d, c.k, turned);
    Pairs(c.tokens, s.d, c.q, turned, pairs);
    if (c.index > 0) ScaleRows(c.tokens, s.d, c.q, {scaled, s.d}, [&](int64_t t) { return gates.recall[t]; });
    for (int64_t t = 0; t < c.tokens; ++t) {
      sizes[s.Gate(c.row, c.index * kChunk + t)] = static_cast<float>(size[t]);
      share[t] = static_cast<float>(1.0 / (std::max(std::fabs(size[t]), gates.Floor(t)) + s.eps));
      gates.Weights(t, weights);
      float* S = pairs + t * kChunk;
      for (int64_t j = 0; j <= t; j += W) Store(S + j, Load(weights + j) * Load(S + j) * F(s.scale));
      std::fill(S + (t / W + 1) * W, S + kChunk, 0.0f);
      own[t] = c.index > 0 ? Dot(s.d, scaled + t * s.d, n0) : 0.0f;
      float largest;
      const int64_t ruler = Ruler(t, S, &largest);
      const double lacking = size[t] - own[t] - ExactSum(t, S);
      (std::fabs(own[t]) > largest ? own[t] : S[ruler]) += static_cast<float>(lacking);
    }
    const Out ys{y + c.at, s.ld};
    Multiply(c.tokens, s.d, c.tokens, {pairs, kChunk, 1}, c.v, ys, false, [&](int64_t, int64_t i1) { return Span{0, i1, 0, s.d}; });
    if (c.index > 0) Multiply(c.tokens, s.d, s.d, {scaled, s.d, 1}, {memory, s.d}, ys, true);
    for (int64_t t = 0; t < c.tokens; ++t) {
      float* to = ys.p + t * ys.ld;
      const F part(own[t]), unit(share[t]);
      for (int64_t e = 0; e < s.d; e += W) {
        const F sum = LoadUpTo(to + e, s.d - e);
        StoreUpTo(to + e, (c.index > 0 ? Fma(part, LoadUpTo(r + e, s.d - e), sum) : sum) * unit, s.d - e);
      }
    }
  }

  // r of the memory after the chunk.
  const float* Ruling(const Chunk& c, const Gates& gates, const float* before) const {
    const int64_t top = gates.top[c.tokens - 1];
    return top < 0 ? before : c.v.p + top * c.v.ld;
  }

  // next = keep (memory, about the next r); what the chunk adds is to be added.
  void Keep(const Gates& gates, const float* memory, const float* r, float* next) const {
    const float *n0 = memory + s.Matrix(), *before = n0 + s.d;
    for (int64_t i = 0; i < s.d; ++i) {
      Step(s.d, memory + i * s.d, n0[i], before, r, next + i * s.d);
      ScaleRows(1, s.d, {next + i * s.d, 0}, {next + i * s.d, 0}, [&](int64_t) { return gates.keep; });
    }
    std::copy_n(r, s.d, next + s.Matrix() + s.d);
  }

  // n and its float32 copy in the next memory.
  void KeepSums(const Gates& gates, const double* added, double* n, float* next) const {
    const double keep = std::exp(gates.m0 - gates.last);
    for (int64_t e = 0; e < s.d; ++e) {
      n[e] = keep * n[e] + added[e];
      next[s.Matrix() + e] = static_cast<float>(n[e]);
    }
  }

  void OneByOne() const {
    ParallelFor(s.rows, 1, [&](int64_t begin, int64_t end) {
      Scratch turned(s.d * kChunk), pairs(kChunk * kChunk), scaled(kChunk * s.d), centred(kChunk * s.d), sums(6 * s.d);
      double *n = sums.As<double>(), *at = n + s.d, *added = at + s.d;
      for (int64_t row = begin; row < end; ++row) {
        double m0 = kNothing;
        std::fill_n(MemoryOf(row, 0), s.chunks > 0 ? s.Memory() : 0, 0.0f);
        std::fill_n(n, s.d, 0.0);
        for (int64_t index = 0; index < s.chunks; ++index) {
          const Chunk c(s, in, row, index);
          const Gates gates(s, in, row, index, m0);
          float *memory = MemoryOf(row, index), *next = memory + s.Memory();
          stabilisers[row * s.chunks + index] = static_cast<float>(m0);
          std::copy_n(n, s.d, at);
          Outputs(c, gates, memory, at, turned, pairs, scaled);
          m0 = gates.after;
          if (index + 1 == s.chunks) continue;
          const float* r = Ruling(c, gates, memory + s.Matrix() + s.d);
          Keep(gates, memory, r, next);
          Add(c, gates, r, true, next, added, scaled, centred);
          KeepSums(gates, added, n, next);
        }
      }
    });
  }

  void SideBySide() const {
    // n that enters each chunk; what a chunk adds stands where the next chunk's n will.
    Scratch held(2 * s.rows * (s.chunks + 1) * s.d);
    double* all = held.As<double>();
    const auto sums = [&](int64_t row, int64_t chunk) { return all + (row * (s.chunks + 1) + chunk) * s.d; };
    ParallelFor(s.rows, 1, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        double m0 = kNothing;
        std::fill_n(MemoryOf(row, 0), s.Memory(), 0.0f);
        std::fill_n(sums(row, 0), s.d, 0.0);
        for (int64_t index = 0; index < s.chunks; ++index) {
          const Chunk c(s, in, row, index);
          const Gates gates(s, in, row, index, m0);
          stabilisers[row * s.chunks + index] = static_cast<float>(m0);
          m0 = gates.after;
          if (index + 1 == s.chunks) continue;
          const float* r = Ruling(c, gates, MemoryOf(row, index) + s.Matrix() + s.d);
          std::copy_n(r, s.d, MemoryOf(row, index + 1) + s.Matrix() + s.d);
        }
      }
    });
    const auto gatesOf = [&](int64_t row, int64_t index) {
      return Gates(s, in, row, index, index > 0 ? stabilisers[row * s.chunks + index] : kNothing);
    };
    ParallelFor(s.rows * (s.chunks - 1), 1, [&](int64_t begin, int64_t end) {
      Scratch scaled(kChunk * s.d), centred(kChunk * s.d);
      for (int64_t task = begin; task < end; ++task) {
        const int64_t row = task / (s.chunks - 1), index = task % (s.chunks - 1);
        float* next = MemoryOf(row, index + 1);
        Add(Chunk(s, in, row, index), gatesOf(row, index), next + s.Matrix() + s.d, false, next, sums(row, index + 1), scaled, centred);
      }
    });
    ParallelFor(s.rows, 1, [&](int64_t begin, int64_t end) {
      Scratch kept(s.Memory());
      for (int64_t row = begin; row < end; ++row)
        for (int64_t index = 0; index + 1 < s.chunks; ++index) {
          const Gates gates = gatesOf(row, index);
          float *memory = MemoryOf(row, index), *next = memory + s.Memory();
          Keep(gates, memory, next + s.Matrix() + s.d, kept);
          for (int64_t j = 0; j < s.Matrix(); j += W)
            StoreUpTo(next + j, LoadUpTo(kept + j, s.Matrix() - j) + LoadUpTo(next + j, s.Matrix() - j), s.Matrix() - j);
          double *n = sums(row, index), *added = sums(row, index + 1);
          const double keep = std::exp(gates.m0 - gates.last);
          for (int64_t e = 0; e < s.d; ++e) {
            added[e] += keep * n[e];
            next[s.Matrix() + e] = static_cast<float>(added[e]);
          }
        }
    });
    ParallelFor(s.rows * s.chunks, 1, [&](int64_t begin, int64_t end) {
      Scratch turned(s.d * kChunk), pairs(kChunk * kChunk), scaled(kChunk * s.d);
      for (int64_t task = begin; task < end; ++task) {
        const int64_t row = task / s.chunks, index = task % s.chunks;
        Outputs(Chunk(s, in, row, index), gatesOf(row, index), MemoryOf(row, index), sums(row, index), turned, pairs, scaled);
      }
    });
  }
};

void MlstmCell(const Call& c) {
  const Sizes s(c);
  const Inputs in(c);
  const Forward forward{s, in, c.Out<float>(0), c.Out<float>(1), c.Out<float>(2), c.Out<float>(3)};
  if (s.SideBySide())
    forward.SideBySide();
  else
    forward.OneByOne();
}

// What a chunk leaves to be done once the slopes of the memory after it are known.
struct Slopes {
  double dlog[kChunk], dfade[kChunk];  // of i and of the log forget gate
  double entered;                      // of the stabiliser that entered, through eps
  double kept;                         // of a log factor of the whole memory that entered, in the one that leaves
};

struct Backward {
  const Sizes& s;
  const Inputs& in;
  const float *sizes, *memories, *stabilisers, *dy;
  float *dq, *dk, *dv, *di, *df;

  struct Room {
    // turned: [d, max(d, kChunk)]. S, D, A: [kChunk, kChunk]. scaled, reach, pull: [kChunk, d].
    Scratch turned, S, D, A, scaled, reach, pull;
    explicit Room(const Sizes& s)
        : turned(s.d * std::max(s.d, kChunk)), S(kChunk * kChunk), D(kChunk * kChunk), A(kChunk * kChunk), scaled(kChunk * s.d), reach(kChunk * s.d),
          pull(kChunk * s.d) {}
  };

  const float* MemoryOf(int64_t row, int64_t chunk) const { return memories + (row * s.chunks + chunk) * s.Memory(); }
  Gates GatesOf(int64_t row, int64_t index) const { return Gates(s, in, row, index, index > 0 ? stabilisers[row * s.chunks + index] : kNothing); }

  // The chunk with the memory that entered it. Writes dq, dk, dv and `to`; dMemory [d + 1, d]: slope of the matrix and of n at a fixed r.
  //
  // Slope of a log weight, over den: N[t][j] = a[j] - mean (1 - eps / den) with a[j] = dy·v[j] and mean = Σ_j S a / size. All are taken from
  // the a of the token (or memory) with the largest share, so that N is no difference of two that nearly agree: then the mean of the rest is
  // N of that token, down to the smallest weight. Where the floor is the denominator, N is a.
  void Inside(const Chunk& c, const Gates& gates, Room& room, Slopes& to, float* dMemory) const {
    const int64_t tokens = c.tokens;
    const float *memory = MemoryOf(c.row, c.index), *n0 = memory + s.Matrix(), *r = n0 + s.d;
    const Rows slopes{dy + c.at, s.ld};
    const bool past = c.index > 0;
    float share[kChunk], dn[kChunk], weights[kChunk];  // dn: N of the memory's r
    if (past) {  // reach[t] = (C0 - n0 rᵀ) dy[t]
      Transpose(s.d, s.d, {memory, s.d}, {room.turned, s.d});
      Multiply(tokens, s.d, s.d, {slopes.p, slopes.ld, 1}, {room.turned, s.d}, {room.reach, s.d}, false);
    }
    Turn(tokens, s.d, c.k, room.turned);
    Pairs(tokens, s.d, c.q, room.turned, room.S);
    Turn(tokens, s.d, c.v, room.turned);
    Pairs(tokens, s.d, slopes, room.turned, room.A);

    double later[kChunk] = {};  // of b[t] alone, through eps
    for (int64_t t = 0; t < kChunk; ++t) to.dlog[t] = to.dfade[t] = 0;
    to.entered = to.kept = 0;
    float direct[kChunk] = {}, passing[kChunk] = {};
    for (int64_t t = tokens - 1; t >= 0; --t) {
      float *S = room.S + t * kChunk, *D = room.D + t * kChunk, *A = room.A + t * kChunk;
      const int64_t filled = (t / W + 1) * W;
      gates.Weights(t, weights);
      for (int64_t j = 0; j < filled; j += W) {
        const F weight = Load(weights + j);
        Store(S + j, weight * Load(S + j) * F(s.scale));
        Store(D + j, weight);
      }
      const double size = sizes[s.Gate(c.row, c.index * kChunk + t)], floor = gates.Floor(t);
      const double unit = 1.0 / (std::max(std::fabs(size), floor) + s.eps);
      const bool outweighs = std::fabs(size) > floor;
      float largest;
      const int64_t ruler = Ruler(t, S, &largest);
      // The memory's share, the slope of its r, and what it adds to Σ S a beside that.
      double sum = 0, own = 0, ofMemory = 0;
      if (past) {
        const float recall = gates.recall[t], *query = c.q.p + t * c.q.ld;
        own = recall * Dot(s.d, query, n0);
        ofMemory = Dot(s.d, slopes.p + t * slopes.ld, r);
        sum = recall * Dot(s.d, query, room.reach + t * s.d);
      }
      float from = static_cast<float>(ofMemory);
      if (!past || std::fabs(own) <= largest) {
        S[ruler] += static_cast<float>(size - own - ExactSum(t, S));
        from = A[ruler];
        sum += own * (ofMemory - from);
      }
      F inside(0.0f);
      for (int64_t j = 0; j < filled; j += W) {
        const F centred = Load(A + j) - F(from);
        Store(A + j, centred);
        inside = Fma(centred, Load(S + j), inside);
      }
      sum += Sum(inside);
      const double through = (sum + from * size) * unit, drift = -through * s.eps * unit;  // dy·y, and its slope through eps
      const double mean = outweighs ? sum / size - s.eps * unit * (from + sum / size) : -static_cast<double>(from);
      share[t] = static_cast<float>(unit);
      dn[t] = static_cast<float>(unit * (ofMemory - from - mean));
      // N, then its products with weights; from the last token back, so that `passing` holds Σ_{t' >= t} N S and its sum over j < t is what
      // goes through the forget gate of t.
      F faded(0.0f);
      for (int64_t j = 0; j < filled; j += W) {
        const F slope = (Load(A + j) - F(static_cast<float>(mean))) * F(share[t]), now = slope * Load(S + j);
        Store(D + j, slope * Load(D + j) * F(s.scale));
        Store(S + j, Load(S + j) * F(share[t]));
        Store(direct + j, Load(direct + j) + now);
        const Mask before = Lt(Iota() + F(static_cast<float>(j)), F(static_cast<float>(t)));
        const F all = Load(passing + j) + Select(before, now, F(0.0f));
        Store(passing + j, all);
        faded += Select(before, all, F(0.0f));
      }
      for (float* row : {S, D}) std::fill(row + filled, row + kChunk, 0.0f);
      to.dfade[t] += Sum(faded);
      // eps stays as it is when the largest log weight grows, and so weighs less.
      later[t] += drift;
      if (gates.top[t] < 0) {
        to.entered += drift;
      } else {
        to.dlog[gates.top[t]] += drift;
        later[gates.top[t]] -= drift;
      }
    }
    double sum = 0;
    for (int64_t t = tokens - 1; t >= 0; --t) to.dfade[t] += sum += later[t];
    for (int64_t t = 0; t < tokens; ++t) to.dlog[t] += direct[t];

    const Out dqs{dq + c.at, s.ld}, dks{dk + c.at, s.ld}, dvs{dv + c.at, s.ld};
    Multiply(tokens, s.d, tokens, {room.D, kChunk, 1}, c.k, dqs, false, [&](int64_t, int64_t i1) { return Span{0, i1, 0, s.d}; });
    Multiply(tokens, s.d, tokens, {room.D, 1, kChunk}, c.q, dks, false, [&](int64_t j0, int64_t) { return Span{j0, tokens, 0, s.d}; });
    Multiply(tokens, s.d, tokens, {room.S, 1, kChunk}, slopes, dvs, false, [&](int64_t j0, int64_t) { return Span{j0, tokens, 0, s.d}; });
    if (!past) return;
    // The memory: dq, and the slopes of the matrix and of n.
    float* dSums = dMemory + s.Matrix();
    std::fill_n(dSums, s.d, 0.0f);
    double after = 0;
    for (int64_t t = tokens - 1; t >= 0; --t) {
      const F unit(share[t]), own(dn[t]), recall(gates.recall[t]);
      const float *query = c.q.p + t * c.q.ld, *reach = room.reach + t * s.d;
      float *to_ = dqs.p + t * dqs.ld, *scaled = room.scaled + t * s.d;
      after += SumOver(s.d, [&](int64_t e, int64_t left) {
        const F slope = Fma(own, LoadUpTo(n0 + e, left), unit * LoadUpTo(reach + e, left)), x = recall * LoadUpTo(query + e, left);
        StoreUpTo(to_ + e, Fma(recall, slope, LoadUpTo(to_ + e, left)), left);
        StoreUpTo(dSums + e, Fma(own, x, LoadUpTo(dSums + e, left)), left);
        StoreUpTo(scaled + e, unit * x, left);
        return slope * x;
      });
      to.dfade[t] += after;
    }
    Multiply(s.d, s.d, tokens, {room.scaled, 1, s.d}, slopes, {dMemory, s.d}, false);
  }

  // Through the memory that the chunk leaves, whose slopes are dMemory [d + 1, d] and, of the stabiliser, `dm`: adds to dk, dv and `to`.
  void Through(const Chunk& c, const Gates& gates, Room& room, Slopes& to, double dm, const float* dMemory) const {
    const int64_t top = gates.top[c.tokens - 1];
    const float *memory = MemoryOf(c.row, c.index), *r = memory + s.Memory() + s.Matrix() + s.d;
    const float* dSums = dMemory + s.Matrix();
    ScaleRows(c.tokens, s.d, c.k, {room.scaled, s.d}, [&](int64_t j) { return gates.write[j] * s.scale; });
    Multiply(c.tokens, s.d, s.d, {room.scaled, s.d, 1}, {dMemory, s.d}, {dv + c.at, s.ld}, true);
    Centre(c.tokens, s.d, c.v, r, {room.reach, s.d});
    Transpose(s.d, s.d, {dMemory, s.d}, {room.turned, s.d});
    Multiply(c.tokens, s.d, s.d, {room.reach, s.d, 1}, {room.turned, s.d}, {room.pull, s.d}, false);
    double before = 0;
    for (int64_t j = 0; j < c.tokens; ++j) {
      const float *pull = room.pull + j * s.d, *key = room.scaled + j * s.d;
      float* to_ = dk + c.at + j * s.ld;
      const F write(gates.write[j] * s.scale);
      const double share = SumOver(s.d, [&](int64_t e, int64_t left) {
        const F slope = LoadUpTo(pull + e, left) + LoadUpTo(dSums + e, left);
        StoreUpTo(to_ + e, Fma(write, slope, LoadUpTo(to_ + e, left)), left);
        return slope * LoadUpTo(key + e, left);
      });
      to.dfade[j] += before;
      to.dlog[j] += share;
      before += share;
    }
    for (int64_t t = 0; t < c.tokens; ++t) to.dfade[t] += to.kept + (t > top ? dm : 0.0);
    if (top >= 0) to.dlog[top] += dm;
  }

  // From the slopes of the memory that the chunk leaves, dMemory and dm, adds to those of the one that entered: own [d + 1, d] and `to`.
  void Carry(const Chunk& c, const Gates& gates, double dm, const float* dMemory, Slopes& to, float* own) const {
    const int64_t top = gates.top[c.tokens - 1];
    const float *memory = MemoryOf(c.row, c.index), *n0 = memory + s.Matrix(), *old = n0 + s.d, *r = old + s.Memory();
    const F keep(gates.keep);
    double kept = 0;
    for (int64_t i = 0; i <= s.d; ++i) {
      const float *slope = dMemory + i * s.d, *from = memory + i * s.d;
      kept += SumOver(s.d, [&](int64_t e, int64_t left) {
        const F x = LoadUpTo(slope + e, left);
        StoreUpTo(own + i * s.d + e, Fma(keep, x, LoadUpTo(own + i * s.d + e, left)), left);
        return x * LoadUpTo(from + e, left);
      });
      if (i == s.d || top < 0) continue;
      // The matrix was taken about the old r: a change of n moved it.
      const float moved = SumOver(s.d, [&](int64_t e, int64_t left) { return LoadUpTo(slope + e, left) * (LoadUpTo(old + e, left) - LoadUpTo(r + e, left)); });
      kept += static_cast<double>(moved) * n0[i];
      own[s.Matrix() + i] += gates.keep * moved;
    }
    to.kept = gates.keep * kept;
    if (top < 0) to.entered += dm;
  }

  void Write(const Chunk& c, const Slopes& from) const {
    for (int64_t t = 0; t < c.tokens; ++t) {
      const int64_t at = s.Gate(c.row, c.index * kChunk + t);
      di[at] = static_cast<float>(from.dlog[t]);
      df[at] = static_cast<float>(from.dfade[t] * (s.exponential ? 1.0 : 1.0 / (1.0 + std::exp(static_cast<double>(in.f[at])))));
    }
  }
};

void MlstmCellGrad(const Call& c) {
  const Sizes s(c);
  const Inputs in(c);
  const Backward back{s, in, c.In<float>(5), c.In<float>(6), c.In<float>(7), c.In<float>(8), c.Out<float>(0), c.Out<float>(1), c.Out<float>(2), c.Out<float>(3), c.Out<float>(4)};
  const int64_t slope = s.Matrix() + s.d;
  if (!s.SideBySide()) {
    ParallelFor(s.rows, 1, [&](int64_t begin, int64_t end) {
      Backward::Room room(s);
      Scratch two(2 * slope);
      Slopes slopes;
      for (int64_t row = begin; row < end; ++row) {
        float *own = two, *dMemory = two + slope;
        double dm = 0;
        for (int64_t index = s.chunks - 1; index >= 0; --index) {
          const Chunk at(s, in, row, index);
          const Gates gates = back.GatesOf(row, index);
          back.Inside(at, gates, room, slopes, own);
          if (index + 1 < s.chunks) {
            if (index > 0) back.Carry(at, gates, dm, dMemory, slopes, own);
            back.Through(at, gates, room, slopes, dm, dMemory);
          }
          dm = slopes.entered;
          std::swap(own, dMemory);
          back.Write(at, slopes);
        }
      }
    });
    return;
  }
  // Chunks side by side: each by itself, then the slopes of the memories from the last back, then what goes through those.
  Scratch held(s.rows * s.chunks * slope), kept(s.rows * s.chunks * static_cast<int64_t>(sizeof(Slopes) / sizeof(float)));
  Slopes* all = kept.As<Slopes>();
  ParallelFor(s.rows * s.chunks, 1, [&](int64_t begin, int64_t end) {
    Backward::Room room(s);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t row = task / s.chunks, index = task % s.chunks;
      back.Inside(Chunk(s, in, row, index), back.GatesOf(row, index), room, all[task], held + task * slope);
    }
  });
  ParallelFor(s.rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      for (int64_t index = s.chunks - 2; index > 0; --index) {  // nothing asks for the slopes of the empty memory
        const int64_t task = row * s.chunks + index;
        back.Carry(Chunk(s, in, row, index), back.GatesOf(row, index), all[task + 1].entered, held + (task + 1) * slope, all[task], held + task * slope);
      }
  });
  ParallelFor(s.rows * s.chunks, 1, [&](int64_t begin, int64_t end) {
    Backward::Room room(s);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t row = task / s.chunks, index = task % s.chunks;
      const Chunk at(s, in, row, index);
      if (index + 1 < s.chunks) back.Through(at, back.GatesOf(row, index), room, all[task], all[task + 1].entered, held + (task + 1) * slope);
      back.Write(at, all[task]);
    }
  });
}

}  // namespace

LAB_KERNEL("MlstmCell", MlstmCell);
LAB_KERNEL("MlstmCellGrad", MlstmCellGrad);
