// Blends of each token with the one before it: x and the tokens' slopes are read once for all blends. Forward and gradient.
#include <algorithm>

#include "../core/lab.h"
#include "../core/rows.h"
#include "../core/tile.h"

namespace {

using namespace lab;

struct Sizes {
  int64_t B, T, D;
  bool current;  // shares weigh the current token
  explicit Sizes(const Call& c) : B(c.n[0]), T(c.n[1]), D(c.n[2]), current(c.n[4] != 0) {}
};

struct Inputs {
  const float *x, *before;
  explicit Inputs(const Call& c) : x(c.In<float>(0)), before(c.In<float>(1)) {}
  // Row `row` of [B T]: the token before it, or nullptr for zeros.
  const float* Past(const Sizes& s, int64_t row) const {
    if (row % s.T != 0) return x + (row - 1) * s.D;
    return before ? before + row / s.T * s.D : nullptr;
  }
};

LAB_INLINE F LoadOrZero(const float* p, int64_t j, int64_t left) { return p ? LoadUpTo(p + j, left) : F(0.0f); }

template <int N>
void TokenMix(const Call& c) {
  const Sizes s(c);
  const Inputs in(c);
  const float* w[N];
  Room y[N];
  for (int i = 0; i < N; ++i) w[i] = c.In<float>(2 + i), y[i] = c.Result(i);
  ParallelFor(s.B * s.T, Grain((N + 1) * s.D), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float *now = in.x + row * s.D, *past = in.Past(s, row);
      for (int64_t j = 0; j < s.D; j += W) {
        const int64_t left = s.D - j;
        const F a = LoadUpTo(now + j, left), b = LoadOrZero(past, j, left);
        const F from = s.current ? b : a, way = s.current ? a - b : b - a;
        LAB_UNROLL for (int i = 0; i < N; ++i) y[i].Put(row * s.D + j, Fma(way, LoadUpTo(w[i] + j, left), from), left);
      }
    }
  });
}

// With sum = Σ dy_i and moved = Σ dy_i w_i of a token, where shares weigh the one before: dx[t] = sum[t] - moved[t] + moved[t + 1]. Where they weigh
// the current one: dx[t] = moved[t] + sum[t + 1] - moved[t + 1].
template <int N>
void TokenMixGrad(const Call& c) {
  const Sizes s(c);
  const Inputs in(c);
  const float *w[N], *dy[N];
  for (int i = 0; i < N; ++i) w[i] = c.In<float>(2 + i), dy[i] = c.In<float>(2 + N + i);
  float* dx = c.Out<float>(0);
  const int64_t rows = s.B * s.T;
  const Parts parts(rows, Grain((N + 1) * s.D));
  Scratch partial(std::max<int64_t>(parts.count, 1) * N * s.D);
  ParallelFor(rows, parts.grain, [&](int64_t begin, int64_t end) {
    float* sums = partial + begin / parts.grain * N * s.D;
    std::fill_n(sums, N * s.D, 0.0f);
    Scratch carried(s.D);  // what stays with the token before
    for (int64_t row = begin; row <= end; ++row) {
      // Whether the token before this one is this part's and waits for its slopes, and whether it is of the same sequence.
      const bool waits = row > begin, follows = row % s.T != 0;
      if (row == end && !follows) {
        std::copy_n(carried.data(), s.D, dx + (row - 1) * s.D);
        break;
      }
      const float *now = in.x + row * s.D, *past = in.Past(s, row);
      for (int64_t j = 0; j < s.D; j += W) {
        const int64_t left = s.D - j;
        F slopes[N], sum(0.0f), moved(0.0f);
        LAB_UNROLL for (int i = 0; i < N; ++i) {
          slopes[i] = LoadUpTo(dy[i] + row * s.D + j, left);
          sum += slopes[i];
          moved = Fma(slopes[i], LoadUpTo(w[i] + j, left), moved);
        }
        const F stays = s.current ? moved : sum - moved, goes = s.current ? sum - moved : moved;
        if (waits) StoreUpTo(dx + (row - 1) * s.D + j, follows ? LoadUpTo(carried + j, left) + goes : LoadUpTo(carried + j, left), left);
        if (row == end) continue;  // the next part's
        StoreUpTo(carried + j, stays, left);
        const F a = LoadUpTo(now + j, left), b = LoadOrZero(past, j, left), way = s.current ? a - b : b - a;
        LAB_UNROLL for (int i = 0; i < N; ++i) {
          float* to = sums + i * s.D + j;
          StoreUpTo(to, Fma(slopes[i], way, LoadUpTo(to, left)), left);
        }
      }
    }
  });
  for (int i = 0; i < N; ++i) SumParts(partial + i * s.D, parts.count, N * s.D, s.D, c.Out<float>(1 + i));
}

// May be halves: the blends.
uint64_t Halved(const Call& c) { return c.OutBits(0, c.outputs); }

}  // namespace

LAB_KERNEL("TokenMix1", TokenMix<1>, Halved);
LAB_KERNEL("TokenMix2", TokenMix<2>, Halved);
LAB_KERNEL("TokenMix3", TokenMix<3>, Halved);
LAB_KERNEL("TokenMix4", TokenMix<4>, Halved);
LAB_KERNEL("TokenMix5", TokenMix<5>, Halved);
LAB_KERNEL("TokenMix6", TokenMix<6>, Halved);
LAB_KERNEL("TokenMix1Grad", TokenMixGrad<1>);
LAB_KERNEL("TokenMix2Grad", TokenMixGrad<2>);
LAB_KERNEL("TokenMix3Grad", TokenMixGrad<3>);
LAB_KERNEL("TokenMix4Grad", TokenMixGrad<4>);
LAB_KERNEL("TokenMix5Grad", TokenMixGrad<5>);
LAB_KERNEL("TokenMix6Grad", TokenMixGrad<6>);
