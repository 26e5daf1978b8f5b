// The gradient of the matrix memory; cell.h tells what is computed.
#ifndef LAB_MLSTM_BACKWARD_H
#define LAB_MLSTM_BACKWARD_H

#include "../core/soon.h"
#include "cell.h"

namespace lab {
namespace mlstm {

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
    // turned: [d, max(d, kChunk)]. S, D, A: [kChunk, kChunk]; D stays zero past the vector of its diagonal. scaled, reach, pull: [kChunk, d].
    Scratch turned, S, D, A, scaled, reach, pull;
    explicit Room(const Sizes& s)
        : turned(s.d * std::max(s.d, kChunk)), S(kChunk * kChunk), D(kChunk * kChunk), A(kChunk * kChunk), scaled(kChunk * s.d), reach(kChunk * s.d),
          pull(kChunk * s.d) {
      std::fill_n(D.data(), kChunk * kChunk, 0.0f);
    }
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
    float share[kChunk], dn[kChunk];  // dn: N of the memory's r
    const Spread spread(gates, tokens);
    if (past) {  // reach[t] = (C0 - n0 rᵀ) dy[t]
      Turn(s.d, s.d, {memory, s.d}, {room.turned, s.d});
      Multiply(tokens, s.d, s.d, {slopes.p, slopes.ld, 1}, {room.turned, s.d}, {room.reach, s.d}, false);
    }
    TurnTokens(tokens, s.d, c.k, room.turned);
    Pairs(tokens, s.d, c.q, room.turned, room.S);
    TurnTokens(tokens, s.d, c.v, room.turned);
    Pairs(tokens, s.d, slopes, room.turned, room.A);

    const int64_t lines = (s.Memory() + kChunk - 1) / kChunk;
    double later[kChunk] = {};  // of b[t] alone, through eps
    for (int64_t t = 0; t < kChunk; ++t) to.dlog[t] = to.dfade[t] = 0;
    to.entered = to.kept = 0;
    float direct[kChunk] = {}, passing[kChunk] = {};
    for (int64_t t = tokens - 1; t >= 0; --t) {
      const int64_t at = c.at + t * s.ld;
      for (float* slope : {dq, dk, dv}) SoonWritten(slope + at, s.d);
      if (past && !s.SideBySide()) {  // of the chunk that comes next, the one before this
        for (const float* from : {in.q, in.k, in.v, dy}) Soon(from + at - kChunk * s.ld, s.d);
        if (c.index > 1) Soon(memory - s.Memory() + t * lines, lines);
      }
      float *S = room.S + t * kChunk, *D = room.D + t * kChunk, *A = room.A + t * kChunk;
      const int64_t filled = (t / W + 1) * W;
      Ruler rules;
      spread.Row(t, [&](int64_t j, F weight) {
        const F now = weight * Load(S + j) * F(s.scale);
        Store(S + j, now);
        Store(D + j, weight);
        rules.See(j, now);
      });
      const double size = sizes[s.Gate(c.row, c.index * kChunk + t)], floor = gates.floor[t];
      const double unit = 1.0 / (std::max(std::fabs(size), floor) + s.eps);
      const bool outweighs = std::fabs(size) > floor;
      float largest;
      const int64_t ruler = rules.Find(t, &largest);
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
      std::fill(S + filled, S + kChunk, 0.0f);
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
    Turn(s.d, s.d, {dMemory, s.d}, {room.turned, s.d});
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

  void Write(const Chunk& c, const Gates& gates, const Slopes& from) const {
    for (int64_t t = 0; t < c.tokens; ++t) {
      const int64_t at = s.Gate(c.row, c.index * kChunk + t);
      di[at] = static_cast<float>(from.dlog[t]);
      df[at] = static_cast<float>(from.dfade[t] * gates.slope[t]);
    }
  }

  void Run() const {
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
            const Gates gates = GatesOf(row, index);
            Inside(at, gates, room, slopes, own);
            if (index + 1 < s.chunks) {
              if (index > 0) Carry(at, gates, dm, dMemory, slopes, own);
              Through(at, gates, room, slopes, dm, dMemory);
            }
            dm = slopes.entered;
            std::swap(own, dMemory);
            Write(at, gates, slopes);
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
        Inside(Chunk(s, in, row, index), GatesOf(row, index), room, all[task], held + task * slope);
      }
    });
    ParallelFor(s.rows, 1, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row)
        for (int64_t index = s.chunks - 2; index > 0; --index) {  // nothing asks for the slopes of the empty memory
          const int64_t task = row * s.chunks + index;
          Carry(Chunk(s, in, row, index), GatesOf(row, index), all[task + 1].entered, held + (task + 1) * slope, all[task], held + task * slope);
        }
    });
    ParallelFor(s.rows * s.chunks, 1, [&](int64_t begin, int64_t end) {
      Backward::Room room(s);
      for (int64_t task = begin; task < end; ++task) {
        const int64_t row = task / s.chunks, index = task % s.chunks;
        const Chunk at(s, in, row, index);
        const Gates gates = GatesOf(row, index);
      if (index + 1 < s.chunks) Through(at, gates, room, all[task], all[task + 1].entered, held + (task + 1) * slope);
        Write(at, gates, all[task]);
      }
    });
  }
};

}  // namespace mlstm
}  // namespace lab

#endif
