// The state-space-dual scan in chunks of 64 tokens, forward and gradient, as derived in the Mamba-2 paper (arXiv 2405.21060, section 6).
//
// Within a chunk, with cum[l] the sum of a[k] = dt[k] A over k <= l (kept in float64, so that differences of it lose nothing):
//   y[l] = Σ_{s<=l} W[l][s] x[s] + exp(cum[l]) S0 C[l] + D x[l],   W[l][s] = (C[l]·B[s]) exp(cum[l] - cum[s]) dt[s]
//   S0 of the next chunk = tot S0 + Σ_s tail[s] dt[s] x[s] B[s]ᵀ,  tail[s] = exp(cum[last] - cum[s]),  tot = exp(cum[last])
// States lie transposed, [N, P], so that products with them run along the head's width P. All exponents are <= 0.
#include <algorithm>
#include <cmath>
#include <vector>

#include "../core/lab.h"
#include "../core/rows.h"
#include "../core/tile.h"

namespace {

using namespace lab;

constexpr int64_t kChunk = 64;

struct Sizes {
  int64_t B, T, H, P, G, N;
  int64_t chunks, perGroup, slices;
  explicit Sizes(const Call& c)
      : B(c.n[0]), T(c.n[1]), H(c.n[2]), P(c.n[3]), G(c.n[4]), N(c.n[5]), chunks((T + kChunk - 1) / kChunk), perGroup(H / G) {
    // The heads of a group share C·B, but some 16 tasks are wanted: then they share it in slices. Depends on the shape only.
    const int64_t groups = std::max<int64_t>(1, B * G);
    slices = std::min(perGroup, (16 + groups - 1) / groups);
  }
  int64_t Tasks() const { return B * G * slices; }
};

// One task: row b, group g, heads h0 .. h1-1, all chunks.
struct Task {
  int64_t b, g, slice, h0, h1;
  Task(const Sizes& s, int64_t task) : b(task / s.slices / s.G), g(task / s.slices % s.G), slice(task % s.slices) {
    h0 = g * s.perGroup + s.perGroup * slice / s.slices;
    h1 = g * s.perGroup + s.perGroup * (slice + 1) / s.slices;
  }
};

struct Inputs {
  const float *x, *dt, *A, *B, *C, *D;
  explicit Inputs(const Call& c)
      : x(c.In<float>(0)), dt(c.In<float>(1)), A(c.In<float>(2)), B(c.In<float>(3)), C(c.In<float>(4)), D(c.In<float>(5)) {}
};

// cum[l] of a chunk's tokens, exp(cum[l]), tail[s] and dt[s] for one head.
struct Decay {
  double cum[kChunk];
  float out[kChunk], tail[kChunk], dt[kChunk];
  float tot;
  Decay(const Sizes& s, const Inputs& in, int64_t first, int64_t tokens, int64_t h) {  // first: index of the first token, batch included
    double sum = 0;
    for (int64_t l = 0; l < kChunk; ++l) {
      dt[l] = l < tokens ? in.dt[(first + l) * s.H + h] : 0.0f;
      sum += static_cast<double>(dt[l]) * in.A[h];
      cum[l] = sum;
      out[l] = static_cast<float>(sum);
      tail[l] = 0.0f;
    }
    for (int64_t l = 0; l < tokens; ++l) tail[l] = static_cast<float>(sum - cum[l]);
    for (int64_t l = 0; l < kChunk; l += W) {
      Store(out + l, Exp(Load(out + l)));
      Store(tail + l, Exp(Load(tail + l)));
    }
    tot = out[kChunk - 1];
  }
  // lam[s] = exp(cum[l] - cum[s]) for s <= l, else 0, up to the end of l's vector.
  void Lambda(int64_t l, float* lam) const {
    const int64_t end = (l / W + 1) * W;
    for (int64_t s = 0; s < end; ++s) lam[s] = static_cast<float>(cum[l] - cum[s]);
    for (int64_t s = 0; s < end; s += W) Store(lam + s, Exp(Min(Load(lam + s), F(0.0f))));  // later tokens: masked next
    for (int64_t s = l + 1; s < end; ++s) lam[s] = 0.0f;
  }
};

// to[r] = factor[r] · from[r] for rows of `width`.
void ScaleRows(int64_t rows, int64_t width, const float* factor, Rows from, Out to) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t j = 0; j < width; j += W)
      StoreUpTo(to.p + r * to.ld + j, LoadUpTo(from.p + r * from.ld + j, width - j) * F(factor[r]), width - j);
}

float Dot(int64_t n, const float* a, const float* b) {
  return SumOver(n, [&](int64_t j, int64_t left) { return LoadUpTo(a + j, left) * LoadUpTo(b + j, left); });
}

Span UpToDiagonal(int64_t k, int64_t i1) { return {0, k, 0, i1}; }

// Gram[l][s] = C[l]·B[s] for s <= l (and a little beyond), 0 where that leaves gaps up to the chunk's end.
void Gram(const Sizes& s, int64_t tokens, Rows B, Rows C, float* bT, float* gram) {
  Transpose(tokens, s.N, B, {bT, kChunk});
  std::fill_n(gram, kChunk * kChunk, 0.0f);
  Product(tokens, tokens, {C.p, C.ld, 1}, {bT, kChunk}, {gram, kChunk}, false, [&](int64_t, int64_t i1) { return UpToDiagonal(s.N, i1); });
}

void SsdScan(const Call& c) {
  const Sizes s(c);
  const Inputs in(c);
  const float* initial = c.In<float>(6);
  float *y = c.Out<float>(0), *final = c.Out<float>(1), *states = c.Out<float>(2);
  const int64_t size = s.N * s.P;
  ParallelFor(s.Tasks(), 1, [&](int64_t begin, int64_t end) {
    Scratch bT(s.N * kChunk), gram(kChunk * kChunk), weights(kChunk * kChunk), scaledC(kChunk * s.N), scaledX(kChunk * s.P), last(size);
    for (int64_t task = begin; task < end; ++task) {
      const Task at(s, task);
      for (int64_t h = at.h0; h < at.h1; ++h) {
        float* first = s.chunks > 0 ? states + (at.b * s.H + h) * s.chunks * size : last.data();
        if (initial)
          Transpose(s.P, s.N, {initial + (at.b * s.H + h) * size, s.N}, {first, s.P});
        else
          std::fill_n(first, size, 0.0f);
        if (s.chunks == 0) Transpose(s.N, s.P, {last, s.P}, {final + (at.b * s.H + h) * size, s.N});
      }
      for (int64_t chunk = 0; chunk < s.chunks; ++chunk) {
        const int64_t tokens = std::min(kChunk, s.T - chunk * kChunk), first = at.b * s.T + chunk * kChunk;
        const Rows B{in.B + (first * s.G + at.g) * s.N, s.G * s.N}, C{in.C + (first * s.G + at.g) * s.N, s.G * s.N};
        Gram(s, tokens, B, C, bT, gram);
        for (int64_t h = at.h0; h < at.h1; ++h) {
          const Decay decay(s, in, first, tokens, h);
          const Rows x{in.x + (first * s.H + h) * s.P, s.H * s.P};
          const Out ys{y + (first * s.H + h) * s.P, s.H * s.P};
          for (int64_t l = 0; l < tokens; ++l) {
            float* w = weights + l * kChunk;
            decay.Lambda(l, w);
            const int64_t filled = (l / W + 1) * W;
            for (int64_t j = 0; j < filled; j += W) Store(w + j, Load(w + j) * Load(gram + l * kChunk + j) * Load(decay.dt + j));
            std::fill(w + filled, w + kChunk, 0.0f);
            if (in.D) w[l] += in.D[h];  // the skip is one more weight on the token itself
          }
          Product(tokens, s.P, {weights, kChunk, 1}, x, ys, false, [&](int64_t, int64_t i1) { return Span{0, i1, 0, s.P}; });
          const float* state = states + ((at.b * s.H + h) * s.chunks + chunk) * size;
          ScaleRows(tokens, s.N, decay.out, C, {scaledC, s.N});
          Product(tokens, s.P, s.N, {scaledC, s.N, 1}, {state, s.P}, ys, true);
          for (int64_t l = 0; l < tokens; ++l) {
            const float factor = decay.tail[l] * decay.dt[l];
            ScaleRows(1, s.P, &factor, {x.p + l * x.ld, 0}, {scaledX + l * s.P, 0});
          }
          const bool more = chunk + 1 < s.chunks;
          float* next = more ? states + ((at.b * s.H + h) * s.chunks + chunk + 1) * size : last.data();
          ScaleRows(1, size, &decay.tot, {state, 0}, {next, 0});
          Product(s.N, s.P, tokens, {B.p, 1, B.ld}, {scaledX, s.P}, {next, s.P}, true);
          if (!more) Transpose(s.N, s.P, {next, s.P}, {final + (at.b * s.H + h) * size, s.N});
        }
      }
    }
  });
}

struct Gradients {
  float *dx, *ddt, *dB, *dC;
};

// What a head needs while its chunk is worked on.
struct HeadScratch {
  Scratch xT, scaledX, scaledY, weights, dW, state, dState, reach, pull;
  explicit HeadScratch(const Sizes& s)
      : xT(s.P * kChunk), scaledX(kChunk * s.P), scaledY(kChunk * s.P), weights(kChunk * kChunk), dW(kChunk * kChunk), state(s.P * s.N),
        dState(s.P * s.N), reach(kChunk * s.N), pull(kChunk * s.P) {}
};

struct ChunkAt {
  int64_t b, chunk, tokens, first;  // first: index of its first token, batch included
  Rows B, C;
  Out dB, dC;  // [tokens, N] of this task
};

// One head of one chunk. dST [N, P]: gradient of the state leaving the chunk on entry, of the state entering it on return. Adds this head's share to
// dGram and to dB, dC; gives its share of dA and dD.
void HeadBackward(const Sizes& s, const Inputs& in, const ChunkAt& at, int64_t h, const float* stateT, const float* dy, const float* gram,
                  float* dGram, float* dST, const Gradients& to, HeadScratch& t, double* dA, double* dD) {
  const int64_t tokens = at.tokens, size = s.N * s.P;
  const Decay decay(s, in, at.first, tokens, h);
  const int64_t offset = (at.first * s.H + h) * s.P, ld = s.H * s.P;
  const Rows x{in.x + offset, ld}, dys{dy + offset, ld};
  const Out dxs{to.dx + offset, ld};
  float fed[kChunk];  // tail · dt
  for (int64_t l = 0; l < kChunk; ++l) fed[l] = decay.tail[l] * decay.dt[l];
  ScaleRows(tokens, s.P, fed, x, {t.scaledX, s.P});
  ScaleRows(tokens, s.P, decay.out, dys, {t.scaledY, s.P});
  Transpose(tokens, s.P, x, {t.xT, kChunk});
  Transpose(s.N, s.P, {stateT, s.P}, {t.state, s.N});
  Transpose(s.N, s.P, {dST, s.P}, {t.dState, s.N});

  // Inside the chunk: dW[l][s] = dy[l]·x[s], from the last token back, so that `passing` holds Σ_{l' >= l} dW W and its sum over s < l is the
  // part of da[l] that goes through pairs on both sides of l.
  Product(tokens, tokens, {dys.p, ld, 1}, {t.xT, kChunk}, {t.dW, kChunk}, false, [&](int64_t, int64_t i1) { return UpToDiagonal(s.P, i1); });
  double da[kChunk];
  float direct[kChunk] = {}, passing[kChunk] = {}, lam[kChunk];
  for (int64_t l = tokens - 1; l >= 0; --l) {
    decay.Lambda(l, lam);
    const float* g = gram + l * kChunk;
    float *w = t.weights + l * kChunk, *dw = t.dW + l * kChunk, *dg = dGram + l * kChunk;
    const int64_t filled = (l / W + 1) * W;
    std::fill(dw + l + 1, dw + filled, 0.0f);
    std::fill(w + filled, w + kChunk, 0.0f);
    F through(0.0f);
    for (int64_t j = 0; j < filled; j += W) {
      const F step = Load(decay.dt + j), lamStep = Load(lam + j) * step, d = Load(dw + j), gs = Load(g + j);
      const F slope = d * gs * Load(lam + j);
      Store(w + j, gs * lamStep);
      Store(dg + j, Fma(d, lamStep, Load(dg + j)));
      Store(direct + j, Load(direct + j) + slope);
      const Mask before = Lt(Iota() + F(static_cast<float>(j)), F(static_cast<float>(l)));
      const F sum = Load(passing + j) + Select(before, slope * step, F(0.0f));
      Store(passing + j, sum);
      through += Select(before, sum, F(0.0f));
    }
    da[l] = Sum(through);
    if (in.D) w[l] += in.D[h];
  }

  // Into the state that leaves: pull[s] = dS B[s].
  Product(tokens, s.P, s.N, {at.B.p, at.B.ld, 1}, {dST, s.P}, {t.pull, s.P}, false);
  double fedBefore = 0;
  for (int64_t l = 0; l < tokens; ++l) {
    da[l] += fedBefore;
    const float share = decay.tail[l] * Dot(s.P, x.p + l * ld, t.pull + l * s.P);
    direct[l] += share;
    fedBefore += static_cast<double>(decay.dt[l]) * share;
  }
  ScaleRows(tokens, s.P, fed, {t.pull, s.P}, dxs);
  Product(tokens, s.P, {t.weights, 1, kChunk}, dys, dxs, true, [&](int64_t s0, int64_t) { return Span{s0, tokens, 0, s.P}; });
  Product(tokens, s.N, s.P, {t.scaledX, s.P, 1}, {t.dState, s.N}, at.dB, true);

  // Out of the state that entered: reach[l] = exp(cum[l]) S0ᵀ dy[l].
  Product(tokens, s.N, s.P, {t.scaledY, s.P, 1}, {t.state, s.N}, {t.reach, s.N}, false);
  const double kept = static_cast<double>(decay.tot) * Dot(size, dST, stateT);
  double readAfter = 0;
  for (int64_t l = tokens - 1; l >= 0; --l) {
    readAfter += Dot(s.N, t.reach + l * s.N, at.C.p + l * at.C.ld);
    da[l] += readAfter + kept;
    to.ddt[(at.first + l) * s.H + h] = static_cast<float>(direct[l] + in.A[h] * da[l]);
    *dA += decay.dt[l] * da[l];
    *dD += Dot(s.P, dys.p + l * ld, x.p + l * ld);
    for (int64_t j = 0; j < s.N; j += W)
      StoreUpTo(at.dC.p + l * at.dC.ld + j, LoadUpTo(at.dC.p + l * at.dC.ld + j, s.N - j) + LoadUpTo(t.reach + l * s.N + j, s.N - j), s.N - j);
  }
  ScaleRows(1, size, &decay.tot, {dST, 0}, {dST, 0});
  Product(s.N, s.P, tokens, {at.C.p, 1, at.C.ld}, {t.scaledY, s.P}, {dST, s.P}, true);
}

void SsdScanGrad(const Call& c) {
  const Sizes s(c);
  const Inputs in(c);
  const float *states = c.In<float>(6), *dy = c.In<float>(7), *dFinal = c.In<float>(8);
  float *dB = c.Out<float>(3), *dC = c.Out<float>(4), *dInitial = c.Out<float>(6);
  const Gradients to{c.Out<float>(0), c.Out<float>(1), dB, dC};
  const int64_t size = s.N * s.P, maps = s.B * s.T * s.G * s.N;
  // Slices of a group add to the same dB and dC, so each has its own and they are summed at the end.
  Scratch own(s.slices > 1 ? 2 * s.slices * maps : 1);
  std::vector<double> dA(static_cast<size_t>(s.B * s.H), 0.0), dD(static_cast<size_t>(s.B * s.H), 0.0);
  ParallelFor(s.Tasks(), 1, [&](int64_t begin, int64_t end) {
    Scratch bT(s.N * kChunk), gram(kChunk * kChunk), dGram(kChunk * kChunk), dST((s.perGroup / s.slices + 1) * size);
    HeadScratch scratch(s);
    for (int64_t task = begin; task < end; ++task) {
      const Task on(s, task);
      for (int64_t h = on.h0; h < on.h1; ++h)
        Transpose(s.P, s.N, {dFinal + (on.b * s.H + h) * size, s.N}, {dST + (h - on.h0) * size, s.P});
      for (int64_t chunk = s.chunks - 1; chunk >= 0; --chunk) {
        const int64_t tokens = std::min(kChunk, s.T - chunk * kChunk), first = on.b * s.T + chunk * kChunk;
        const int64_t offset = (first * s.G + on.g) * s.N, ld = s.G * s.N;
        float* ownB = s.slices > 1 ? own + on.slice * maps : dB;
        float* ownC = s.slices > 1 ? own + (s.slices + on.slice) * maps : dC;
        const ChunkAt at{on.b, chunk, tokens, first, {in.B + offset, ld}, {in.C + offset, ld}, {ownB + offset, ld}, {ownC + offset, ld}};
        for (int64_t l = 0; l < tokens; ++l) {
          std::fill_n(at.dB.p + l * ld, s.N, 0.0f);
          std::fill_n(at.dC.p + l * ld, s.N, 0.0f);
        }
        Gram(s, tokens, at.B, at.C, bT, gram);
        std::fill_n(dGram.data(), kChunk * kChunk, 0.0f);
        for (int64_t h = on.h0; h < on.h1; ++h) {
          const float* stateT = states + ((on.b * s.H + h) * s.chunks + chunk) * size;
          HeadBackward(s, in, at, h, stateT, dy, gram, dGram, dST + (h - on.h0) * size, to, scratch, &dA[static_cast<size_t>(on.b * s.H + h)],
                       &dD[static_cast<size_t>(on.b * s.H + h)]);
        }
        Product(tokens, s.N, {dGram, kChunk, 1}, at.B, at.dC, true, [&](int64_t, int64_t i1) { return Span{0, i1, 0, s.N}; });
        Product(tokens, s.N, {dGram, 1, kChunk}, at.C, at.dB, true, [&](int64_t s0, int64_t) { return Span{s0, tokens, 0, s.N}; });
      }
      for (int64_t h = on.h0; h < on.h1; ++h)
        Transpose(s.N, s.P, {dST + (h - on.h0) * size, s.P}, {dInitial + (on.b * s.H + h) * size, s.N});
    }
  });
  if (s.slices > 1) {
    SumParts(own, s.slices, maps, maps, dB);
    SumParts(own + s.slices * maps, s.slices, maps, maps, dC);
  }
  for (int64_t h = 0; h < s.H; ++h) {
    double a = 0, d = 0;
    for (int64_t b = 0; b < s.B; ++b) {
      a += dA[static_cast<size_t>(b * s.H + h)];
      d += dD[static_cast<size_t>(b * s.H + h)];
    }
    c.Out<float>(2)[h] = static_cast<float>(a);
    c.Out<float>(5)[h] = static_cast<float>(d);
  }
}

}  // namespace

LAB_KERNEL("SsdScan", SsdScan);
LAB_KERNEL("SsdScanGrad", SsdScanGrad);
