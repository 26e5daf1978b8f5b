// The state-space-dual scan in chunks of 64 tokens, as derived in the Mamba-2 paper (arXiv 2405.21060, section 6): sizes, and what forward.h and
// backward.h share.
//
// Within a chunk, with cum[l] the sum of a[k] = dt[k] A over k <= l (kept in float64, so that differences of it lose nothing):
//   y[l] = Σ_{s<=l} W[l][s] x[s] + exp(cum[l]) S0 C[l] + D x[l],   W[l][s] = (C[l]·B[s]) exp(cum[l] - cum[s]) dt[s]
//   S0 of the next chunk = tot S0 + Σ_s tail[s] dt[s] x[s] B[s]ᵀ,  tail[s] = exp(cum[last] - cum[s]),  tot = exp(cum[last])
// States lie transposed, [N, P], so that products with them run along the head's width P. All exponents are <= 0.
//
// A scan may run from the last token to the first (rows then lie a negative number of floats apart), and may be late: the output of a token goes
// to the next one on the way. Where there are few tasks (row, group, slice of its heads), chunks run side by side: what each adds to the state
// first, then the walk over whole states, then the outputs; some chunks at a time, so that each pass finds in cache what the one before has read.
#ifndef LAB_SSD_SCAN_H
#define LAB_SSD_SCAN_H

#include <algorithm>
#include <cmath>
#include <vector>

#include "../core/lab.h"
#include "../core/rounded.h"
#include "../core/rows.h"
#include "../core/soon.h"
#include "../core/tile.h"
#include "../core/turn.h"

namespace lab {
namespace ssd {

constexpr int64_t kChunk = 64;
constexpr int64_t kEnoughTasks = 16;  // fewer run chunk by chunk
constexpr int64_t kTogether = 16;    // tasks times chunks that run side by side

struct Sizes {
  int64_t B, T, H, P, G, N;
  bool backwards, late;
  int64_t chunks, perGroup, slices, sign;
  int64_t xStep, mapStep;  // floats from token to token in x (and its gradient), and in B and C; y always lies dense
  Sizes(const int64_t* n, bool backwards, bool late)
      : B(n[0]), T(n[1]), H(n[2]), P(n[3]), G(n[4]), N(n[5]), backwards(backwards), late(late), chunks((T + kChunk - 1) / kChunk),
        perGroup(H / G), sign(backwards ? -1 : 1), xStep(H * P), mapStep(G * N) {
    // The heads of a group share C·B, so only a quarter of the tasks that are wanted make them share it in slices, or a single chunk, whose heads are
    // all that there is to share out. Depends on the shape only.
    const int64_t groups = std::max<int64_t>(1, B * G);
    slices = chunks > 1 && 4 * groups < kEnoughTasks ? 1 : std::min(perGroup, (kEnoughTasks + groups - 1) / groups);
  }
  int64_t Tasks() const { return B * G * slices; }
  bool SideBySide() const { return slices == 1 && Tasks() < kEnoughTasks && chunks > 1; }
  // Chunks that run side by side at a time.
  int64_t Segment() const { return std::min(chunks, (kTogether + Tasks() - 1) / std::max<int64_t>(1, Tasks())); }
  int64_t State() const { return N * P; }
};

// One task: row b, group g, heads h0 .. h1-1.
struct Task {
  int64_t b, g, slice, h0, h1;
  Task(const Sizes& s, int64_t task) : b(task / s.slices / s.G), g(task / s.slices % s.G), slice(task % s.slices) {
    h0 = g * s.perGroup + s.perGroup * slice / s.slices;
    h1 = g * s.perGroup + s.perGroup * (slice + 1) / s.slices;
  }
};

struct Inputs {
  const float *x, *dt, *A, *B, *C, *D;
};

// One chunk of one task. first: index of its first token, batch included; the others follow `sign` apart.
struct Chunk {
  int64_t index, tokens, first;
  Rows B, C;  // [tokens, N]
  Chunk(const Sizes& s, const Inputs& in, const Task& on, int64_t index) : index(index), tokens(std::min(kChunk, s.T - index * kChunk)) {
    const int64_t at = index * kChunk;
    first = on.b * s.T + (s.backwards ? s.T - 1 - at : at);
    B = {in.B + Map(s, on), s.sign * s.mapStep};
    C = {in.C + Map(s, on), s.sign * s.mapStep};
  }
  int64_t Map(const Sizes& s, const Task& on) const { return first * s.mapStep + on.g * s.N; }
  // Offset of head h of the first token in x, and in y of the token that gets its output.
  int64_t Head(const Sizes& s, int64_t h) const { return first * s.xStep + h * s.P; }
  int64_t Output(const Sizes& s, int64_t h) const { return ((first + (s.late ? s.sign : 0)) * s.H + h) * s.P; }
  int64_t Step(const Sizes& s, int64_t h, int64_t l) const { return (first + s.sign * l) * s.H + h; }
  // Tokens whose outputs somebody gets.
  int64_t Outputs(const Sizes& s) const { return s.late && index + 1 == s.chunks ? tokens - 1 : tokens; }
};

// cum[l] of a chunk's tokens, exp(cum[l]), tail[s], dt[s] and fed[s] = tail[s] dt[s] for one head; beyond the tokens dt is 0.
struct Decay {
  double cum[kChunk];
  float out[kChunk], tail[kChunk], dt[kChunk], fed[kChunk];
  float tot;
  Decay(const Sizes& s, const Inputs& in, const Chunk& at, int64_t h) {
    double sum = 0;
    for (int64_t l = 0; l < kChunk; ++l) {
      dt[l] = l < at.tokens ? in.dt[at.Step(s, h, l)] : 0.0f;
      sum += static_cast<double>(dt[l]) * in.A[h];
      cum[l] = sum;
    }
    for (int64_t l = 0; l < kChunk; ++l) {
      out[l] = static_cast<float>(cum[l]);
      tail[l] = static_cast<float>(sum - cum[l]);
    }
    for (int64_t l = 0; l < kChunk; l += W) {
      const F late = Exp(Load(tail + l));
      Store(out + l, Exp(Load(out + l)));
      Store(tail + l, late);
      Store(fed + l, late * Load(dt + l));
    }
    tot = out[kChunk - 1];
  }
};

// lam[l][s] = exp(cum[l] - cum[s]) for s <= l. Where s lies in a vector of tokens before l's, it is the product of two factors about the last token
// before l's vector: within[l] and since[l / W][s].
struct Spread {
  const Decay& decay;
  float within[kChunk], since[kChunk / W][kChunk];
  Spread(const Decay& d, int64_t tokens) : decay(d) {
    for (int64_t own = 0; own < tokens; own += W) {
      const double edge = own > 0 ? d.cum[own - 1] : 0.0;
      float* before = since[own / W];
      for (int64_t i = 0; i < W; ++i) within[own + i] = static_cast<float>(d.cum[own + i] - edge);
      for (int64_t s = 0; s < own; ++s) before[s] = static_cast<float>(edge - d.cum[s]);
      Store(within + own, Exp(Load(within + own)));
      for (int64_t s = 0; s < own; s += W) Store(before + s, Exp(Load(before + s)));
    }
  }
  // Of the vector of tokens that l is one of, from `own` on; 0 for later ones.
  LAB_INLINE F Own(int64_t l, int64_t own) const {
    float gap[W];
    for (int64_t i = 0; i < W; ++i) gap[i] = static_cast<float>(decay.cum[l] - decay.cum[own + i]);
    return Select(Le(Iota(), F(static_cast<float>(l - own))), Exp(Min(Load(gap), F(0.0f))), F(0.0f));
  }
};

// to[r] = factor[r] · from[r] for rows of `width`.
inline void ScaleRows(int64_t rows, int64_t width, const float* factor, Rows from, Out to) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t j = 0; j < width; j += W)
      StoreUpTo(to.p + r * to.ld + j, LoadUpTo(from.p + r * from.ld + j, width - j) * F(factor[r]), width - j);
}

inline float Dot(int64_t n, const float* a, const float* b) {
  return SumOver(n, [&](int64_t j, int64_t left) { return LoadUpTo(a + j, left) * LoadUpTo(b + j, left); });
}

inline Span UpToDiagonal(int64_t k, int64_t i1) { return {0, k, 0, i1}; }

// turned [width, kChunk] = from [tokens, width] transposed, 0 beyond the tokens.
inline void TurnTokens(int64_t tokens, int64_t width, Rows from, float* turned) {
  if (tokens < kChunk)
    for (int64_t c = 0; c < width; ++c) std::fill(turned + c * kChunk + tokens, turned + (c + 1) * kChunk, 0.0f);
  Turn(tokens, width, from, {turned, kChunk});
}

// Gram[l][s] = C[l]·B[s] for s <= l (and a little beyond), 0 where that leaves gaps up to the chunk's end; bT [N, kChunk]: B turned.
inline void Gram(const Sizes& s, int64_t tokens, Rows B, Rows C, float* bT, float* gram) {
  TurnTokens(tokens, s.N, B, bT);
  std::fill_n(gram, kChunk * kChunk, 0.0f);
  Multiply(tokens, tokens, s.N, {C.p, C.ld, 1}, {bT, kChunk}, {gram, kChunk}, false, [&](int64_t, int64_t i1) { return UpToDiagonal(s.N, i1); });
}

// to = tot from + add, of `size` numbers.
inline void Carry(int64_t size, float tot, const float* from, const float* add, float* to) {
  const F factor(tot);
  for (int64_t j = 0; j < size; j += W) StoreUpTo(to + j, Fma(factor, LoadUpTo(from + j, size - j), LoadUpTo(add + j, size - j)), size - j);
}

}  // namespace ssd
}  // namespace lab

#endif
