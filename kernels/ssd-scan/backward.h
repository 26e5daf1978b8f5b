// The gradient of the state-space-dual scan; scan.h tells what is computed.
//
// With dS the slope of the state that leaves a chunk, dW[l][s] = dy[l]·x[s], u = dS x and r = S0 dy (by state channel and token):
//   dx[s] = Σ_l W[l][s] dy[l] + fed[s] B[s] dS,   dB = Σ_heads fed u + dGramᵀ C,   dC = Σ_heads out r + dGram B,   fed = tail dt, out = exp(cum)
//   slope of the state that entered = tot dS + Σ_l out[l] C[l] dy[l]ᵀ
//   da[l] = Σ of dW W over pairs s < l <= l' + Σ_{s<l} fed[s] B[s]·u[s] + Σ_{l'>=l} out[l'] C[l']·r[l'] + tot dS·S0
// so each slope is a sum of what belongs to it, not a difference of larger sums.
#ifndef LAB_SSD_BACKWARD_H
#define LAB_SSD_BACKWARD_H

#include <utility>

#include "scan.h"

namespace lab {
namespace ssd {

// What one thread needs for chunks of the gradient. Turned: [channels, kChunk]. `weights` stays zero past the vector of its diagonal.
struct BackwardRoom {
  Scratch bT, cT, gram, dGram, dBT, dCT, dy, dyT, xT, through, weights, dW, u, scaled;
  explicit BackwardRoom(const Sizes& s)
      : bT(s.N * kChunk), cT(s.N * kChunk), gram(kChunk * kChunk), dGram(kChunk * kChunk), dBT(s.N * kChunk), dCT(s.N * kChunk), dy(kChunk * s.P),
        dyT(s.P * kChunk), xT(s.P * kChunk), through(kChunk * W), weights(kChunk * kChunk), dW(kChunk * kChunk), u(s.N * kChunk), scaled(kChunk * s.N) {
    std::fill_n(weights.data(), kChunk * kChunk, 0.0f);
  }
};

struct Backward {
  const Sizes& s;
  const Inputs& in;
  const float *states, *dy;
  float *dx, *ddt, *dB, *dC;
  bool add;       // dx += what comes out
  bool nothing;  // the state before the first token is 0, as is the slope of that after the last
  double *dA, *dD;  // [B, H, chunks]; dD may be nullptr

  const float* StateOf(const Task& on, int64_t h, int64_t chunk) const { return states + ((on.b * s.H + h) * s.chunks + chunk) * s.State(); }

  bool First(const Chunk& at) const { return nothing && at.index == 0; }
  bool Last(const Chunk& at) const { return nothing && at.index + 1 == s.chunks; }

  // Slopes of the chunk's outputs into `dense` [tokens, P], since rows some powers of two apart share few places in the cache; the last ones may be
  // nobody's. On the way asks for what the next head needs.
  void Slopes(const Chunk& at, const Task& on, int64_t h, float* dense) const {
    const float *from = dy + at.Output(s, h), *x = in.x + at.Head(s, h), *to = dx + at.Head(s, h), *state = StateOf(on, h, at.index);
    const int64_t rows = at.Outputs(s), part = s.State() / kChunk;
    const bool more = h + 1 < on.h1;
    for (int64_t l = 0; l < rows; ++l) {
      const float* row = from + s.sign * l * s.H * s.P;
      if (more) {
        Soon(row + s.P, s.P);
        Soon(x + s.sign * l * s.xStep + s.P, s.P);
        SoonWritten(to + s.sign * l * s.xStep + s.P, s.P);
        Soon(state + s.chunks * s.State() + l * part, part);
      }
      for (int64_t j = 0; j < s.P; j += W) StoreUpTo(dense + l * s.P + j, LoadUpTo(row + j, s.P - j), s.P - j);
    }
    if (rows < at.tokens) std::fill_n(dense + rows * s.P, s.P, 0.0f);
  }

  // Adds to dST [N, P] (or writes it) what the outputs of the chunk say of the state that entered it.
  void Entering(const Chunk& at, const Decay& decay, BackwardRoom& room, bool to, float* dST) const {
    ScaleRows(at.tokens, s.N, decay.out, at.C, {room.scaled, s.N});
    Multiply(s.N, s.P, at.tokens, {room.scaled, 1, s.N}, {room.dy, s.P}, {dST, s.P}, to);
  }

  // From Gram and dW of one head: its weights, what goes to dGram, and by token what goes to dt directly and to da through pairs on both sides
  // of it. Columns a vector at a time and from the last token back, so that `passing` holds Σ_{l' >= l} dW W and its sum over s < l is that of l.
  void Pairs(int64_t tokens, const Decay& decay, float skip, BackwardRoom& t, float* direct, double* da) const {
    const Spread spread(decay, tokens);
    const F one(skip);
    for (int64_t j = 0; j < tokens; j += W) {
      const F step = Load(decay.dt + j);
      F passing(0.0f), sum(0.0f);
      for (int64_t own = (tokens - 1) / W * W; own > j; own -= W) {
        const F since = Load(spread.since[own / W] + j), fed = since * step;
        F slopes(0.0f);
        for (int64_t l = std::min(tokens, own + W) - 1; l >= own; --l) {
          const int64_t i = l * kChunk + j;
          const F factor(spread.within[l]), g = Load(t.gram + i), d = Load(t.dW + i), weight = factor * fed, slope = d * g * factor;
          Store(t.weights + i, g * weight);
          Store(t.dGram + i, Fma(d, weight, Load(t.dGram + i)));
          slopes += slope;
          passing = Fma(slope, fed, passing);
          Store(t.through + l * W, j > 0 ? Load(t.through + l * W) + passing : passing);
        }
        sum = Fma(slopes, since, sum);
      }
      for (int64_t l = std::min(tokens, j + W) - 1; l >= j; --l) {
        const int64_t i = l * kChunk + j;
        const F lam = spread.Own(l, j), at(static_cast<float>(l - j)), g = Load(t.gram + i), weight = lam * step;
        const F d = Select(Le(Iota(), at), Load(t.dW + i), F(0.0f)), slope = d * g * lam, w = g * weight;
        Store(t.weights + i, Select(Eq(Iota(), at), w + one, w));
        Store(t.dGram + i, Fma(d, weight, Load(t.dGram + i)));
        sum += slope;
        const Mask before = Lt(Iota(), at);
        passing += Select(before, slope * step, F(0.0f));
        const F through = Select(before, passing, F(0.0f));
        Store(t.through + l * W, j > 0 ? Load(t.through + l * W) + through : through);
      }
      Store(direct + j, sum);
    }
    for (int64_t l = 0; l < tokens; ++l) da[l] = Sum(Load(t.through + l * W));
  }

  // sums[l] = Σ_n maps[n][l] slopes[n][l], and to[n][l] += factor[l] slopes[n][l]; all [N, kChunk].
  void Gather(const float* slopes, const float* maps, const float* factor, float* to, float* sums) const {
    for (int64_t l = 0; l < kChunk; l += W) {
      const F by = Load(factor + l);
      F sum[2] = {F(0.0f), F(0.0f)};
      for (int64_t n = 0; n < s.N; ++n) {
        const int64_t i = n * kChunk + l;
        const F slope = Load(slopes + i);
        sum[n % 2] = Fma(slope, Load(maps + i), sum[n % 2]);
        Store(to + i, Fma(by, slope, Load(to + i)));
      }
      Store(sums + l, sum[0] + sum[1]);
    }
  }

  // One head of one chunk; its slopes stand in t.dy. dST [N, P]: gradient of the state leaving the chunk. Adds to dGram, dBT and dCT.
  void Head(const Chunk& at, const Task& on, int64_t h, const Decay& decay, const float* dST, BackwardRoom& t) const {
    const int64_t tokens = at.tokens;
    const float* stateT = StateOf(on, h, at.index);
    const Rows x{in.x + at.Head(s, h), s.sign * s.xStep};
    const Out dxs{dx + at.Head(s, h), x.ld};
    TurnTokens(tokens, s.P, x, t.xT);
    TurnTokens(tokens, s.P, {t.dy, s.P}, t.dyT);

    Multiply(tokens, tokens, s.P, {t.dy, s.P, 1}, {t.xT, kChunk}, {t.dW, kChunk}, false, [&](int64_t, int64_t i1) { return UpToDiagonal(s.P, i1); });
    double da[kChunk];
    float direct[kChunk], fedBy[kChunk], readBy[kChunk];
    Pairs(tokens, decay, in.D ? in.D[h] : 0.0f, t, direct, da);
    Multiply(tokens, s.P, tokens, {t.weights, 1, kChunk}, {t.dy, s.P}, dxs, add, [&](int64_t s0, int64_t) { return Span{s0, tokens, 0, s.P}; });

    // Into the state that leaves, and out of the state that entered.
    const bool leaves = !Last(at), entered = !First(at);
    if (leaves) {
      ScaleRows(tokens, s.N, decay.fed, at.B, {t.scaled, s.N});
      Multiply(tokens, s.P, s.N, {t.scaled, s.N, 1}, {dST, s.P}, dxs, true);
      Multiply(s.N, kChunk, s.P, {dST, s.P, 1}, {t.xT, kChunk}, {t.u, kChunk}, false);
      Gather(t.u, t.bT, decay.fed, t.dBT, fedBy);
    } else {
      std::fill_n(fedBy, kChunk, 0.0f);
    }
    if (entered) {
      Multiply(s.N, kChunk, s.P, {stateT, s.P, 1}, {t.dyT, kChunk}, {t.u, kChunk}, false);
      Gather(t.u, t.cT, decay.out, t.dCT, readBy);
    } else {
      std::fill_n(readBy, kChunk, 0.0f);
    }

    double fedBefore = leaves && entered ? static_cast<double>(decay.tot) * Dot(s.State(), dST, stateT) : 0.0, readAfter = 0, sumA = 0, sumD = 0;
    for (int64_t l = 0; l < tokens; ++l) {
      da[l] += fedBefore;
      direct[l] += decay.tail[l] * fedBy[l];
      fedBefore += static_cast<double>(decay.fed[l]) * fedBy[l];
      sumD += t.dW[l * kChunk + l];
    }
    for (int64_t l = tokens - 1; l >= 0; --l) {
      readAfter += static_cast<double>(decay.out[l]) * readBy[l];
      da[l] += readAfter;
      ddt[at.Step(s, h, l)] = static_cast<float>(direct[l] + in.A[h] * da[l]);
      sumA += decay.dt[l] * da[l];
    }
    const int64_t part = (on.b * s.H + h) * s.chunks + at.index;
    dA[part] = sumA;
    if (dD) dD[part] = sumD;
  }

  // All heads of a task in one chunk; dST(h): gradient of the state of head h that leaves it. `each` runs after every head. toB, toC [tokens, N]:
  // what the chunk says of its maps.
  template <class StateSlopes, class Each>
  void Heads(const Chunk& at, const Task& on, Out toB, Out toC, BackwardRoom& room, StateSlopes&& dST, Each&& each) const {
    Gram(s, at.tokens, at.B, at.C, room.bT, room.gram);
    TurnTokens(at.tokens, s.N, at.C, room.cT);
    std::fill_n(room.dGram.data(), kChunk * kChunk, 0.0f);
    std::fill_n(room.dBT.data(), s.N * kChunk, 0.0f);
    std::fill_n(room.dCT.data(), s.N * kChunk, 0.0f);
    for (int64_t h = on.h0; h < on.h1; ++h) {
      const Decay decay(s, in, at, h);
      Slopes(at, on, h, room.dy);
      Head(at, on, h, decay, dST(h), room);
      each(h, decay);
    }
    Turn(s.N, at.tokens, {room.dBT, kChunk}, toB);
    Turn(s.N, at.tokens, {room.dCT, kChunk}, toC);
    Multiply(at.tokens, s.N, at.tokens, {room.dGram, kChunk, 1}, at.B, toC, true, [&](int64_t, int64_t i1) { return Span{0, i1, 0, s.N}; });
    Multiply(at.tokens, s.N, at.tokens, {room.dGram, 1, kChunk}, at.C, toB, true, [&](int64_t s0, int64_t) { return Span{s0, at.tokens, 0, s.N}; });
  }

  // Where a chunk's share of dB or dC goes: into `whole`, or with slices, which add to the same, into its part of `own` [slices, B, T, G, N], to be
  // summed.
  Out MapsOf(const Chunk& at, const Task& on, float* whole, float* own) const {
    if (s.slices == 1) return {whole + at.Map(s, on), s.sign * s.mapStep};
    return {own + ((on.slice * s.B * s.T + at.first) * s.G + on.g) * s.N, s.sign * s.G * s.N};
  }
  // Floats of such an `own`.
  int64_t OwnMaps() const { return s.slices > 1 ? s.slices * s.B * s.T * s.G * s.N : 1; }

  // dB and dC = Σ over slices.
  void SumSlices(const float* ownB, const float* ownC) const {
    if (s.slices == 1) return;
    const int64_t rows = s.B * s.T, width = s.G * s.N;
    ParallelFor(rows, Grain(2 * s.slices * width), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r)
        for (const auto& [own, to] : {std::pair{ownB, dB}, std::pair{ownC, dC}})
          for (int64_t j = 0; j < width; j += W) {
            F sum(0.0f);
            for (int64_t slice = 0; slice < s.slices; ++slice) sum += LoadUpTo(own + (slice * rows + r) * width + j, width - j);
            StoreUpTo(to + r * s.mapStep + j, sum, width - j);
          }
    });
  }

  // The slope of the state after the last token, [N, P], from `dFinal` [P, N] or none.
  void Begin(const float* dFinal, float* dST) const {
    if (dFinal)
      Turn(s.P, s.N, {dFinal, s.N}, {dST, s.P});
    else
      std::fill_n(dST, s.State(), 0.0f);
  }

  // All chunks of a task from the last to the first. dST [heads of a task, N, P]: slopes of the state after the last token, at the end those of the
  // state before the first.
  void OneByOne(const Task& on, BackwardRoom& room, float* dST, float* ownB, float* ownC) const {
    const int64_t size = s.State();
    const auto of = [&](int64_t h) { return dST + (h - on.h0) * size; };
    for (int64_t chunk = s.chunks - 1; chunk >= 0; --chunk) {
      const Chunk at(s, in, on, chunk);
      Heads(at, on, MapsOf(at, on, dB, ownB), MapsOf(at, on, dC, ownC), room, of, [&](int64_t h, const Decay& decay) {
        if (First(at)) return;  // nobody asks for slopes of the state before
        if (!Last(at)) ScaleRows(1, size, &decay.tot, {of(h), 0}, {of(h), 0});
        Entering(at, decay, room, !Last(at), of(h));
      });
    }
  }

  // All chunks of all tasks, a segment at a time from the last.
  void SideBySide(const float* dFinal, float* dInitial) const {
    const int64_t size = s.State(), most = s.Segment();
    // Slopes of the states that leave each chunk of a segment; the one before them stands first.
    Scratch slopes(s.B * s.H * (most + 1) * size);
    int64_t from = s.chunks;
    for (int64_t past = s.chunks; past > 0; past = from) {
      from = std::max<int64_t>(0, (past - 1) / most * most);
      const int64_t count = past - from;
      const auto of = [&](int64_t row, int64_t chunk) { return slopes + (row * (most + 1) + chunk - from + 1) * size; };
      ParallelFor(s.B * s.H, Grain(size), [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row) {
          if (past == s.chunks)
            Begin(dFinal ? dFinal + row * size : nullptr, of(row, past - 1));
          else
            std::copy_n(of(row, from - 1), size, of(row, past - 1));  // what the segment behind has left
        }
      });
      ParallelFor(s.Tasks() * count, 1, [&](int64_t begin, int64_t end) {
        BackwardRoom room(s);
        for (int64_t i = begin; i < end; ++i) {
          const Task on(s, i / count);
          const Chunk at(s, in, on, from + i % count);
          for (int64_t h = on.h0; h < on.h1; ++h) {
            Slopes(at, on, h, room.dy);
            Entering(at, Decay(s, in, at, h), room, false, of(on.b * s.H + h, at.index - 1));
          }
        }
      });
      ParallelFor(s.Tasks(), 1, [&](int64_t begin, int64_t end) {
        for (int64_t task = begin; task < end; ++task) {
          const Task on(s, task);
          for (int64_t h = on.h0; h < on.h1; ++h) {
            const int64_t row = on.b * s.H + h;
            for (int64_t chunk = past - 1; chunk >= from; --chunk)
              Carry(size, Decay(s, in, Chunk(s, in, on, chunk), h).tot, of(row, chunk), of(row, chunk - 1), of(row, chunk - 1));
            if (from == 0 && dInitial) Turn(s.N, s.P, {of(row, -1), s.P}, {dInitial + row * size, s.N});
          }
        }
      });
      ParallelFor(s.Tasks() * count, 1, [&](int64_t begin, int64_t end) {
        BackwardRoom room(s);
        for (int64_t i = begin; i < end; ++i) {
          const Task on(s, i / count);
          const Chunk at(s, in, on, from + i % count);
          Heads(at, on, MapsOf(at, on, dB, nullptr), MapsOf(at, on, dC, nullptr), room,
                [&](int64_t h) { return of(on.b * s.H + h, at.index); }, [](int64_t, const Decay&) {});
        }
      });
    }
  }

  // dFinal, dInitial: [B, H, P, N], or nullptr where there is none and where nobody asks.
  void Run(const float* dFinal, float* dInitial) const {
    const int64_t size = s.State();
    if (s.SideBySide()) return SideBySide(dFinal, dInitial);
    Scratch ownB(OwnMaps()), ownC(OwnMaps());
    ParallelFor(s.Tasks(), 1, [&](int64_t begin, int64_t end) {
      Scratch dST((s.perGroup / s.slices + 1) * size);
      BackwardRoom room(s);
      for (int64_t task = begin; task < end; ++task) {
        const Task on(s, task);
        for (int64_t h = on.h0; h < on.h1; ++h) Begin(dFinal ? dFinal + (on.b * s.H + h) * size : nullptr, dST + (h - on.h0) * size);
        OneByOne(on, room, dST, ownB, ownC);
        for (int64_t h = on.h0; dInitial && h < on.h1; ++h) Turn(s.N, s.P, {dST + (h - on.h0) * size, s.P}, {dInitial + (on.b * s.H + h) * size, s.N});
      }
    });
    SumSlices(ownB, ownC);
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
