// The delta rule of RWKV-7 on a segment of tokens of one head: S = S diag(e^w) + (S a) b^T + v k^T, y = S r, S [N, N] by value and key channel.
//
// Rows of S do not mix. Forward, S lies transposed, so that a vector holds neighbouring value channels and no sum runs across lanes. Backward,
// a vector holds neighbouring key channels: five of the six gradients are then sums over the rows that need no sum across lanes either.
#ifndef LAB_WKV7_RULE_H
#define LAB_WKV7_RULE_H

#include <algorithm>

#include "../core/lab.h"
#include "../core/rows.h"
#include "../core/soon.h"
#include "../core/tile.h"

namespace lab::wkv7 {

constexpr int64_t kSegment = 16;  // see segment of kernel.ts
constexpr int kVectors = 4;       // vectors of value channels that the forward pass runs together

/// A segment's tokens by key channel: rows of N numbers, padded by zeros to P. decay is e^w.
struct Segment {
  int64_t N, P, tokens;
  const float *r, *decay, *k, *a, *b;
};

/// Scratch memory of a segment's tokens.
struct Padded {
  Scratch r, decay, k, a, b;
  explicit Padded(int64_t P) : r(kSegment * P), decay(kSegment * P), k(kSegment * P), a(kSegment * P), b(kSegment * P) {}
  Segment Of(int64_t N, int64_t P, int64_t tokens) { return {N, P, tokens, r, decay, k, a, b}; }
};

/// V W neighbouring value channels, of which `width` count: v, y and `out`, what a token takes out of the state (S a), are rows of them, one a token.
/// state: [N, V W] by key and value channel. `out.p` may be nullptr.
template <int V>
void Forward(const Segment& x, int64_t width, Rows values, float* state, Out y, Out out) {
  constexpr int64_t ld = V * W;
  F taken[V];  // S a of the token to come, summed while the token before writes
  for (F& sum : taken) sum = F(0.0f);
  for (int64_t j = 0; j < x.N; ++j)
    LAB_UNROLL for (int v = 0; v < V; ++v) taken[v] = Fma(F(x.a[j]), Load(state + j * ld + v * W), taken[v]);
  for (int64_t t = 0; t < x.tokens; ++t) {
    const float *keeps = x.decay + t * x.P, *backs = x.b + t * x.P, *keys = x.k + t * x.P, *reads = x.r + t * x.P;
    const float* next = x.a + std::min(t + 1, x.tokens - 1) * x.P;
    F value[V], read[V], coming[V];
    LAB_UNROLL for (int v = 0; v < V; ++v) {
      value[v] = v * W < width ? LoadUpTo(values.p + t * values.ld + v * W, width - v * W) : F(0.0f);
      read[v] = coming[v] = F(0.0f);
      if (out.p && v * W < width) StoreUpTo(out.p + t * out.ld + v * W, taken[v], width - v * W);
    }
    for (int64_t j = 0; j < x.N; ++j) {
      const F keep(keeps[j]), back(backs[j]), key(keys[j]), along(reads[j]), ahead(next[j]);
      LAB_UNROLL for (int v = 0; v < V; ++v) {
        float* p = state + j * ld + v * W;
        const F now = Fma(key, value[v], Fma(back, taken[v], keep * Load(p)));
        Store(p, now);
        read[v] = Fma(along, now, read[v]);
        coming[v] = Fma(ahead, now, coming[v]);
      }
    }
    LAB_UNROLL for (int v = 0; v < V; ++v) {
      if (v * W < width) StoreUpTo(y.p + t * y.ld + v * W, read[v], width - v * W);
      taken[v] = coming[v];
    }
  }
}

/// A block of value channels: how the forward pass cuts P / W vectors into even shares of up to kVectors.
struct Block {
  int64_t from, vectors;  // first channel
  static int64_t Count(int64_t P) { return (P / W + kVectors - 1) / kVectors; }
  Block(int64_t P, int64_t block) {
    const int64_t all = P / W, count = Count(P);
    from = all * block / count * W;
    vectors = all * (block + 1) / count - all * block / count;
  }
  /// As Forward above; `values`, y and out start with the segment's first token, channel 0.
  void Run(const Segment& x, Rows values, float* state, Out y, Out out) const {
    const int64_t width = std::min(vectors * W, x.N - from);
    const Rows v{values.p + from, values.ld};
    const Out to{y.p + from, y.ld}, taken{out.p ? out.p + from : nullptr, out.ld};
    switch (vectors) {
      case 1: return Forward<1>(x, width, v, state, to, taken);
      case 2: return Forward<2>(x, width, v, state, to, taken);
      case 3: return Forward<3>(x, width, v, state, to, taken);
      default: return Forward<4>(x, width, v, state, to, taken);
    }
  }
  /// The block's part of S [N, N] by value and key channel.
  void Keep(int64_t N, const float* state, float* to) const {
    Transpose(N, std::min(vectors * W, N - from), {state, vectors * W}, {to + from * N, N});
  }
};

/// The two sums over all lanes.
LAB_INLINE void SumBoth(F a, F b, float* sumA, float* sumB) {
#if LAB_AVX512
  const __m512 pairs = _mm512_add_ps(_mm512_unpacklo_ps(a.v, b.v), _mm512_unpackhi_ps(a.v, b.v));  // of each four lanes a b a b
  const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(pairs), _mm512_extractf32x8_ps(pairs, 1));
  const __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
  const __m128 both = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
  *sumA = _mm_cvtss_f32(both);
  *sumB = _mm_cvtss_f32(_mm_movehdup_ps(both));
#else
  *sumA = Sum(a), *sumB = Sum(b);
#endif
}

/// Slopes of a segment's tokens: rows of N numbers, `ld` apart.
struct Slopes {
  float *r, *w, *k, *v, *a, *b;
  int64_t ld;
};

/// The gradient of a segment, and of the state before it in place of that behind it. A few rows of the state go through all tokens at a time, so
/// that what they were before each token stays in L1.
class Backward {
 public:
  explicit Backward(int64_t N, int64_t P)
      : N_(N), P_(P), held_((kSegment + 1) * kTogether * P), taken_(kSegment * kTogether), pulls_(kTogether), dS_(N * P), sums_(kSegment * kSums * P) {}

  /// Behind the last segment nothing asks for the state.
  void Begin() { std::fill_n(dS_.data(), N_ * P_, 0.0f); }

  /// v, dy and `out` (S a of each token; worked out again where out.p is nullptr): rows of N numbers. start: S before the segment, [N, N].
  void Run(const Segment& x, const float* start, Rows values, Rows dy, Rows out, const Slopes& to) {
    std::fill_n(sums_.data(), x.tokens * kSums * P_, 0.0f);
    int64_t i = 0;
    for (; i + kTogether <= N_; i += kTogether) Through<kTogether>(x, i, start, values, dy, out, to);
    for (; i < N_; ++i) Through<1>(x, i, start, values, dy, out, to);
    for (int64_t t = 0; t < x.tokens; ++t)
      for (int64_t j = 0; j < P_; j += W) {
        const float* sums = sums_ + t * kSums * P_ + j;
        const int64_t at = t * to.ld + j, left = N_ - j;
        StoreUpTo(to.r + at, Load(sums), left);
        StoreUpTo(to.k + at, Load(sums + P_), left);
        StoreUpTo(to.b + at, Load(sums + 2 * P_), left);
        StoreUpTo(to.a + at, Load(sums + 3 * P_), left);
        StoreUpTo(to.w + at, Load(sums + 4 * P_) * Load(x.decay + t * P_ + j), left);
      }
  }

 private:
  static constexpr int kTogether = 8;  // rows of the state
  static constexpr int kSums = 5;      // over the rows, of each token: slopes of r, k, b, a and, but for the decay as a factor, w

  // Rows i .. i + R - 1 of the state through all tokens and back.
  template <int R>
  void Through(const Segment& x, int64_t i, const float* start, Rows values, Rows dy, Rows out, const Slopes& to) {
    for (int64_t n = 0; n < R; ++n)
      for (int64_t j = 0; j < P_; j += W) Store(held_ + n * P_ + j, LoadUpTo(start + (i + n) * N_ + j, N_ - j));
    Soon(start + (i + R) * N_, std::min<int64_t>(R, N_ - i - R) * N_);
    for (int64_t t = 0; t < x.tokens; ++t)
      Again<R>(x, t, values.p + t * values.ld + i, dy.p + t * dy.ld + i, out.p ? out.p + t * out.ld + i : nullptr);
    for (int64_t t = x.tokens - 1; t >= 0; --t)
      Back<R>(x, t, i, values.p + t * values.ld + i, dy.p + t * dy.ld + i, out.p ? out.p + t * out.ld + i : taken_ + t * R, to.v + t * to.ld + i);
  }

  // The state behind token t once more, and dr[j] = Σ_i S[i][j] dy[i] on the way.
  template <int R>
  void Again(const Segment& x, int64_t t, const float* value, const float* slope, const float* known) {
    const float *before = held_ + t * R * P_, *a = x.a + t * P_, *b = x.b + t * P_, *k = x.k + t * P_, *decay = x.decay + t * P_;
    float *after = held_ + (t + 1) * R * P_, *sums = sums_ + t * kSums * P_;
    if (!known) {
      for (int64_t n = 0; n < R; ++n)
        taken_[t * R + n] = SumOver(P_, [&](int64_t j, int64_t) { return Load(before + n * P_ + j) * Load(a + j); });
      known = taken_ + t * R;
    }
    F outs[R], valued[R], slopes[R];
    LAB_UNROLL for (int n = 0; n < R; ++n) outs[n] = F(known[n]), valued[n] = F(value[n]), slopes[n] = F(slope[n]);
    for (int64_t j = 0; j < P_; j += W) {
      const F key = Load(k + j), back = Load(b + j), keep = Load(decay + j);
      F read = Load(sums + j);
      LAB_UNROLL for (int n = 0; n < R; ++n) {
        const F now = Fma(valued[n], key, Fma(outs[n], back, Load(before + n * P_ + j) * keep));
        Store(after + n * P_ + j, now);
        read = Fma(slopes[n], now, read);
      }
      Store(sums + j, read);
    }
  }

  // Token t: dS += dy rᵀ, dv = dS k, pulls = dS b, the sums over the rows, and dS = dS diag(e^w) + pulls aᵀ.
  template <int R>
  void Back(const Segment& x, int64_t t, int64_t i, const float* value, const float* slope, const float* out, float* dv) {
    const float *before = held_ + t * R * P_, *r = x.r + t * P_, *k = x.k + t * P_, *b = x.b + t * P_, *a = x.a + t * P_, *decay = x.decay + t * P_;
    float *d = dS_ + i * P_, *sums = sums_ + t * kSums * P_ + P_;
    F slopes[R], along[R], against[R];
    LAB_UNROLL for (int n = 0; n < R; ++n) slopes[n] = F(slope[n]), along[n] = against[n] = F(0.0f);
    for (int64_t j = 0; j < P_; j += W) {
      const F read = Load(r + j), key = Load(k + j), back = Load(b + j);
      LAB_UNROLL for (int n = 0; n < R; ++n) {
        const F now = Fma(slopes[n], read, Load(d + n * P_ + j));
        Store(d + n * P_ + j, now);
        along[n] = Fma(now, key, along[n]);
        against[n] = Fma(now, back, against[n]);
      }
    }
    LAB_UNROLL for (int n = 0; n < R; ++n) SumBoth(along[n], against[n], dv + n, pulls_ + n);
    F valued[R], outs[R], pull[R];
    LAB_UNROLL for (int n = 0; n < R; ++n) valued[n] = F(value[n]), outs[n] = F(out[n]), pull[n] = F(pulls_[n]);
    for (int64_t j = 0; j < P_; j += W) {
      const F ahead = Load(a + j), keep = Load(decay + j);
      F key = Load(sums + j), back = Load(sums + P_ + j), from = Load(sums + 2 * P_ + j), fade = Load(sums + 3 * P_ + j);
      LAB_UNROLL for (int n = 0; n < R; ++n) {
        const F now = Load(d + n * P_ + j), S = Load(before + n * P_ + j);
        key = Fma(now, valued[n], key);
        back = Fma(now, outs[n], back);
        from = Fma(pull[n], S, from);
        fade = Fma(now, S, fade);
        Store(d + n * P_ + j, Fma(pull[n], ahead, now * keep));
      }
      Store(sums + j, key);
      Store(sums + P_ + j, back);
      Store(sums + 2 * P_ + j, from);
      Store(sums + 3 * P_ + j, fade);
    }
  }

  int64_t N_, P_;
  // held: the rows before each token of a segment, and after its last, [R, P] by value and key channel; taken: S a of each token; pulls: dS b of one.
  Scratch held_, taken_, pulls_, dS_, sums_;
};

}  // namespace lab::wkv7

#endif
