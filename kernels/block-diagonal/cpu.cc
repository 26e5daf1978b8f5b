// Linear maps of blocks of neighbouring channels. Blocks of 4 by 4, xLSTM's own, go through vectors that hold several blocks; others are products
// of strided matrices, of wide blocks packed ones.
#include <algorithm>

#include "../core/lab.h"
#include "../core/rows.h"
#include "../core/tile.h"
#include "fours.h"
#include "wide.h"

namespace {

using namespace lab;

struct Sizes : BlockSizes {
  explicit Sizes(const Call& c) : BlockSizes{c.n[0], c.n[1], c.n[2], c.n[3]} {}
  bool Fours() const { return I == 4 && O == 4; }
};

void BlockDiagonal(const Call& c) {
  const Sizes s(c);
  const float *x = c.In<float>(0), *w = c.In<float>(1), *bias = c.In<float>(2);
  float* y = c.Out<float>(0);
  if (s.Wide()) return WideForward(s, x, w, bias, y);
  const int64_t from = s.N * s.I, to = s.N * s.O;
  Scratch by(s.Fours() ? 4 * to : 1);
  if (s.Fours()) Spreading(s.N, w, false, by);
  // A product reads its whole matrix for each part, which must therefore have rows enough.
  const int64_t grain = s.Fours() ? Grain(from * 4) : std::max<int64_t>(64, Grain(from * s.O / 4));
  ParallelFor(s.rows, grain, [&](int64_t begin, int64_t end) {
    if (s.Fours()) {
      Fours(end - begin, to, x + begin * from, by, bias, y + begin * to);
      return;
    }
    for (int64_t n = 0; n < s.N; ++n)
      Product(end - begin, s.O, s.I, {x + begin * from + n * s.I, from, 1}, {w + n * s.I * s.O, s.O}, {y + begin * to + n * s.O, to}, false);
    if (!bias) return;
    for (int64_t r = begin; r < end; ++r)
      for (int64_t j = 0; j < to; j += W) StoreUpTo(y + r * to + j, LoadUpTo(y + r * to + j, to - j) + LoadUpTo(bias + j, to - j), to - j);
  });
}

void BlockDiagonalGrad(const Call& c) {
  const Sizes s(c);
  const float *x = c.In<float>(0), *w = c.In<float>(1), *dy = c.In<float>(2);
  float* dx = c.Out<float>(0);
  const int64_t from = s.N * s.I, to = s.N * s.O, weights = s.N * s.I * s.O;
  const auto addRows = [&](int64_t begin, int64_t end, float* dbias) {
    for (int64_t r = begin; r < end; ++r)
      for (int64_t j = 0; j < to; j += W) StoreUpTo(dbias + j, LoadUpTo(dbias + j, to - j) + LoadUpTo(dy + r * to + j, to - j), to - j);
  };
  if (s.Wide()) {
    WideBackward(s, x, w, dy, dx, c.Out<float>(1));
    const Parts parts(s.rows, Grain(to));
    Scratch partial(parts.count * to);
    ParallelFor(s.rows, parts.grain, [&](int64_t begin, int64_t end) {
      float* sums = partial + begin / parts.grain * to;
      std::fill_n(sums, to, 0.0f);
      addRows(begin, end, sums);
    });
    return SumParts(partial, parts.count, to, to, c.Out<float>(2));
  }
  const Parts parts(s.rows, std::max<int64_t>(32, 4 * s.O));  // rows enough that summing the parts' weights costs little
  const int64_t width = weights + to;  // of a part: dw, then dbias
  Scratch turned(std::max<int64_t>(weights, 1)), partial(std::max<int64_t>(parts.count, 1) * width);
  if (s.Fours())
    Spreading(s.N, w, true, turned);
  else
    for (int64_t n = 0; n < s.N; ++n) Transpose(s.I, s.O, {w + n * s.I * s.O, s.O}, {turned + n * s.I * s.O, s.I});
  ParallelFor(s.rows, parts.grain, [&](int64_t begin, int64_t end) {
    float* sums = partial + begin / parts.grain * width;
    std::fill_n(sums, width, 0.0f);
    if (s.Fours()) {
      Fours(end - begin, from, dy + begin * to, turned, nullptr, dx + begin * from);
      int64_t r = begin;
      for (; r + kTogether <= end; r += kTogether)
        for (int64_t j = 0; j < to; j += W) SumFoursAt<kTogether>(to, j, x + r * from, dy + r * to, sums);
      for (; r < end; ++r)
        for (int64_t j = 0; j < to; j += W) SumFoursAt<1>(to, j, x + r * from, dy + r * to, sums);
      return;
    }
    for (int64_t n = 0; n < s.N; ++n) {
      Product(end - begin, s.I, s.O, {dy + begin * to + n * s.O, to, 1}, {turned + n * s.I * s.O, s.I}, {dx + begin * from + n * s.I, from}, false);
      Product(s.I, s.O, end - begin, {x + begin * from + n * s.I, 1, from}, {dy + begin * to + n * s.O, to}, {sums + n * s.I * s.O, s.O}, false);
    }
    addRows(begin, end, sums + weights);
  });
  float* dw = c.Out<float>(1);
  if (s.Fours()) {
    Scratch spread(weights);
    SumParts(partial, parts.count, width, weights, spread);
    UnSpread(s.N, spread, dw);
  } else {
    SumParts(partial, parts.count, width, weights, dw);
  }
  SumParts(partial + weights, parts.count, width, to, c.Out<float>(2));
}

}  // namespace

LAB_KERNEL("BlockDiagonal", BlockDiagonal);
LAB_KERNEL("BlockDiagonalGrad", BlockDiagonalGrad);
