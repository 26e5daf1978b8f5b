// The matrix memory of xLSTM (arXiv 2405.04517, section 2.3) in chunks of 64 tokens, forward and gradient; one task runs one row (batch, head).
//
// Within a chunk, with b[t] the sum of log forget gates up to t, a[j] = i[j] - b[j], and M[t] = max(m0, a[0] .. a[t]), all in float64:
//   w[t] = exp(m0 - M[t]),  D[t][j] = exp(a[j] - M[t]) for j <= t,  S[t][j] = (q[t]·k[j] / √d) D[t][j],  m[t] = b[t] + M[t]
//   size[t] = w[t] q[t]·n0 + Σ_j S[t][j],   den[t] = max(|size[t]|, exp(-m[t])) + eps
//   y[t] = (w[t] C0ᵀ q[t] + Σ_j S[t][j] v[j]) / den[t]
//   C = g C0 + Σ_j u[j] k[j] v[j]ᵀ / √d,  n alike,  u[j] = exp(a[j] - M[last]),  g = exp(m0 - M[last]),  m0 of the next chunk = m[last]
// No exponent is above 0. The memory C [d, d] and, below it, the row n make one matrix [d + 1, d].
#include <algorithm>
#include <cmath>

#include "../core/lab.h"
#include "../core/rows.h"
#include "../core/tile.h"

namespace {

using namespace lab;

constexpr int64_t kChunk = 64;
constexpr double kNothing = -1e30;  // stabiliser of an empty memory

struct Sizes {
  int64_t rows, T, d, chunks;
  bool exponential;
  float scale;
  double eps;
  explicit Sizes(const Call& c)
      : rows(c.n[0]), T(c.n[1]), d(c.n[2]), chunks((T + kChunk - 1) / kChunk), exponential(c.n[3] != 0),
        scale(1.0f / std::sqrt(static_cast<float>(c.n[2]))), eps(c.f[0]) {}
  int64_t Memory() const { return (d + 1) * d; }
};

struct Inputs {
  const float *q, *k, *v, *i, *f;
  explicit Inputs(const Call& c) : q(c.In<float>(0)), k(c.In<float>(1)), v(c.In<float>(2)), i(c.In<float>(3)), f(c.In<float>(4)) {}
};

// Gates of one chunk.
struct Gates {
  double a[kChunk], M[kChunk], m[kChunk];
  int64_t top[kChunk];  // the token that attains M, or -1: the memory that entered
  float recall[kChunk], write[kChunk];  // w and u
  float keep;                           // g
  float after;                          // the next chunk's m0; a float, as it is stored
  Gates(const Sizes& s, const Inputs& in, int64_t first, int64_t tokens, double m0) {
    double b = 0, most = m0;
    int64_t at = -1;
    for (int64_t t = 0; t < tokens; ++t) {
      const double f = in.f[first + t];
      b += s.exponential ? f : std::min(f, 0.0) - std::log1p(std::exp(-std::fabs(f)));
      a[t] = in.i[first + t] - b;
      if (a[t] > most) most = a[t], at = t;
      M[t] = most;
      m[t] = b + most;
      top[t] = at;
    }
    after = static_cast<float>(b + most);
    const double last = after - b;  // M[last], rounded with it
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
  float Floor(int64_t t) const { return static_cast<float>(std::exp(std::min(80.0, std::max(-40.0, -m[t])))); }
};

float Dot(int64_t n, const float* a, const float* b) {
  return SumOver(n, [&](int64_t j, int64_t left) { return LoadUpTo(a + j, left) * LoadUpTo(b + j, left); });
}

// to[r] = factor(r) · from[r] for rows of `width`.
template <class Factor>
void ScaleRows(int64_t rows, int64_t width, const float* from, float* to, Factor&& factor) {
  for (int64_t r = 0; r < rows; ++r) {
    const F by(factor(r));
    for (int64_t j = 0; j < width; j += W) StoreUpTo(to + r * width + j, LoadUpTo(from + r * width + j, width - j) * by, width - j);
  }
}

// pairs[t][j] = q[t]·k[j] / √d for j <= t and a little beyond, 0 elsewhere; kT: scratch [d, kChunk].
void Pairs(const Sizes& s, int64_t tokens, const float* q, const float* k, float* kT, float* pairs) {
  for (int64_t c = 0; c < s.d; ++c) std::fill_n(kT + c * kChunk, kChunk, 0.0f);
  Transpose(tokens, s.d, {k, s.d}, {kT, kChunk});
  ScaleRows(s.d, kChunk, kT, kT, [&](int64_t) { return s.scale; });
  Product(tokens, kChunk, {q, s.d, 1}, {kT, kChunk}, {pairs, kChunk}, false,
          [&](int64_t, int64_t i1) { return Span{0, s.d, 0, std::min(kChunk, (i1 + W - 1) / W * W)}; });
}

// memory = keep · memory + Σ_j k[j] (v[j]ᵀ, 1) for keys [tokens, d] that carry their weight.
void Remember(const Sizes& s, int64_t tokens, float keep, const float* before, const float* keys, const float* v, float* memory) {
  ScaleRows(1, s.Memory(), before, memory, [&](int64_t) { return keep; });
  Product(s.d, s.d, tokens, {keys, 1, s.d}, {v, s.d}, {memory, s.d}, true);
  float* n = memory + s.d * s.d;
  for (int64_t j = 0; j < tokens; ++j)
    for (int64_t c = 0; c < s.d; c += W) StoreUpTo(n + c, LoadUpTo(n + c, s.d - c) + LoadUpTo(keys + j * s.d + c, s.d - c), s.d - c);
}

void MlstmCell(const Call& c) {
  const Sizes s(c);
  const Inputs in(c);
  float *y = c.Out<float>(0), *memories = c.Out<float>(1), *stabilisers = c.Out<float>(2);
  ParallelFor(s.rows, 1, [&](int64_t begin, int64_t end) {
    Scratch kT(s.d * kChunk), pairs(kChunk * kChunk), scaled(kChunk * s.d), weights(kChunk);
    for (int64_t row = begin; row < end; ++row) {
      double m0 = kNothing;
      for (int64_t chunk = 0; chunk < s.chunks; ++chunk) {
        const int64_t tokens = std::min(kChunk, s.T - chunk * kChunk), first = row * s.T + chunk * kChunk;
        const float *q = in.q + first * s.d, *k = in.k + first * s.d, *v = in.v + first * s.d;
        float *ys = y + first * s.d, *memory = memories + (row * s.chunks + chunk) * s.Memory();
        if (chunk == 0) std::fill_n(memory, s.Memory(), 0.0f);
        stabilisers[row * s.chunks + chunk] = static_cast<float>(m0);
        const Gates gates(s, in, first, tokens, m0);
        Pairs(s, tokens, q, k, kT, pairs);
        float share[kChunk];  // 1 / den
        for (int64_t t = 0; t < tokens; ++t) {
          float* S = pairs + t * kChunk;
          gates.Weights(t, weights);
          F size(0.0f);
          for (int64_t j = 0; j <= t; j += W) {
            const F now = Load(weights + j) * Load(S + j);
            Store(S + j, now);
            size += now;
          }
          std::fill(S + (t / W + 1) * W, S + kChunk, 0.0f);
          float total = Sum(size);
          if (chunk > 0) total += gates.recall[t] * Dot(s.d, q + t * s.d, memory + s.d * s.d);
          share[t] = static_cast<float>(1.0 / (std::max(std::fabs(total), gates.Floor(t)) + s.eps));
        }
        Product(tokens, s.d, {pairs, kChunk, 1}, {v, s.d}, {ys, s.d}, false, [&](int64_t, int64_t i1) { return Span{0, i1, 0, s.d}; });
        if (chunk > 0) {
          ScaleRows(tokens, s.d, q, scaled, [&](int64_t t) { return gates.recall[t]; });
          Product(tokens, s.d, s.d, {scaled, s.d, 1}, {memory, s.d}, {ys, s.d}, true);
        }
        ScaleRows(tokens, s.d, ys, ys, [&](int64_t t) { return share[t]; });
        if (chunk + 1 < s.chunks) {
          ScaleRows(tokens, s.d, k, scaled, [&](int64_t t) { return gates.write[t] * s.scale; });
          Remember(s, tokens, gates.keep, memory, scaled, v, memory + s.Memory());
        }
        m0 = gates.after;
      }
    }
  });
}

// What a row needs while its chunks are worked on, from the last to the first.
struct Backward {
  const Sizes& s;
  // turned: a transposed matrix [d, d] or [d, kChunk]. S, G (before: D), N: [kChunk, kChunk]. dnum: slope of the numerator, [kChunk, d].
  // scaled, pull: [kChunk, d]. dMemory: slope of the memory that leaves, later of the one that entered.
  Scratch turned, S, G, N, dnum, scaled, pull, dMemory;
  float dsize[kChunk];                        // slope of `size`
  double dlog[kChunk], dfade[kChunk];         // slopes of i and of the log forget gate
  double dm;                                  // slope of the stabiliser that leaves, through eps
  explicit Backward(const Sizes& sizes)
      : s(sizes), turned(s.d * std::max(s.d, kChunk)), S(kChunk * kChunk), G(kChunk * kChunk), N(kChunk * kChunk), dnum(kChunk * s.d),
        scaled(kChunk * s.d), pull(kChunk * s.d), dMemory(s.Memory()) {}

  // S and D once more, the denominators, dnum, dsize, and what eps adds to the slopes of the gates.
  void Denominators(const Gates& gates, int64_t tokens, const float* q, const float* k, const float* n0, const float* y, const float* dy) {
    Pairs(s, tokens, q, k, turned, S);
    double entering = 0, later[kChunk] = {};  // later: of b[t] alone
    for (int64_t t = 0; t < kChunk; ++t) dlog[t] = dfade[t] = 0;
    for (int64_t t = 0; t < tokens; ++t) {
      float *pairs = S + t * kChunk, *D = G + t * kChunk;
      gates.Weights(t, D);
      F size(0.0f);
      for (int64_t j = 0; j <= t; j += W) {
        const F now = Load(D + j) * Load(pairs + j);
        Store(pairs + j, now);
        size += now;
      }
      for (float* row : {pairs, D}) std::fill(row + (t / W + 1) * W, row + kChunk, 0.0f);
      const float total = Sum(size) + gates.recall[t] * Dot(s.d, q + t * s.d, n0), floor = gates.Floor(t);
      const double share = 1.0 / (std::max(std::fabs(total), floor) + s.eps), through = Dot(s.d, dy + t * s.d, y + t * s.d);
      dsize[t] = std::fabs(total) > floor ? static_cast<float>(total > 0 ? -through * share : through * share) : 0.0f;
      ScaleRows(1, s.d, dy + t * s.d, dnum + t * s.d, [&](int64_t) { return static_cast<float>(share); });
      // eps stays as it is when the largest log weight grows, and so weighs less.
      const double rest = -through * s.eps * share + (t == tokens - 1 ? dm : 0.0);
      later[t] += rest;
      if (gates.top[t] < 0) {
        entering += rest;
      } else {
        dlog[gates.top[t]] += rest;
        later[gates.top[t]] -= rest;
      }
    }
    dm = entering;
    double sum = 0;
    for (int64_t t = tokens - 1; t >= 0; --t) dfade[t] = sum += later[t];
  }

  // N[t][j] = dnum[t]·v[j] + dsize[t], G = N D / √d; the gates' slopes through N S, the slopes of log weights. From the last token back, so that
  // `passing` holds Σ_{t' >= t} N S and its sum over j < t is what goes through the forget gate of t.
  void Inside(int64_t tokens, const float* v) {
    for (int64_t e = 0; e < s.d; ++e) std::fill_n(turned + e * kChunk, kChunk, 0.0f);
    Transpose(tokens, s.d, {v, s.d}, {turned, kChunk});
    Product(tokens, kChunk, {dnum, s.d, 1}, {turned, kChunk}, {N, kChunk}, false,
            [&](int64_t, int64_t i1) { return Span{0, s.d, 0, std::min(kChunk, (i1 + W - 1) / W * W)}; });
    float direct[kChunk] = {}, passing[kChunk] = {};
    for (int64_t t = tokens - 1; t >= 0; --t) {
      const float *n = N + t * kChunk, *weighed = S + t * kChunk;
      float* g = G + t * kChunk;
      F through(0.0f);
      for (int64_t j = 0; j <= t; j += W) {
        const F slope = Load(n + j) + F(dsize[t]), now = slope * Load(weighed + j);
        Store(g + j, slope * Load(g + j) * F(s.scale));
        Store(direct + j, Load(direct + j) + now);
        const Mask before = Lt(Iota() + F(static_cast<float>(j)), F(static_cast<float>(t)));
        const F sum = Load(passing + j) + Select(before, now, F(0.0f));
        Store(passing + j, sum);
        through += Select(before, sum, F(0.0f));
      }
      dfade[t] += Sum(through);
    }
    for (int64_t t = 0; t < tokens; ++t) dlog[t] += direct[t];
  }

  // Through the memory that leaves: writes dk and dv.
  void Leave(const Gates& gates, int64_t tokens, const float* k, const float* v, const float* memory, float* dk, float* dv) {
    const float* dn = dMemory + s.d * s.d;
    ScaleRows(tokens, s.d, k, scaled, [&](int64_t j) { return gates.write[j] * s.scale; });
    Transpose(s.d, s.d, {dMemory, s.d}, {turned, s.d});
    Product(tokens, s.d, s.d, {v, s.d, 1}, {turned, s.d}, {pull, s.d}, false);
    double before = 0;
    const double kept = static_cast<double>(gates.keep) * Dot(s.Memory(), dMemory, memory);
    for (int64_t j = 0; j < tokens; ++j) {
      float* row = pull + j * s.d;
      for (int64_t e = 0; e < s.d; e += W) StoreUpTo(row + e, LoadUpTo(row + e, s.d - e) + LoadUpTo(dn + e, s.d - e), s.d - e);
      const double share = Dot(s.d, scaled + j * s.d, row);
      dfade[j] += kept + before;
      dlog[j] += share;
      before += share;
    }
    ScaleRows(tokens, s.d, pull, dk, [&](int64_t j) { return gates.write[j] * s.scale; });
    Product(tokens, s.d, s.d, {scaled, s.d, 1}, {dMemory, s.d}, {dv, s.d}, false);
  }

  // Through the memory that entered: adds to dq, and turns dMemory into the slope of that memory.
  void Enter(const Gates& gates, int64_t tokens, const float* q, const float* memory, float* dq) {
    const float* n0 = memory + s.d * s.d;
    float* dn = dMemory + s.d * s.d;
    Transpose(s.d, s.d, {memory, s.d}, {turned, s.d});
    Product(tokens, s.d, s.d, {dnum, s.d, 1}, {turned, s.d}, {pull, s.d}, false);
    ScaleRows(1, s.Memory(), dMemory, dMemory, [&](int64_t) { return gates.keep; });
    ScaleRows(tokens, s.d, q, scaled, [&](int64_t t) { return gates.recall[t]; });
    double after = 0;
    for (int64_t t = tokens - 1; t >= 0; --t) {
      const F size(dsize[t]), recall(gates.recall[t]);
      const float *query = scaled + t * s.d, *reach = pull + t * s.d;
      float* to = dq + t * s.d;
      after += SumOver(s.d, [&](int64_t e, int64_t left) {
        const F slope = Fma(size, LoadUpTo(n0 + e, left), LoadUpTo(reach + e, left)), x = LoadUpTo(query + e, left);
        StoreUpTo(to + e, Fma(recall, slope, LoadUpTo(to + e, left)), left);
        StoreUpTo(dn + e, Fma(size, x, LoadUpTo(dn + e, left)), left);
        return slope * x;
      });
      dfade[t] += after;
    }
    Product(s.d, s.d, tokens, {scaled, 1, s.d}, {dnum, s.d}, {dMemory, s.d}, true);
  }
};

void MlstmCellGrad(const Call& c) {
  const Sizes s(c);
  const Inputs in(c);
  const float *y = c.In<float>(5), *memories = c.In<float>(6), *stabilisers = c.In<float>(7), *dy = c.In<float>(8);
  float *dq = c.Out<float>(0), *dk = c.Out<float>(1), *dv = c.Out<float>(2), *di = c.Out<float>(3), *df = c.Out<float>(4);
  ParallelFor(s.rows, 1, [&](int64_t begin, int64_t end) {
    Backward back(s);
    for (int64_t row = begin; row < end; ++row) {
      std::fill_n(back.dMemory.data(), s.Memory(), 0.0f);
      back.dm = 0;
      for (int64_t chunk = s.chunks - 1; chunk >= 0; --chunk) {
        const int64_t tokens = std::min(kChunk, s.T - chunk * kChunk), first = row * s.T + chunk * kChunk, at = first * s.d;
        const float* memory = memories + (row * s.chunks + chunk) * s.Memory();
        const Gates gates(s, in, first, tokens, chunk > 0 ? stabilisers[row * s.chunks + chunk] : kNothing);
        back.Denominators(gates, tokens, in.q + at, in.k + at, memory + s.d * s.d, y + at, dy + at);
        back.Inside(tokens, in.v + at);
        const bool leaves = chunk + 1 < s.chunks;
        if (leaves) back.Leave(gates, tokens, in.k + at, in.v + at, memory, dk + at, dv + at);
        Product(tokens, s.d, {back.G, kChunk, 1}, {in.k + at, s.d}, {dq + at, s.d}, false, [&](int64_t, int64_t i1) { return Span{0, i1, 0, s.d}; });
        Product(tokens, s.d, {back.G, 1, kChunk}, {in.q + at, s.d}, {dk + at, s.d}, leaves,
                [&](int64_t j0, int64_t) { return Span{j0, tokens, 0, s.d}; });
        Product(tokens, s.d, {back.S, 1, kChunk}, {back.dnum, s.d}, {dv + at, s.d}, leaves,
                [&](int64_t j0, int64_t) { return Span{j0, tokens, 0, s.d}; });
        if (chunk > 0) back.Enter(gates, tokens, in.q + at, memory, dq + at);
        for (int64_t t = 0; t < tokens; ++t) {
          const double open = s.exponential ? 1.0 : 1.0 / (1.0 + std::exp(static_cast<double>(in.f[first + t])));
          di[first + t] = static_cast<float>(back.dlog[t]);
          df[first + t] = static_cast<float>(back.dfade[t] * open);
        }
      }
    }
  });
}

}  // namespace

LAB_KERNEL("MlstmCell", MlstmCell);
LAB_KERNEL("MlstmCellGrad", MlstmCellGrad);
