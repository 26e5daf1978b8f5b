// Depthwise convolution over time, causal or looking ahead, SiLU after it where wanted. Channels lie in the vector; the gradient rebuilds what SiLU saw.
#include <algorithm>

#include "../core/lab.h"
#include "../core/rows.h"
#include "../core/soon.h"

namespace {

using namespace lab;

struct Sizes {
  int64_t B, T, C, K;
  bool silu;
  int64_t ahead;
  explicit Sizes(const Call& c) : B(c.n[0]), T(c.n[1]), C(c.n[2]), K(c.n[3]), silu(c.n[4] != 0), ahead(c.n[5]) {}
  // Tap k of token t meets token t + k - Before(), which may lie outside of the sequence.
  int64_t Before() const { return K - 1 - ahead; }
};

constexpr int64_t kRows = 64;  // tokens of a block in the gradient
constexpr int64_t kAhead = 2;  // vectors of channels that the gradient asks for ahead
constexpr int kMostTaps = 16;  // as kernel.ts allows

// Σ_k weight[k] · x[t + k - Before] + bias for the vector of channels at j; x points at token 0 of the sequence.
LAB_INLINE F At(const Sizes& s, const float* x, const float* weight, const float* bias, int64_t t, int64_t j, int64_t left) {
  F sum = bias ? LoadUpTo(bias + j, left) : F(0.0f);
  for (int64_t k = std::max<int64_t>(0, s.Before() - t); k < std::min(s.K, s.T + s.Before() - t); ++k)
    sum = Fma(LoadUpTo(weight + k * s.C + j, left), LoadUpTo(x + (t + k - s.Before()) * s.C + j, left), sum);
  return sum;
}

// One token, all channels; K taps where the number is known at compile time and all lie within the sequence, else s.K of them.
template <int K>
void Row(const Sizes& s, const float* x, const float* weight, const float* bias, int64_t t, float* y) {
  for (int64_t j = 0; j < s.C; j += W) {
    const int64_t left = s.C - j;
    F u;
    if (K > 0 && left >= W) {
      u = bias ? Load(bias + j) : F(0.0f);
      LAB_UNROLL for (int k = 0; k < K; ++k) u = Fma(Load(weight + k * s.C + j), Load(x + (t + k - s.Before()) * s.C + j), u);
    } else {
      u = At(s, x, weight, bias, t, j, left);
    }
    StoreUpTo(y + j, s.silu ? Silu(u) : u, left);
  }
}

// x [B, T, C], weight [K, C], bias [C] to y [B, T, C].
void CausalConv(const Call& c) {
  const Sizes s(c);
  const float *x = c.In<float>(0), *weight = c.In<float>(1), *bias = c.In<float>(2);
  float* y = c.Out<float>(0);
  const auto row = s.K == 7 ? Row<7> : s.K == 4 ? Row<4> : s.K == 3 ? Row<3> : s.K == 2 ? Row<2> : Row<0>;
  ParallelFor(s.B * s.T, Grain(s.C * s.K), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t t = r % s.T;
      (t < s.Before() || t + s.ahead >= s.T ? Row<0> : row)(s, x + (r - t) * s.C, weight, bias, t, y + r * s.C);
    }
  });
}

// One block of tokens t0 .. t1-1 of one sequence and one vector of channels at j: dx, and sums of dweight [K, C] and dbias [C] in `sums`. It rebuilds
// du for the tokens that its dx needs, from `ahead` before t0 on. x, dy, dx: rows of the sequence. `held`: room for kRows + 2 (K - 1) rows of x,
// gathered once since rows lie far apart; du: for kRows + K - 1.
template <int K>
void Block(const Sizes& s, const float* x, const float* weight, const float* bias, const float* dy, int64_t t0, int64_t t1, int64_t j, Room dx,
           float* sums, float* held, float* du) {
  const int64_t taps = K > 0 ? K : s.K, left = s.C - j, before = taps - 1;
  F w[kMostTaps];
  LAB_UNROLL for (int64_t k = 0; k < taps; ++k) w[k] = LoadUpTo(weight + k * s.C + j, left);
  const F b = bias ? LoadUpTo(bias + j, left) : F(0.0f);
  for (int64_t t = t0 - before; t < t1 + before; ++t) {
    const int64_t soon = t * s.C + j + kAhead * W;
    for (const float* row : {x, dy}) LaterLine(row, soon);
    dx.With([&](const auto* row) { LaterLine(row, soon); });
    Store(held + (t - t0 + before) * W, t >= 0 && t < s.T ? LoadUpTo(x + t * s.C + j, left) : F(0.0f));
  }
  for (int64_t t = t0; t < t1 + before; ++t) {
    F g(0.0f);
    const int64_t at = t - s.ahead;
    if (at >= 0 && at < s.T) {
      g = LoadUpTo(dy + at * s.C + j, left);
      if (s.silu) {
        F u = b;
        LAB_UNROLL for (int64_t k = 0; k < taps; ++k) u = Fma(w[k], Load(held + (t - t0 + k) * W), u);
        const F open = Sigmoid(u);
        g *= Fma(u * open, F(1.0f) - open, open);
      }
    }
    Store(du + (t - t0) * W, g);
  }
  F dw[kMostTaps], db(0.0f);
  LAB_UNROLL for (int64_t k = 0; k < taps; ++k) dw[k] = F(0.0f);
  for (int64_t t = 0; t < t1 - t0; ++t) {
    const F g = Load(du + t * W);
    F d(0.0f);
    LAB_UNROLL for (int64_t k = 0; k < taps; ++k) {
      d = Fma(w[k], Load(du + (t + before - k) * W), d);
      dw[k] = Fma(g, Load(held + (t + k) * W), dw[k]);
    }
    db += g;
    dx.Put((t0 + t) * s.C + j, d, left);
  }
  if (t1 == s.T)  // the tokens that no block begins `ahead` after
    for (int64_t t = t1 - t0; t < t1 - t0 + s.ahead; ++t) {
      const F g = Load(du + t * W);
      LAB_UNROLL for (int64_t k = 0; k < taps; ++k) dw[k] = Fma(g, Load(held + (t + k) * W), dw[k]);
      db += g;
    }
  LAB_UNROLL for (int64_t k = 0; k < taps; ++k) StoreUpTo(sums + k * s.C + j, LoadUpTo(sums + k * s.C + j, left) + dw[k], left);
  StoreUpTo(sums + taps * s.C + j, LoadUpTo(sums + taps * s.C + j, left) + db, left);
}

// One task: some blocks of tokens, all channels.
void CausalConvGrad(const Call& c) {
  const Sizes s(c);
  const float *x = c.In<float>(0), *weight = c.In<float>(1), *bias = c.In<float>(2), *dy = c.In<float>(3);
  const Room dx = c.Result(0);
  const auto block = s.K == 7 ? Block<7> : s.K == 4 ? Block<4> : s.K == 3 ? Block<3> : s.K == 2 ? Block<2> : Block<0>;
  const int64_t perSequence = (s.T + kRows - 1) / kRows, blocks = s.B * perSequence;
  const Parts parts(blocks, 1);
  const int64_t width = (s.K + 1) * s.C;  // a part: dweight, then dbias
  Scratch partial(std::max<int64_t>(parts.count, 1) * width);
  ParallelFor(blocks, parts.grain, [&](int64_t begin, int64_t end) {
    float* sums = partial + begin / parts.grain * width;
    std::fill_n(sums, width, 0.0f);
    Scratch held((kRows + 2 * (s.K - 1)) * W), du((kRows + s.K - 1) * W);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t at = i / perSequence * s.T * s.C, t0 = i % perSequence * kRows;
      for (int64_t j = 0; j < s.C; j += W)
        block(s, x + at, weight, bias, dy + at, t0, std::min(s.T, t0 + kRows), j, dx.Past(at), sums, held, du);
    }
  });
  SumParts(partial, parts.count, width, s.K * s.C, c.Out<float>(1));
  SumParts(partial + s.K * s.C, parts.count, width, s.C, c.Out<float>(2));
}

// May be halves: dx.
uint64_t GradHalved(const Call& c) { return c.OutBit(0); }

}  // namespace

LAB_KERNEL("CausalConv", CausalConv);
LAB_KERNEL("CausalConvGrad", CausalConvGrad, GradHalved);
