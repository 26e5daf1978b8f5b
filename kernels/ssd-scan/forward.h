// The forward pass of the state-space-dual scan; scan.h tells what is computed.
#ifndef LAB_SSD_FORWARD_H
#define LAB_SSD_FORWARD_H

#include "scan.h"

namespace lab {
namespace ssd {

// What one thread needs for chunks of the forward pass. `weights` stays zero past the vector of its diagonal.
struct ForwardRoom {
  Scratch bT, gram, weights, scaledC, scaledX;
  explicit ForwardRoom(const Sizes& s)
      : bT(s.N * kChunk), gram(kChunk * kChunk), weights(kChunk * kChunk), scaledC(kChunk * s.N), scaledX(kChunk * s.P) {
    std::fill_n(weights.data(), kChunk * kChunk, 0.0f);
  }
};

// What the next head of a task needs, asked for in eighths between products so that it comes while they run: rows of x and of y, `xStep` and `yStep`
// floats apart. Nothing without rows.
struct Upcoming {
  int64_t rows, width;
  const float *x, *y;
  int64_t xStep, yStep;
  void Ask(int64_t eighth) const {
    for (int64_t r = rows * eighth / 8; r < rows * (eighth + 1) / 8; ++r) {
      Soon(x + r * xStep, width);
      SoonWritten(y + r * yStep, width);
    }
  }
};

struct Forward {
  const Sizes& s;
  const Inputs& in;
  float *y, *states;
  bool add;         // y += what comes out
  bool fromNothing;  // the state before the first token is 0

  float* StateOf(const Task& on, int64_t h, int64_t chunk) const { return states + ((on.b * s.H + h) * s.chunks + chunk) * s.State(); }

  bool Nothing(const Chunk& at) const { return fromNothing && at.index == 0; }

  // Head h of a chunk, to come next; from h1 on head h0 of the chunk behind it.
  Upcoming Next(const Chunk& at, const Task& on, int64_t h) const {
    if (h >= on.h1) return at.index + 1 < s.chunks ? Next(Chunk(s, in, on, at.index + 1), on, on.h0) : Upcoming{};
    return {at.Outputs(s), s.P, in.x + at.Head(s, h), y + at.Output(s, h), s.sign * s.xStep, s.sign * s.H * s.P};
  }

  // W of one head, its skip included.
  void Weights(int64_t rows, int64_t h, const Decay& decay, const float* gram, float* weights) const {
    const Spread spread(decay, rows);
    const F skip(in.D ? in.D[h] : 0.0f);
    float since[kChunk];
    for (int64_t own = 0; own < rows; own += W) {
      for (int64_t j = 0; j < own; j += W) Store(since + j, Load(spread.since[own / W] + j) * Load(decay.dt + j));
      const F step = Load(decay.dt + own);
      for (int64_t l = own; l < std::min(rows, own + W); ++l) {
        const F factor(spread.within[l]);
        const float* g = gram + l * kChunk;
        float* w = weights + l * kChunk;
        for (int64_t j = 0; j < own; j += W) Store(w + j, factor * Load(since + j) * Load(g + j));
        // The skip is one more weight on the token itself.
        const F last = spread.Own(l, own) * step * Load(g + own);
        Store(w + own, Select(Eq(Iota(), F(static_cast<float>(l - own))), last + skip, last));
      }
    }
  }

  // y of one head, from the state that entered.
  void Outputs(const Chunk& at, const Task& on, int64_t h, const Decay& decay, ForwardRoom& room) const {
    const int64_t rows = at.Outputs(s);
    const Rows x{in.x + at.Head(s, h), s.sign * s.xStep};
    const Out ys{y + at.Output(s, h), s.sign * s.H * s.P};
    const Upcoming next = Next(at, on, h + 1);
    for (int64_t part : {0, 1}) next.Ask(part);
    Weights(rows, h, decay, room.gram, room.weights);
    for (int64_t part : {2, 3}) next.Ask(part);
    Multiply(rows, s.P, rows, {room.weights, kChunk, 1}, x, ys, add, [&](int64_t, int64_t i1) { return Span{0, i1, 0, s.P}; });
    for (int64_t part : {4, 5}) next.Ask(part);
    if (!Nothing(at)) ScaleRows(rows, s.N, decay.out, at.C, {room.scaledC, s.N});
    for (int64_t part : {6, 7}) next.Ask(part);
    if (!Nothing(at)) Multiply(rows, s.P, s.N, {room.scaledC, s.N, 1}, {StateOf(on, h, at.index), s.P}, ys, true);
  }

  // What the chunk adds to the state of one head, into `state` [N, P] (+= with `to`).
  void Adds(const Chunk& at, int64_t h, const Decay& decay, ForwardRoom& room, bool to, float* state) const {
    ScaleRows(at.tokens, s.P, decay.fed, {in.x + at.Head(s, h), s.sign * s.xStep}, {room.scaledX, s.P});
    Multiply(s.N, s.P, at.tokens, {at.B.p, 1, at.B.ld}, {room.scaledX, s.P}, {state, s.P}, to);
  }

  // The state that enters the first chunk of a row (batch, head), from `initial` [P, N] or none.
  void Begin(int64_t row, const float* initial, float* first) const {
    if (initial)
      Turn(s.P, s.N, {initial, s.N}, {first, s.P});
    else
      std::fill_n(first, s.State(), 0.0f);
    if (!s.late || add || s.chunks == 0) return;
    std::fill_n(y + ((row / s.H * s.T + (s.backwards ? s.T - 1 : 0)) * s.H + row % s.H) * s.P, s.P, 0.0f);  // nothing was before the first token
  }

  // All chunks of a task, one after the other; last(h): where the state goes that leaves the last one, or nullptr.
  template <class Last>
  void OneByOne(const Task& on, ForwardRoom& room, Last&& last) const {
    const int64_t size = s.State();
    for (int64_t chunk = 0; chunk < s.chunks; ++chunk) {
      const Chunk at(s, in, on, chunk);
      Gram(s, at.tokens, at.B, at.C, room.bT, room.gram);
      for (int64_t h = on.h0; h < on.h1; ++h) {
        const Decay decay(s, in, at, h);
        Outputs(at, on, h, decay, room);
        float* next = chunk + 1 < s.chunks ? StateOf(on, h, chunk + 1) : last(h);
        if (!next) continue;
        if (!Nothing(at)) ScaleRows(1, size, &decay.tot, {StateOf(on, h, chunk), 0}, {next, 0});
        Adds(at, h, decay, room, !Nothing(at), next);
      }
    }
  }

  // All chunks of all tasks, a segment at a time.
  template <class Last>
  void SideBySide(Last&& last) const {
    for (int64_t from = 0; from < s.chunks; from += s.Segment()) {
      const int64_t count = std::min(s.Segment(), s.chunks - from);
      const auto after = [&](const Task& on, int64_t h, int64_t chunk) {
        return chunk + 1 < s.chunks ? StateOf(on, h, chunk + 1) : last(on.b * s.H + h);
      };
      ParallelFor(s.Tasks() * count, 1, [&](int64_t begin, int64_t end) {
        ForwardRoom room(s);
        for (int64_t i = begin; i < end; ++i) {
          const Task on(s, i / count);
          const Chunk at(s, in, on, from + i % count);
          for (int64_t h = on.h0; h < on.h1; ++h)
            if (float* next = after(on, h, at.index)) Adds(at, h, Decay(s, in, at, h), room, false, next);
        }
      });
      ParallelFor(s.Tasks(), 1, [&](int64_t begin, int64_t end) {
        for (int64_t task = begin; task < end; ++task) {
          const Task on(s, task);
          for (int64_t h = on.h0; h < on.h1; ++h)
            for (int64_t chunk = from; chunk < from + count; ++chunk)
              if (float* next = after(on, h, chunk)) Carry(s.State(), Decay(s, in, Chunk(s, in, on, chunk), h).tot, StateOf(on, h, chunk), next, next);
        }
      });
      ParallelFor(s.Tasks() * count, 1, [&](int64_t begin, int64_t end) {
        ForwardRoom room(s);
        for (int64_t i = begin; i < end; ++i) {
          const Task on(s, i / count);
          const Chunk at(s, in, on, from + i % count);
          Gram(s, at.tokens, at.B, at.C, room.bT, room.gram);
          for (int64_t h = on.h0; h < on.h1; ++h) Outputs(at, on, h, Decay(s, in, at, h), room);
        }
      });
    }
  }

  // initial: [B, H, P, N] or nullptr; final: alike, or nullptr where nobody asks.
  void Run(const float* initial, float* final) const {
    const int64_t size = s.State();
    Scratch last(final ? s.B * s.H * size : 1);
    ParallelFor(s.B * s.H, Grain(size), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row)
        if (s.chunks > 0 || final) Begin(row, initial ? initial + row * size : nullptr, s.chunks > 0 ? states + row * s.chunks * size : last + row * size);
    });
    const auto leaves = [&](int64_t row) { return final ? last + row * size : nullptr; };
    if (s.SideBySide()) {
      SideBySide(leaves);
    } else {
      ParallelFor(s.Tasks(), 1, [&](int64_t begin, int64_t end) {
        ForwardRoom room(s);
        for (int64_t task = begin; task < end; ++task) {
          const Task on(s, task);
          OneByOne(on, room, [&](int64_t h) { return leaves(on.b * s.H + h); });
        }
      });
    }
    if (!final) return;
    ParallelFor(s.B * s.H, Grain(size), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) Turn(s.N, s.P, {last + row * size, s.P}, {final + row * size, s.N});
    });
  }
};

}  // namespace ssd
}  // namespace lab

#endif
