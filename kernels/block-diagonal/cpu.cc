// Linear maps of blocks of neighbouring channels. Blocks of 4 by 4, xLSTM's own, go through vectors that hold several blocks; others are products
// of strided matrices.
#include <algorithm>

#include "../core/lab.h"
#include "../core/rows.h"
#include "../core/tile.h"

namespace {

using namespace lab;

struct Sizes {
  int64_t rows, N, I, O;
  explicit Sizes(const Call& c) : rows(c.n[0]), N(c.n[1]), I(c.n[2]), O(c.n[3]) {}
  bool Fours() const { return I == 4 && O == 4; }
};

constexpr int kTogether = 4;  // rows that share the loads of weights

// Lane i of each four neighbours, in all four.
template <int i>
LAB_INLINE F Spread(F a) {
#if LAB_AVX512
  return _mm512_permute_ps(a.v, i * 0x55);
#elif LAB_AVX2
  return _mm256_permute_ps(a.v, i * 0x55);
#elif LAB_SSE2
  return _mm_shuffle_ps(a.v, a.v, i * 0x55);
#elif LAB_NEON
  return vdupq_laneq_f32(a.v, i);
#else
  static_assert(W % 4 == 0, "a vector holds whole blocks");
  float t[W];
  Store(t, a);
  for (int lane = 0; lane < W; ++lane)
    if (lane % 4 != i) t[lane] = t[lane / 4 * 4 + i];
  return Load(t);
#endif
}

// by [4, 4 N]: by[i][4 n + o] = w[n][i][o], or w[n][o][i] where `turned`.
void Spreading(int64_t N, const float* w, bool turned, float* by) {
  for (int64_t n = 0; n < N; ++n)
    for (int64_t i = 0; i < 4; ++i)
      for (int64_t o = 0; o < 4; ++o) by[i * 4 * N + 4 * n + o] = w[n * 16 + (turned ? o * 4 + i : i * 4 + o)];
}

// to = start + x spread over `by`, for rows r0 .. r0 + rows of C channels and the vector at j.
template <int rows>
LAB_INLINE void FoursAt(int64_t C, int64_t j, const float* x, const float* by, F start, float* to) {
  const int64_t left = C - j;
  const F b0 = LoadUpTo(by + j, left), b1 = LoadUpTo(by + C + j, left), b2 = LoadUpTo(by + 2 * C + j, left), b3 = LoadUpTo(by + 3 * C + j, left);
  for (int r = 0; r < rows; ++r) {
    const F a = LoadUpTo(x + r * C + j, left);
    StoreUpTo(to + r * C + j, Fma(Spread<3>(a), b3, Fma(Spread<2>(a), b2, Fma(Spread<1>(a), b1, Fma(Spread<0>(a), b0, start)))), left);
  }
}

void Fours(int64_t rows, int64_t C, const float* x, const float* by, const float* bias, float* to) {
  int64_t r = 0;
  for (; r + kTogether <= rows; r += kTogether)
    for (int64_t j = 0; j < C; j += W) FoursAt<kTogether>(C, j, x + r * C, by, bias ? LoadUpTo(bias + j, C - j) : F(0.0f), to + r * C);
  for (; r < rows; ++r)
    for (int64_t j = 0; j < C; j += W) FoursAt<1>(C, j, x + r * C, by, bias ? LoadUpTo(bias + j, C - j) : F(0.0f), to + r * C);
}

// sums [5, C]: x spread times dy over the rows, then the sum of dy.
template <int rows>
LAB_INLINE void SumFoursAt(int64_t C, int64_t j, const float* x, const float* dy, float* sums) {
  const int64_t left = C - j;
  F s[5];
  LAB_UNROLL for (int i = 0; i < 5; ++i) s[i] = LoadUpTo(sums + i * C + j, left);
  for (int r = 0; r < rows; ++r) {
    const F a = LoadUpTo(x + r * C + j, left), g = LoadUpTo(dy + r * C + j, left);
    s[0] = Fma(Spread<0>(a), g, s[0]);
    s[1] = Fma(Spread<1>(a), g, s[1]);
    s[2] = Fma(Spread<2>(a), g, s[2]);
    s[3] = Fma(Spread<3>(a), g, s[3]);
    s[4] += g;
  }
  LAB_UNROLL for (int i = 0; i < 5; ++i) StoreUpTo(sums + i * C + j, s[i], left);
}

void BlockDiagonal(const Call& c) {
  const Sizes s(c);
  const float *x = c.In<float>(0), *w = c.In<float>(1), *bias = c.In<float>(2);
  float* y = c.Out<float>(0);
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
    float* dbias = sums + weights;
    for (int64_t r = begin; r < end; ++r)
      for (int64_t j = 0; j < to; j += W) StoreUpTo(dbias + j, LoadUpTo(dbias + j, to - j) + LoadUpTo(dy + r * to + j, to - j), to - j);
  });
  float* dw = c.Out<float>(1);
  if (s.Fours()) {
    Scratch spread(weights);
    SumParts(partial, parts.count, width, weights, spread);
    for (int64_t i = 0; i < 4; ++i)
      for (int64_t j = 0; j < to; ++j) dw[(j / 4 * 4 + i) * 4 + j % 4] = spread[i * to + j];
  } else {
    SumParts(partial, parts.count, width, weights, dw);
  }
  SumParts(partial + weights, parts.count, width, to, c.Out<float>(2));
}

}  // namespace

LAB_KERNEL("BlockDiagonal", BlockDiagonal);
LAB_KERNEL("BlockDiagonalGrad", BlockDiagonalGrad);
