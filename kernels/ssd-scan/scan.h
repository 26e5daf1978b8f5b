// The state-space-dual scan in chunks of 64 tokens, forward and gradient, as derived in the Mamba-2 paper (arXiv 2405.21060, section 6).
//
// Within a chunk, with cum[l] the sum of a[k] = dt[k] A over k <= l (kept in float64, so that differences of it lose nothing):
//   y[l] = Σ_{s<=l} W[l][s] x[s] + exp(cum[l]) S0 C[l] + D x[l],   W[l][s] = (C[l]·B[s]) exp(cum[l] - cum[s]) dt[s]
//   S0 of the next chunk = tot S0 + Σ_s tail[s] dt[s] x[s] B[s]ᵀ,  tail[s] = exp(cum[last] - cum[s]),  tot = exp(cum[last])
// States lie transposed, [N, P], so that products with them run along the head's width P. All exponents are <= 0.
//
// A scan may run from the last token to the first (rows then lie a negative number of floats apart), and may be late: the output of a token goes
// to the next one on the way. Where there are few tasks (row, group, slice of its heads), chunks run side by side: what each adds to the state
// first, then the walk over whole states, then the outputs.
#ifndef LAB_SSD_SCAN_H
#define LAB_SSD_SCAN_H

#include <algorithm>
#include <cmath>
#include <vector>

#include "../core/lab.h"
#include "../core/rounded.h"
#include "../core/rows.h"
#include "../core/tile.h"

namespace lab {
namespace ssd {

constexpr int64_t kChunk = 64;
constexpr int64_t kEnoughTasks = 16;  // fewer run chunk by chunk

struct Sizes {
  int64_t B, T, H, P, G, N;
  bool backwards, late;
  int64_t chunks, perGroup, slices, sign;
  int64_t xStep, mapStep;  // floats from token to token in x (and its gradient), and in B and C; y always lies dense
  Sizes(const int64_t* n, bool backwards, bool late)
      : B(n[0]), T(n[1]), H(n[2]), P(n[3]), G(n[4]), N(n[5]), backwards(backwards), late(late), chunks((T + kChunk - 1) / kChunk),
        perGroup(H / G), sign(backwards ? -1 : 1), xStep(H * P), mapStep(G * N) {
    // The heads of a group share C·B, but some 16 tasks are wanted: then they share it in slices. Depends on the shape only.
    const int64_t groups = std::max<int64_t>(1, B * G);
    slices = std::min(perGroup, (kEnoughTasks + groups - 1) / groups);
  }
  int64_t Tasks() const { return B * G * slices; }
  bool SideBySide() const { return Tasks() < kEnoughTasks && chunks > 1; }
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

// cum[l] of a chunk's tokens, exp(cum[l]), tail[s] and dt[s] for one head.
struct Decay {
  double cum[kChunk];
  float out[kChunk], tail[kChunk], dt[kChunk];
  float tot;
  Decay(const Sizes& s, const Inputs& in, const Chunk& at, int64_t h) {
    double sum = 0;
    for (int64_t l = 0; l < kChunk; ++l) {
      dt[l] = l < at.tokens ? in.dt[at.Step(s, h, l)] : 0.0f;
      sum += static_cast<double>(dt[l]) * in.A[h];
      cum[l] = sum;
      out[l] = static_cast<float>(sum);
      tail[l] = 0.0f;
    }
    for (int64_t l = 0; l < at.tokens; ++l) tail[l] = static_cast<float>(sum - cum[l]);
    for (int64_t l = 0; l < kChunk; l += W) {
      Store(out + l, Exp(Load(out + l)));
      Store(tail + l, Exp(Load(tail + l)));
    }
    tot = out[kChunk - 1];
  }
  // lam[s] = exp(cum[l] - cum[s]) for s <= l, else 0, up to the end of l's vector. Of the vectors before l's it is a product of two factors about
  // the last token before l's vector, of which `since` [kChunk] holds exp(cum[that] - cum[s]); call it for all l of a vector together.
  void Lambda(int64_t l, float* since, float* lam) const {
    const int64_t own = l / W * W;
    if (own > 0) {
      const double edge = cum[own - 1];
      if (since[kChunk] != static_cast<float>(own)) {
        for (int64_t s = 0; s < own; ++s) since[s] = static_cast<float>(edge - cum[s]);
        for (int64_t s = 0; s < own; s += W) Store(since + s, Exp(Load(since + s)));
        since[kChunk] = static_cast<float>(own);
      }
      const F factor = Exp(F(static_cast<float>(cum[l] - edge)));
      for (int64_t s = 0; s < own; s += W) Store(lam + s, factor * Load(since + s));
    }
    for (int64_t s = own; s < own + W; ++s) lam[s] = static_cast<float>(cum[l] - cum[s]);
    Store(lam + own, Exp(Min(Load(lam + own), F(0.0f))));  // later tokens: masked next
    for (int64_t s = l + 1; s < own + W; ++s) lam[s] = 0.0f;
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

// Gram[l][s] = C[l]·B[s] for s <= l (and a little beyond), 0 where that leaves gaps up to the chunk's end.
inline void Gram(const Sizes& s, int64_t tokens, Rows B, Rows C, float* bT, float* gram) {
  Transpose(tokens, s.N, B, {bT, kChunk});
  std::fill_n(gram, kChunk * kChunk, 0.0f);
  Multiply(tokens, tokens, s.N, {C.p, C.ld, 1}, {bT, kChunk}, {gram, kChunk}, false, [&](int64_t, int64_t i1) { return UpToDiagonal(s.N, i1); });
}

// What one thread needs for chunks of the forward pass.
struct ForwardRoom {
  Scratch bT, gram, weights, scaledC, scaledX;
  explicit ForwardRoom(const Sizes& s)
      : bT(s.N * kChunk), gram(kChunk * kChunk), weights(kChunk * kChunk), scaledC(kChunk * s.N), scaledX(kChunk * s.P) {}
};

struct Forward {
  const Sizes& s;
  const Inputs& in;
  float *y, *states;
  bool add;  // y += what comes out

  float* StateOf(const Task& on, int64_t h, int64_t chunk) const { return states + ((on.b * s.H + h) * s.chunks + chunk) * s.State(); }

  // y of one head, from the state that entered.
  void Outputs(const Chunk& at, const Task& on, int64_t h, const Decay& decay, ForwardRoom& room) const {
    const int64_t rows = at.Outputs(s);
    const Rows x{in.x + at.Head(s, h), s.sign * s.xStep};
    const Out ys{y + at.Output(s, h), s.sign * s.H * s.P};
    float since[kChunk + 1];
    since[kChunk] = -1;
    for (int64_t l = 0; l < rows; ++l) {
      float* w = room.weights + l * kChunk;
      decay.Lambda(l, since, w);
      const int64_t filled = (l / W + 1) * W;
      for (int64_t j = 0; j < filled; j += W) Store(w + j, Load(w + j) * Load(room.gram + l * kChunk + j) * Load(decay.dt + j));
      std::fill(w + filled, w + kChunk, 0.0f);
      if (in.D) w[l] += in.D[h];  // the skip is one more weight on the token itself
    }
    Multiply(rows, s.P, rows, {room.weights, kChunk, 1}, x, ys, add, [&](int64_t, int64_t i1) { return Span{0, i1, 0, s.P}; });
    ScaleRows(rows, s.N, decay.out, at.C, {room.scaledC, s.N});
    Multiply(rows, s.P, s.N, {room.scaledC, s.N, 1}, {StateOf(on, h, at.index), s.P}, ys, true);
  }

  // What the chunk adds to the state of one head, into `state` [N, P] (+= with `to`).
  void Adds(const Chunk& at, int64_t h, const Decay& decay, ForwardRoom& room, bool to, float* state) const {
    const Rows x{in.x + at.Head(s, h), s.sign * s.xStep};
    for (int64_t l = 0; l < at.tokens; ++l) {
      const float factor = decay.tail[l] * decay.dt[l];
      ScaleRows(1, s.P, &factor, {x.p + l * x.ld, 0}, {room.scaledX + l * s.P, 0});
    }
    Multiply(s.N, s.P, at.tokens, {at.B.p, 1, at.B.ld}, {room.scaledX, s.P}, {state, s.P}, to);
  }

  // initial: [B, H, P, N] or nullptr; final: alike, or nullptr where nobody asks.
  void Run(const float* initial, float* final) const {
    const int64_t size = s.State();
    Scratch last(final ? s.B * s.H * size : 1);
    ParallelFor(s.B * s.H, Grain(size), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        if (s.chunks == 0 && !final) continue;
        float* first = s.chunks > 0 ? states + row * s.chunks * size : last + row * size;
        if (initial)
          Transpose(s.P, s.N, {initial + row * size, s.N}, {first, s.P});
        else
          std::fill_n(first, size, 0.0f);
        if (!s.late || add || s.chunks == 0) continue;
        float* begins = y + ((row / s.H * s.T + (s.backwards ? s.T - 1 : 0)) * s.H + row % s.H) * s.P;  // nothing was before the first token
        std::fill_n(begins, s.P, 0.0f);
      }
    });
    const auto after = [&](const Task& on, int64_t h, int64_t chunk) {
      return chunk + 1 < s.chunks ? StateOf(on, h, chunk + 1) : final ? last + (on.b * s.H + h) * size : nullptr;
    };
    const auto keep = [&](const Task& on, int64_t h, int64_t chunk, float tot, bool to, float* next) {
      const float* state = StateOf(on, h, chunk);
      for (int64_t j = 0; j < size; j += W)
        StoreUpTo(next + j, to ? Fma(F(tot), LoadUpTo(state + j, size - j), LoadUpTo(next + j, size - j)) : F(tot) * LoadUpTo(state + j, size - j), size - j);
    };
    if (!s.SideBySide()) {
      ParallelFor(s.Tasks(), 1, [&](int64_t begin, int64_t end) {
        ForwardRoom room(s);
        for (int64_t task = begin; task < end; ++task) {
          const Task on(s, task);
          for (int64_t chunk = 0; chunk < s.chunks; ++chunk) {
            const Chunk at(s, in, on, chunk);
            Gram(s, at.tokens, at.B, at.C, room.bT, room.gram);
            for (int64_t h = on.h0; h < on.h1; ++h) {
              const Decay decay(s, in, at, h);
              Outputs(at, on, h, decay, room);
              float* next = after(on, h, chunk);
              if (!next) continue;
              keep(on, h, chunk, decay.tot, false, next);
              Adds(at, h, decay, room, true, next);
            }
          }
        }
      });
    } else {
      ParallelFor(s.Tasks() * s.chunks, 1, [&](int64_t begin, int64_t end) {
        ForwardRoom room(s);
        for (int64_t i = begin; i < end; ++i) {
          const Task on(s, i / s.chunks);
          const Chunk at(s, in, on, i % s.chunks);
          for (int64_t h = on.h0; h < on.h1; ++h)
            if (float* next = after(on, h, at.index)) Adds(at, h, Decay(s, in, at, h), room, false, next);
        }
      });
      ParallelFor(s.Tasks(), 1, [&](int64_t begin, int64_t end) {
        for (int64_t task = begin; task < end; ++task) {
          const Task on(s, task);
          for (int64_t h = on.h0; h < on.h1; ++h)
            for (int64_t chunk = 0; chunk < s.chunks; ++chunk)
              if (float* next = after(on, h, chunk)) keep(on, h, chunk, Decay(s, in, Chunk(s, in, on, chunk), h).tot, true, next);
        }
      });
      ParallelFor(s.Tasks() * s.chunks, 1, [&](int64_t begin, int64_t end) {
        ForwardRoom room(s);
        for (int64_t i = begin; i < end; ++i) {
          const Task on(s, i / s.chunks);
          const Chunk at(s, in, on, i % s.chunks);
          Gram(s, at.tokens, at.B, at.C, room.bT, room.gram);
          for (int64_t h = on.h0; h < on.h1; ++h) Outputs(at, on, h, Decay(s, in, at, h), room);
        }
      });
    }
    if (!final) return;
    ParallelFor(s.B * s.H, Grain(size), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) Transpose(s.N, s.P, {last + row * size, s.P}, {final + row * size, s.N});
    });
  }
};

// What one thread needs for chunks of the gradient.
struct BackwardRoom {
  Scratch bT, gram, dGram, xT, scaledX, scaledY, weights, dW, state, dState, reach, pull, dy;
  explicit BackwardRoom(const Sizes& s)
      : bT(s.N * kChunk), gram(kChunk * kChunk), dGram(kChunk * kChunk), xT(s.P * kChunk), scaledX(kChunk * s.P), scaledY(kChunk * s.P),
        weights(kChunk * kChunk), dW(kChunk * kChunk), state(s.P * s.N), dState(s.P * s.N), reach(kChunk * s.N), pull(kChunk * s.P),
        dy(s.late ? kChunk * s.P : 1) {}
};

struct Backward {
  const Sizes& s;
  const Inputs& in;
  const float *states, *dy;
  float *dx, *ddt, *dB, *dC;
  bool add;  // dx += what comes out
  double *dA, *dD;  // [B, H, chunks]; dD may be nullptr

  const float* StateOf(const Task& on, int64_t h, int64_t chunk) const { return states + ((on.b * s.H + h) * s.chunks + chunk) * s.State(); }

  // Slopes of the chunk's outputs, [tokens, P]; the last ones may be nobody's.
  Rows SlopesOf(const Chunk& at, int64_t h, float* copy) const {
    const Rows rows{dy + at.Output(s, h), s.sign * s.H * s.P};
    if (at.Outputs(s) == at.tokens) return rows;
    for (int64_t l = 0; l + 1 < at.tokens; ++l) std::copy_n(rows.p + l * rows.ld, s.P, copy + l * s.P);
    std::fill_n(copy + (at.tokens - 1) * s.P, s.P, 0.0f);
    return {copy, s.P};
  }

  // Adds to dST [N, P] (or writes it) what the outputs of the chunk say of the state that entered it.
  void Entering(const Chunk& at, const Decay& decay, Rows dys, BackwardRoom& room, bool to, float* dST) const {
    ScaleRows(at.tokens, s.P, decay.out, dys, {room.scaledY, s.P});
    Multiply(s.N, s.P, at.tokens, {at.C.p, 1, at.C.ld}, {room.scaledY, s.P}, {dST, s.P}, to);
  }

  // One head of one chunk. dST [N, P]: gradient of the state leaving the chunk. Adds to dGram and to toB, toC [tokens, N].
  void Head(const Chunk& at, const Task& on, int64_t h, const Decay& decay, Rows dys, const float* dST, Out toB, Out toC, BackwardRoom& t) const {
    const int64_t tokens = at.tokens, size = s.State();
    const float* stateT = StateOf(on, h, at.index);
    const Rows x{in.x + at.Head(s, h), s.sign * s.xStep};
    const Out dxs{dx + at.Head(s, h), x.ld};
    float fed[kChunk];  // tail · dt
    for (int64_t l = 0; l < kChunk; ++l) fed[l] = decay.tail[l] * decay.dt[l];
    ScaleRows(tokens, s.P, fed, x, {t.scaledX, s.P});
    ScaleRows(tokens, s.P, decay.out, dys, {t.scaledY, s.P});
    Transpose(tokens, s.P, x, {t.xT, kChunk});
    Transpose(s.N, s.P, {stateT, s.P}, {t.state, s.N});
    Transpose(s.N, s.P, {dST, s.P}, {t.dState, s.N});

    // Inside the chunk: dW[l][s] = dy[l]·x[s], from the last token back, so that `passing` holds Σ_{l' >= l} dW W and its sum over s < l is the
    // part of da[l] that goes through pairs on both sides of l.
    Multiply(tokens, tokens, s.P, {dys.p, dys.ld, 1}, {t.xT, kChunk}, {t.dW, kChunk}, false, [&](int64_t, int64_t i1) { return UpToDiagonal(s.P, i1); });
    double da[kChunk];
    float direct[kChunk] = {}, passing[kChunk] = {}, lam[kChunk], since[kChunk + 1];
    since[kChunk] = -1;
    for (int64_t l = tokens - 1; l >= 0; --l) {
      decay.Lambda(l, since, lam);
      const float* g = t.gram + l * kChunk;
      float *w = t.weights + l * kChunk, *dw = t.dW + l * kChunk, *dg = t.dGram + l * kChunk;
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
    Multiply(tokens, s.P, s.N, {at.B.p, at.B.ld, 1}, {dST, s.P}, {t.pull, s.P}, false);
    double fedBefore = 0;
    for (int64_t l = 0; l < tokens; ++l) {
      da[l] += fedBefore;
      const float share = decay.tail[l] * Dot(s.P, x.p + l * x.ld, t.pull + l * s.P);
      direct[l] += share;
      fedBefore += static_cast<double>(decay.dt[l]) * share;
    }
    if (add) {
      for (int64_t l = 0; l < tokens; ++l) {
        const F factor(fed[l]);
        float* to = dxs.p + l * dxs.ld;
        for (int64_t j = 0; j < s.P; j += W) StoreUpTo(to + j, Fma(factor, LoadUpTo(t.pull + l * s.P + j, s.P - j), LoadUpTo(to + j, s.P - j)), s.P - j);
      }
    } else {
      ScaleRows(tokens, s.P, fed, {t.pull, s.P}, dxs);
    }
    Multiply(tokens, s.P, tokens, {t.weights, 1, kChunk}, dys, dxs, true, [&](int64_t s0, int64_t) { return Span{s0, tokens, 0, s.P}; });
    Multiply(tokens, s.N, s.P, {t.scaledX, s.P, 1}, {t.dState, s.N}, toB, true);

    // Out of the state that entered: reach[l] = exp(cum[l]) S0ᵀ dy[l].
    Multiply(tokens, s.N, s.P, {t.scaledY, s.P, 1}, {t.state, s.N}, {t.reach, s.N}, false);
    const double kept = static_cast<double>(decay.tot) * Dot(size, dST, stateT);
    double readAfter = 0, sumA = 0, sumD = 0;
    for (int64_t l = tokens - 1; l >= 0; --l) {
      readAfter += Dot(s.N, t.reach + l * s.N, at.C.p + l * at.C.ld);
      da[l] += readAfter + kept;
      ddt[at.Step(s, h, l)] = static_cast<float>(direct[l] + in.A[h] * da[l]);
      sumA += decay.dt[l] * da[l];
      if (dD) sumD += Dot(s.P, dys.p + l * dys.ld, x.p + l * x.ld);
      float* to = toC.p + l * toC.ld;
      for (int64_t j = 0; j < s.N; j += W) StoreUpTo(to + j, LoadUpTo(to + j, s.N - j) + LoadUpTo(t.reach + l * s.N + j, s.N - j), s.N - j);
    }
    const int64_t part = (on.b * s.H + h) * s.chunks + at.index;
    dA[part] = sumA;
    if (dD) dD[part] = sumD;
  }

  // All heads of a task in one chunk; dST(h): gradient of the state of head h that leaves it. `each` runs after every head.
  template <class StateSlopes, class Each>
  void Heads(const Chunk& at, const Task& on, float* ownB, float* ownC, BackwardRoom& room, StateSlopes&& dST, Each&& each) const {
    const int64_t ld = s.slices > 1 ? s.G * s.N : s.mapStep, first = at.first * ld + on.g * s.N;
    const Out toB{ownB + first, s.sign * ld}, toC{ownC + first, s.sign * ld};
    for (int64_t l = 0; l < at.tokens; ++l) {
      std::fill_n(toB.p + l * toB.ld, s.N, 0.0f);
      std::fill_n(toC.p + l * toC.ld, s.N, 0.0f);
    }
    Gram(s, at.tokens, at.B, at.C, room.bT, room.gram);
    std::fill_n(room.dGram.data(), kChunk * kChunk, 0.0f);
    for (int64_t h = on.h0; h < on.h1; ++h) {
      const Decay decay(s, in, at, h);
      const Rows dys = SlopesOf(at, h, room.dy);
      Head(at, on, h, decay, dys, dST(h), toB, toC, room);
      each(h, decay, dys);
    }
    Multiply(at.tokens, s.N, at.tokens, {room.dGram, kChunk, 1}, at.B, toC, true, [&](int64_t, int64_t i1) { return Span{0, i1, 0, s.N}; });
    Multiply(at.tokens, s.N, at.tokens, {room.dGram, 1, kChunk}, at.C, toB, true, [&](int64_t s0, int64_t) { return Span{s0, at.tokens, 0, s.N}; });
  }

  // dFinal, dInitial: [B, H, P, N], or nullptr where there is none and where nobody asks.
  void Run(const float* dFinal, float* dInitial) const {
    const int64_t size = s.State(), maps = s.B * s.T * s.G * s.N;
    // Slices of a group add to the same dB and dC, so each has its own and they are summed at the end.
    Scratch own(s.slices > 1 ? 2 * s.slices * maps : 1);
    const auto ownB = [&](const Task& on) { return s.slices > 1 ? own + on.slice * maps : dB; };
    const auto ownC = [&](const Task& on) { return s.slices > 1 ? own + (s.slices + on.slice) * maps : dC; };
    const auto begin_ = [&](int64_t row, float* dST) {  // of the state after the last token
      if (dFinal)
        Transpose(s.P, s.N, {dFinal + row * size, s.N}, {dST, s.P});
      else
        std::fill_n(dST, size, 0.0f);
    };
    const auto end_ = [&](int64_t row, const float* dST) {
      if (dInitial) Transpose(s.N, s.P, {dST, s.P}, {dInitial + row * size, s.N});
    };
    if (!s.SideBySide()) {
      ParallelFor(s.Tasks(), 1, [&](int64_t begin, int64_t end) {
        Scratch dST((s.perGroup / s.slices + 1) * size);
        BackwardRoom room(s);
        for (int64_t task = begin; task < end; ++task) {
          const Task on(s, task);
          const auto of = [&](int64_t h) { return dST + (h - on.h0) * size; };
          for (int64_t h = on.h0; h < on.h1; ++h) begin_(on.b * s.H + h, of(h));
          for (int64_t chunk = s.chunks - 1; chunk >= 0; --chunk) {
            const Chunk at(s, in, on, chunk);
            Heads(at, on, ownB(on), ownC(on), room, of, [&](int64_t h, const Decay& decay, Rows) {
              ScaleRows(1, size, &decay.tot, {of(h), 0}, {of(h), 0});
              Multiply(s.N, s.P, at.tokens, {at.C.p, 1, at.C.ld}, {room.scaledY, s.P}, {of(h), s.P}, true);
            });
          }
          for (int64_t h = on.h0; h < on.h1; ++h) end_(on.b * s.H + h, of(h));
        }
      });
    } else {
      // Gradients of the states that leave each chunk; the one before all of them stands first.
      Scratch all(s.B * s.H * (s.chunks + 1) * size);
      const auto of = [&](int64_t row, int64_t chunk) { return all + (row * (s.chunks + 1) + chunk + 1) * size; };
      ParallelFor(s.Tasks() * s.chunks, 1, [&](int64_t begin, int64_t end) {
        BackwardRoom room(s);
        for (int64_t i = begin; i < end; ++i) {
          const Task on(s, i / s.chunks);
          const Chunk at(s, in, on, i % s.chunks);
          for (int64_t h = on.h0; h < on.h1; ++h)
            Entering(at, Decay(s, in, at, h), SlopesOf(at, h, room.dy), room, false, of(on.b * s.H + h, at.index - 1));
        }
      });
      ParallelFor(s.Tasks(), 1, [&](int64_t begin, int64_t end) {
        for (int64_t task = begin; task < end; ++task) {
          const Task on(s, task);
          for (int64_t h = on.h0; h < on.h1; ++h) {
            const int64_t row = on.b * s.H + h;
            begin_(row, of(row, s.chunks - 1));
            for (int64_t chunk = s.chunks - 1; chunk >= 0; --chunk) {
              const F tot(Decay(s, in, Chunk(s, in, on, chunk), h).tot);
              float *to = of(row, chunk - 1), *from = of(row, chunk);
              for (int64_t j = 0; j < size; j += W) StoreUpTo(to + j, Fma(tot, LoadUpTo(from + j, size - j), LoadUpTo(to + j, size - j)), size - j);
            }
            end_(row, of(row, -1));
          }
        }
      });
      ParallelFor(s.Tasks() * s.chunks, 1, [&](int64_t begin, int64_t end) {
        BackwardRoom room(s);
        for (int64_t i = begin; i < end; ++i) {
          const Task on(s, i / s.chunks);
          const Chunk at(s, in, on, i % s.chunks);
          Heads(at, on, ownB(on), ownC(on), room, [&](int64_t h) { return of(on.b * s.H + h, at.index); }, [](int64_t, const Decay&, Rows) {});
        }
      });
    }
    if (s.slices > 1) {
      SumSlices(own, dB);
      SumSlices(own + s.slices * maps, dC);
    }
  }

  // to [B T, G N], rows mapStep apart, = Σ over slices of parts [slices, B T, G N].
  void SumSlices(const float* parts, float* to) const {
    const int64_t rows = s.B * s.T, width = s.G * s.N;
    ParallelFor(rows, Grain(s.slices * width), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r)
        for (int64_t j = 0; j < width; j += W) {
          F sum(0.0f);
          for (int64_t slice = 0; slice < s.slices; ++slice) sum += LoadUpTo(parts + (slice * rows + r) * width + j, width - j);
          StoreUpTo(to + r * s.mapStep + j, sum, width - j);
        }
    });
  }
};

// to[h] = Σ over rows and chunks of parts [B, H, chunks].
inline void SumOfHeads(const Sizes& s, const double* parts, float* to) {
  for (int64_t h = 0; h < s.H; ++h) {
    double sum = 0;
    for (int64_t b = 0; b < s.B; ++b)
      for (int64_t chunk = 0; chunk < s.chunks; ++chunk) sum += parts[(b * s.H + h) * s.chunks + chunk];
    to[h] = static_cast<float>(sum);
  }
}

}  // namespace ssd
}  // namespace lab

#endif
