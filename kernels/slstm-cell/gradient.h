// The gradient of the scalar memory, from the last token back; cell.h tells what is computed.
//
// Some tokens at a time: their slopes are used while they lie in cache. What weights get is summed by tiles of rows and in one order, however the rows
// are shared out to threads.
#ifndef LAB_SLSTM_GRADIENT_H
#define LAB_SLSTM_GRADIENT_H

#include "cell.h"

namespace lab {
namespace slstm {

// Slopes of one token of one row, and what they carry to the one before: [d] each.
struct Slopes {
  int64_t d, number;
  const float *keep, *y, *dy;
  float *dh, *dmean, *dweight, *da;  // dweight: of ln n; da: [4 d]

  // The vector of channels at j, all of its lanes or `d - j`.
  template <bool Full>
  LAB_INLINE void At(int64_t j) const {
    const int64_t left = Full ? W : d - j;
    const auto read = [&](Kept which) { return LoadUpTo(keep + which * number + j, left); };
    const F past = read(kPast), move = read(kMove), output = read(kOutput);
    // exp(-|a|) of the sigmoid's argument: 1 - sigmoid is no difference by it.
    const F tail = ExpDown(Neg(Abs(output))), larger = F(1.0f) / (F(1.0f) + tail), smaller = tail * larger;
    const Mask closed = Lt(output, F(0.0f));
    const F g = LoadUpTo(dh + j, left) + LoadUpTo(dy + j, left), e = LoadUpTo(dweight + j, left);
    const F dr = Fma(g, Select(closed, smaller, larger), LoadUpTo(dmean + j, left)), back = dr * past, through = past * (e - dr * move);
    StoreUpTo(da + j, Fma(back, move, e * read(kShare)), left);
    StoreUpTo(da + d + j, through * read(kOpen), left);
    StoreUpTo(da + 2 * d + j, dr * read(kBent), left);
    StoreUpTo(da + 3 * d + j, g * LoadUpTo(y + j, left) * Select(closed, larger, smaller), left);
    StoreUpTo(dmean + j, back, left);
    StoreUpTo(dweight + j, through, left);
  }
  void All() const {
    int64_t j = 0;
    for (; j + W <= d; j += W) At<true>(j);
    if (j < d) At<false>(j);
  }
};

// The slopes of one task from the last token back. room(t0) is where those of the preactivations of the span from t0 on go, [rows, t1 - t0, 4 d], and
// take(t0, t1, da) gets them; soon: tensors [B, T, D] that it will read.
template <class Room, class Take>
void Backward(const Sizes& s, const Task& at, const float* r, const float* y, const Keeping<const float>& kept, const float* dy,
              std::initializer_list<const float*> soon, Room&& room, Take&& take) {
  // turned: R with channels in and out exchanged, [4 d, d]. The others between tokens [rows, d].
  Scratch turned(kGates * s.d * s.d), dh(kRows * s.d), dmean(kRows * s.d), dweight(kRows * s.d);
  for (int64_t g = 0; g < kGates; ++g) Transpose(s.d, s.d, {r + (g * s.H + at.h) * s.d * s.d, s.d}, {turned + g * s.d * s.d, s.d});
  for (float* carried : {dh.data(), dmean.data(), dweight.data()}) std::fill_n(carried, kRows * s.d, 0.0f);
  const int64_t wide = kGates * s.d;
  for (int64_t t0 = (s.T - 1) / kTokens * kTokens; t0 >= 0; t0 -= kTokens) {
    const int64_t t1 = std::min(s.T, t0 + kTokens);
    float* slopes = room(t0);
    for (int64_t t = t1 - 1; t >= t0; --t) {
      float* da = slopes + (t - t0) * wide;
      const int64_t apart = (t1 - t0) * wide;
      for (int64_t row = 0; row < at.rows; ++row) {
        if (t > 1) {
          Soon(dy + at.At(s, row, t - 2), s.d);
          for (int64_t which = 0; which < kKept; ++which) Soon(kept.At(s, at, row, t - 2) + which * kept.number, s.d);
        }
        for (const float* from : soon) Soon(from + at.At(s, row, t), s.d);
      }
      for (int64_t row = 0; row < at.rows; ++row) {
        const int64_t here = at.At(s, row, t), carried = row * s.d;
        Slopes{s.d, kept.number, kept.At(s, at, row, t), y + here, dy + here, dh + carried, dmean + carried, dweight + carried, da + row * apart}.All();
      }
      if (t > 0) Product(at.rows, s.d, wide, {da, apart, 1}, {turned, s.d}, {dh, s.d}, false);
    }
    take(t0, t1, slopes);
  }
}

// held [rows, t1 - t0, d] = the head's channels of `from` [B, T, D], `back` tokens before each; those of tokens before the first are left out.
inline void Hold(const Sizes& s, const Task& at, int64_t t0, int64_t t1, int64_t back, const float* from, float* held) {
  for (int64_t row = 0; row < at.rows; ++row)
    for (int64_t t = std::max(t0, back); t < t1; ++t) std::copy_n(from + at.At(s, row, t - back), s.d, held + (row * (t1 - t0) + t - t0) * s.d);
}

// to += the sum of `rows` rows of V vectors, `ld` apart; `last` lanes of the last vector count.
template <int V>
LAB_INLINE void AddRows(int64_t rows, const float* from, int64_t ld, int64_t last, float* to) {
  F sum[V];
  LAB_UNROLL for (int v = 0; v < V; ++v) sum[v] = LoadUpTo(to + v * W, v == V - 1 ? last : W);
  for (int64_t i = 0; i < rows; ++i, from += ld)
    LAB_UNROLL for (int v = 0; v < V; ++v) sum[v] += LoadUpTo(from + v * W, v == V - 1 ? last : W);
  LAB_UNROLL for (int v = 0; v < V; ++v) StoreUpTo(to + v * W, sum[v], v == V - 1 ? last : W);
}

// Gates g0 .. g1 - 1 of one head of a tile, whose slopes of weights are summed together.
struct Sums {
  int64_t g0, g1;
  int64_t Width(const Sizes& s) const { return (g1 - g0) * s.d; }
  // Zeros for these gates in sums [rows, 4 d].
  void Clear(const Sizes& s, int64_t rows, float* sums) const {
    for (int64_t i = 0; i < rows; ++i) std::fill_n(sums + (i * kGates + g0) * s.d, Width(s), 0.0f);
  }
};

// Adds a span's share of the slopes of R, dr [d, 4 d], and of the biases, db [4 d]; `held`: room for [kRows, kTokens, d].
inline void AddWeights(const Sizes& s, const Task& at, const Sums& of, int64_t t0, int64_t t1, const float* y, const float* da, float* held, float* dr,
                       float* db) {
  const int64_t wide = kGates * s.d, tokens = t1 - t0, width = of.Width(s);
  da += of.g0 * s.d, dr += of.g0 * s.d, db += of.g0 * s.d;
  Hold(s, at, t0, t1, 1, y, held);
  if (t0 > 0) {
    Multiply(s.d, width, at.rows * tokens, {held, 1, s.d}, {da, wide}, {dr, wide}, true);
  } else if (tokens > 1) {  // the first token has none before it
    for (int64_t row = 0; row < at.rows; ++row)
      Multiply(s.d, width, tokens - 1, {held + (row * tokens + 1) * s.d, 1, s.d}, {da + (row * tokens + 1) * wide, wide}, {dr, wide}, true);
  }
  int64_t j = 0;
  for (; j + 4 * W <= width; j += 4 * W) AddRows<4>(at.rows * tokens, da + j, wide, W, db + j);
  for (; j < width; j += W) AddRows<1>(at.rows * tokens, da + j, wide, width - j, db + j);
}

// The slopes of all tasks. take(at, t0, t1, da) gets those of the preactivations, task by task. begin(at, of) and then add(at, of, t0, t1, da, held), from
// the last span back, sum what weights get from a tile: in the task that runs it or, where tasks run parts of tiles, behind them all and gate by gate.
// `held`: room for [kRows, kTokens, d].
template <class Take, class Begin, class Add>
void AllBackward(const Sizes& s, const float* r, const float* y, const Keeping<const float>& kept, const float* dy, std::initializer_list<const float*> soon,
                 Take&& take, Begin&& begin, Add&& add) {
  const int64_t wide = kGates * s.d, held = kTokens * kRows * s.d;
  if (s.rows == kRows) {
    ParallelFor(s.Tasks(), 1, [&](int64_t first, int64_t past) {
      Scratch room(held), slopes(s.Span());
      for (int64_t task = first; task < past; ++task) {
        const Task at(s, task, kRows);
        const Sums all{0, kGates};
        begin(at, all);
        Backward(s, at, r, y, kept, dy, soon, [&](int64_t) { return slopes.data(); }, [&](int64_t t0, int64_t t1, const float* da) {
          add(at, all, t0, t1, da, room.data());
          take(at, t0, t1, da);
        });
      }
    });
    return;
  }
  // By tile and head, then span by span as the tile's rows would lie if one task ran them.
  Scratch whole(std::max<int64_t>(1, s.B * s.T * s.D * kGates));
  const auto spanOf = [&](const Task& at, int64_t t0) {
    const int64_t b0 = at.Tile() * kRows, rows = std::min(kRows, s.B - b0);
    return whole + (b0 * s.H + at.h * rows) * s.T * wide + rows * t0 * wide;
  };
  ParallelFor(s.Tasks(), 1, [&](int64_t first, int64_t past) {
    for (int64_t task = first; task < past; ++task) {
      const Task at(s, task, s.rows);
      const auto room = [&](int64_t t0) { return spanOf(at, t0) + at.b0 % kRows * (std::min(s.T, t0 + kTokens) - t0) * wide; };
      Backward(s, at, r, y, kept, dy, soon, room, [&](int64_t t0, int64_t t1, const float* da) { take(at, t0, t1, da); });
    }
  });
  ParallelFor(s.H * s.tiles * kGates, 1, [&](int64_t first, int64_t past) {
    Scratch room(held);
    for (int64_t task = first; task < past; ++task) {
      const Task at(s, task / kGates, kRows);
      const Sums of{task % kGates, task % kGates + 1};
      begin(at, of);
      for (int64_t t0 = (s.T - 1) / kTokens * kTokens; t0 >= 0; t0 -= kTokens) add(at, of, t0, std::min(s.T, t0 + kTokens), spanOf(at, t0), room.data());
    }
  });
}

// From each tile's slopes of R and biases by head, [H, d, 4 d] then [H, 4 d], `stride` apart, to dr [4, H, d, d] and db [4, D].
inline void SumWeights(const Sizes& s, const float* own, int64_t stride, float* dr, float* db) {
  const int64_t wide = kGates * s.d, biases = s.Weights();
  Scratch sums(std::max<int64_t>(1, biases + kGates * s.D));
  SumParts(own, s.tiles, stride, biases + kGates * s.D, sums);
  for (int64_t h = 0; h < s.H; ++h)
    for (int64_t g = 0; g < kGates; ++g) {
      for (int64_t i = 0; i < s.d; ++i) std::copy_n(sums + (h * s.d + i) * wide + g * s.d, s.d, dr + ((g * s.H + h) * s.d + i) * s.d);
      std::copy_n(sums + biases + h * wide + g * s.d, s.d, db + g * s.D + h * s.d);
    }
}

}  // namespace slstm
}  // namespace lab

#endif
