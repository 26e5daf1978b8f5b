// Depthwise causal convolution over time, SiLU after it where wanted. Channels lie in the vector; the gradient rebuilds what SiLU saw.
#include <algorithm>

#include "../core/lab.h"
#include "../core/rows.h"

namespace {

using namespace lab;

struct Sizes {
  int64_t B, T, C, K;
  bool silu;
  explicit Sizes(const Call& c) : B(c.n[0]), T(c.n[1]), C(c.n[2]), K(c.n[3]), silu(c.n[4] != 0) {}
};

constexpr int64_t kRows = 64;  // tokens a task

// Σ_k weight[k] · x[t + k - (K-1)] + bias for the vector of channels at j; x points at token 0 of the sequence.
LAB_INLINE F At(const Sizes& s, const float* x, const float* weight, const float* bias, int64_t t, int64_t j, int64_t left) {
  F sum = bias ? LoadUpTo(bias + j, left) : F(0.0f);
  for (int64_t k = std::max<int64_t>(0, s.K - 1 - t); k < s.K; ++k)
    sum = Fma(LoadUpTo(weight + k * s.C + j, left), LoadUpTo(x + (t + k - (s.K - 1)) * s.C + j, left), sum);
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
      for (int k = 0; k < K; ++k) u = Fma(Load(weight + k * s.C + j), Load(x + (t + k - (K - 1)) * s.C + j), u);
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
  const auto row = s.K == 4 ? Row<4> : s.K == 3 ? Row<3> : s.K == 2 ? Row<2> : Row<0>;
  ParallelFor(s.B * s.T, Grain(s.C * s.K), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t t = r % s.T;
      (t < s.K - 1 ? Row<0> : row)(s, x + (r - t) * s.C, weight, bias, t, y + r * s.C);
    }
  });
}

// One task: a block of tokens of one sequence, all channels. It rebuilds du for its tokens and the K - 1 after them, which its dx needs.
void CausalConvGrad(const Call& c) {
  const Sizes s(c);
  const float *x = c.In<float>(0), *weight = c.In<float>(1), *bias = c.In<float>(2), *dy = c.In<float>(3);
  float* dx = c.Out<float>(0);
  const int64_t perSequence = (s.T + kRows - 1) / kRows, blocks = s.B * perSequence;
  const Parts parts(blocks, 1);
  const int64_t width = (s.K + 1) * s.C;  // a part: dweight [K, C], then dbias [C]
  Scratch partial(std::max<int64_t>(parts.count, 1) * width);
  ParallelFor(blocks, parts.grain, [&](int64_t begin, int64_t end) {
    float* sums = partial + begin / parts.grain * width;
    std::fill_n(sums, width, 0.0f);
    Scratch du((kRows + s.K - 1) * W);
    for (int64_t block = begin; block < end; ++block) {
      const int64_t row = block / perSequence * s.T, t0 = block % perSequence * kRows, t1 = std::min(s.T, t0 + kRows);
      const float* xs = x + row * s.C;
      for (int64_t j = 0; j < s.C; j += W) {
        const int64_t left = s.C - j;
        for (int64_t t = t0; t < t1 + s.K - 1; ++t) {
          F g(0.0f);
          if (t < s.T) {
            g = LoadUpTo(dy + (row + t) * s.C + j, left);
            if (s.silu) {
              const F u = At(s, xs, weight, bias, t, j, left), open = Sigmoid(u);
              g *= Fma(u * open, F(1.0f) - open, open);
            }
          }
          Store(du + (t - t0) * W, g);
        }
        F sum(0.0f);
        for (int64_t t = t0; t < t1; ++t) {
          sum += Load(du + (t - t0) * W);
          F d(0.0f);
          for (int64_t k = 0; k < s.K; ++k) d = Fma(LoadUpTo(weight + k * s.C + j, left), Load(du + (t - t0 + s.K - 1 - k) * W), d);
          StoreUpTo(dx + (row + t) * s.C + j, d, left);
        }
        StoreUpTo(sums + s.K * s.C + j, LoadUpTo(sums + s.K * s.C + j, left) + sum, left);
        for (int64_t k = 0; k < s.K; ++k) {
          F w = LoadUpTo(sums + k * s.C + j, left);
          for (int64_t t = std::max(t0, s.K - 1 - k); t < t1; ++t)
            w = Fma(Load(du + (t - t0) * W), LoadUpTo(xs + (t + k - (s.K - 1)) * s.C + j, left), w);
          StoreUpTo(sums + k * s.C + j, w, left);
        }
      }
    }
  });
  SumParts(partial, parts.count, width, s.K * s.C, c.Out<float>(1));
  SumParts(partial + s.K * s.C, parts.count, width, s.C, c.Out<float>(2));
}

}  // namespace

LAB_KERNEL("CausalConv", CausalConv);
LAB_KERNEL("CausalConvGrad", CausalConvGrad);
