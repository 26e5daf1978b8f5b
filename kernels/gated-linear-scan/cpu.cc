// Gated linear attention (arXiv 2312.06635): S = diag(e^g) S + k v^T, o = S^T q, with S [d, e] by key and value channel, token by token.
//
// The decay differs by key channel, so the pairs of a chunk are no masked product of matrices; the recurrence, whose state stays in L1, is as
// cheap and has no exponent above 0. Forward, a vector holds neighbouring value channels; backward, with S transposed, neighbouring key
// channels: then all gradients but that of v are sums over the rows of S, and none is a difference of large terms.
#include <algorithm>

#include "../core/lab.h"
#include "../core/rows.h"
#include "../core/soon.h"
#include "../core/tile.h"

namespace {

using namespace lab;

constexpr int64_t kSegment = 16;  // see segment of kernel.ts
constexpr int64_t kAhead = 8;      // tokens that the forward pass asks for ahead: of a long sequence nothing else brings them in time

struct Sizes {
  int64_t B, T, H, d, Hk, e, share, segments, blocks;
  explicit Sizes(const Call& c) : B(c.n[0]), T(c.n[1]), H(c.n[2]), d(c.n[3]), Hk(c.n[4]), e(c.n[5]), share(H / Hk), segments((T + kSegment - 1) / kSegment) {
    blocks = (e + kStripVectors * W - 1) / (kStripVectors * W);
  }
  int64_t Tasks() const { return B * Hk; }
  int64_t Key(int64_t row, int64_t t) const { return (row / Hk * T + t) * Hk + row % Hk; }     // times d or e
  int64_t Query(int64_t row, int64_t t) const { return (row / Hk * T + t) * H + row % Hk * share; }  // the first of `share` heads
};

// Value channels i0 .. of one row (batch, key head), all tokens. state: [d, V W]; decay: [d].
template <int V>
void Forward(const Sizes& s, const float* q, const float* k, const float* v, const float* g, int64_t row, int64_t i0, float* state, float* decay,
             float* o, float* states) {
  constexpr int64_t ld = V * W;
  const int64_t width = std::min<int64_t>(ld, s.e - i0);
  std::fill_n(state, s.d * ld, 0.0f);
  for (int64_t t = 0; t < s.T; ++t) {
    const int64_t key = s.Key(row, t), query = s.Query(row, t);
    float* kept = states + ((row * s.segments + t / kSegment) * s.e + i0) * s.d;  // width rows of d numbers, neighbours
    if (t % kSegment == 0) Transpose(s.d, width, {state, ld}, {kept, s.d});
    if (t + kAhead < s.T) {
      const int64_t at = s.Key(row, t + kAhead), heads = s.Query(row, t + kAhead);
      Soon(k + at * s.d, s.d);
      Soon(g + at * s.d, s.d);
      Soon(v + at * s.e + i0, width);
      for (int64_t h = 0; h < s.share; ++h) {
        Soon(q + (heads + h) * s.d, s.d);
        Soon(o + (heads + h) * s.e + i0, width);
      }
      // A share of where the next state will lie.
      if (t / kSegment + 1 < s.segments) Soon(kept + s.e * s.d + t % kSegment * width * s.d / kSegment, (width * s.d + kSegment - 1) / kSegment);
    }
    for (int64_t c = 0; c < s.d; c += W) StoreUpTo(decay + c, Exp(LoadUpTo(g + key * s.d + c, s.d - c)), s.d - c);
    F value[V], read[V];
    LAB_UNROLL for (int x = 0; x < V; ++x) {
      value[x] = x * W < width ? LoadUpTo(v + key * s.e + i0 + x * W, width - x * W) : F(0.0f);
      read[x] = F(0.0f);
    }
    const auto write = [&](int64_t h) {
      LAB_UNROLL for (int x = 0; x < V; ++x)
        if (x * W < width) StoreUpTo(o + (query + h) * s.e + i0 + x * W, read[x], width - x * W);
    };
    for (int64_t c = 0; c < s.d; ++c) {
      const F keep(decay[c]), keys(k[key * s.d + c]), along(q[query * s.d + c]);
      LAB_UNROLL for (int x = 0; x < V; ++x) {
        float* p = state + c * ld + x * W;
        const F now = Fma(keys, value[x], keep * Load(p));
        Store(p, now);
        read[x] = Fma(along, now, read[x]);
      }
    }
    write(0);
    for (int64_t h = 1; h < s.share; ++h) {  // further heads that read the same state
      LAB_UNROLL for (int x = 0; x < V; ++x) read[x] = F(0.0f);
      for (int64_t c = 0; c < s.d; ++c) {
        const F along(q[(query + h) * s.d + c]);
        LAB_UNROLL for (int x = 0; x < V; ++x) read[x] = Fma(along, Load(state + c * ld + x * W), read[x]);
      }
      write(h);
    }
  }
}

void GatedLinearScan(const Call& c) {
  const Sizes s(c);
  const float *q = c.In<float>(0), *k = c.In<float>(1), *v = c.In<float>(2), *g = c.In<float>(3);
  float *o = c.Out<float>(0), *states = c.Out<float>(1);
  ParallelFor(s.Tasks() * s.blocks, 1, [&](int64_t begin, int64_t end) {
    Scratch state(s.d * kStripVectors * W), decay(s.d);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t row = task / s.blocks, i0 = task % s.blocks * kStripVectors * W;
      switch ((std::min<int64_t>(kStripVectors * W, s.e - i0) + W - 1) / W) {
        case 1: Forward<1>(s, q, k, v, g, row, i0, state, decay, o, states); break;
        case 2: Forward<2>(s, q, k, v, g, row, i0, state, decay, o, states); break;
        case 3: Forward<3>(s, q, k, v, g, row, i0, state, decay, o, states); break;
        default: Forward<4>(s, q, k, v, g, row, i0, state, decay, o, states); break;
      }
    }
  });
}

constexpr int kTogether = 8;  // rows of the state that go through a segment together: what they were before each token stays in L1

// The gradient of V W neighbouring key channels of one row (batch, key head), from c on, of which `width` count.
template <int V>
class Backward {
 public:
  Backward(const Sizes& s, const Call& call, int64_t row, int64_t c)
      : s_(s), row_(row), c_(c), width_(std::min<int64_t>(ld, s.d - c)), sums_(2 + s.share), q_(call.In<float>(0)), k_(call.In<float>(1)),
        v_(call.In<float>(2)), g_(call.In<float>(3)), states_(call.In<float>(4)), dy_(call.In<float>(5)), dq_(call.Out<float>(0)), dk_(call.Out<float>(1)),
        dv_(call.Out<float>(2)), dg_(call.Out<float>(3)), keep_(kSegment * ld), keys_(kSegment * ld), along_(kSegment * s.share * ld),
        sum_(kSegment * sums_ * ld), held_((kSegment + 1) * kTogether * ld), dS_(s.e * ld) {}

  void Run() {
    std::fill_n(dS_.data(), s_.e * ld, 0.0f);
    for (int64_t segment = s_.segments - 1; segment >= 0; --segment) {
      const int64_t first = segment * kSegment, tokens = std::min(kSegment, s_.T - first);
      for (int64_t t = 0; t < tokens; ++t) Read(first + t, t);
      for (int64_t t = std::max<int64_t>(0, first - kSegment); t < first; ++t) Ask(t);
      std::fill_n(sum_.data(), tokens * sums_ * ld, 0.0f);
      const float* start = states_ + (row_ * s_.segments + segment) * s_.e * s_.d;
      int64_t i = 0;
      for (; i + kTogether <= s_.e; i += kTogether) Through<kTogether>(first, tokens, start, i);
      for (; i < s_.e; ++i) Through<1>(first, tokens, start, i);
      for (int64_t t = 0; t < tokens; ++t) {
        const float* sum = sum_ + t * sums_ * ld;
        const int64_t key = s_.Key(row_, first + t) * s_.d + c_, query = s_.Query(row_, first + t) * s_.d + c_;
        for (int64_t x = 0; x < width_; x += W) {
          StoreUpTo(dk_ + key + x, Load(sum + x), width_ - x);
          StoreUpTo(dg_ + key + x, Load(sum + ld + x), width_ - x);
          for (int64_t h = 0; h < s_.share; ++h) StoreUpTo(dq_ + query + h * s_.d + x, Load(sum + (2 + h) * ld + x), width_ - x);
        }
      }
    }
  }

 private:
  static constexpr int64_t ld = V * W;

  // What the rows need of token `token`, the t-th of its segment; zeros in lanes past the end.
  void Read(int64_t token, int64_t t) {
    const int64_t key = s_.Key(row_, token) * s_.d + c_, query = s_.Query(row_, token) * s_.d + c_;
    const auto read = [&](const float* from, int64_t x) { return x < width_ ? LoadUpTo(from + x, width_ - x) : F(0.0f); };
    for (int64_t x = 0; x < ld; x += W) {
      Store(keep_ + t * ld + x, Exp(read(g_ + key, x)));
      Store(keys_ + t * ld + x, read(k_ + key, x));
      for (int64_t h = 0; h < s_.share; ++h) Store(along_ + (t * s_.share + h) * ld + x, read(q_ + query + h * s_.d, x));
    }
  }
  void Ask(int64_t token) const {
    const int64_t key = s_.Key(row_, token), query = s_.Query(row_, token);
    Soon(g_ + key * s_.d + c_, width_);
    Soon(k_ + key * s_.d + c_, width_);
    Soon(v_ + key * s_.e, s_.e);
    for (int64_t h = 0; h < s_.share; ++h) {
      Soon(q_ + (query + h) * s_.d + c_, width_);
      Soon(dy_ + (query + h) * s_.e, s_.e);
    }
  }

  // Rows i .. i + R - 1 of the state through the tokens of a segment and back. start: all rows before it, [e, d].
  template <int R>
  void Through(int64_t first, int64_t tokens, const float* start, int64_t i) {
    for (int64_t n = 0; n < R; ++n)
      for (int64_t x = 0; x < ld; x += W)
        Store(held_ + n * ld + x, x < width_ ? LoadUpTo(start + (i + n) * s_.d + c_ + x, width_ - x) : F(0.0f));
    if (i + R < s_.e) Soon(start + (i + R) * s_.d, std::min<int64_t>(R, s_.e - i - R) * s_.d);
    for (int64_t t = 0; t < tokens; ++t) Again<R>(first + t, t, i);
    for (int64_t t = tokens - 1; t >= 0; --t) Back<R>(first + t, t, i);
  }

  // The rows behind a token once more, and dq[c] = Σ_i S[i][c] do[i] on the way.
  template <int R>
  void Again(int64_t token, int64_t t, int64_t i) {
    const float *value = v_ + s_.Key(row_, token) * s_.e + i, *slope = dy_ + s_.Query(row_, token) * s_.e + i, *before = held_ + t * R * ld;
    float *after = held_ + (t + 1) * R * ld, *sum = sum_ + (t * sums_ + 2) * ld;
    F valued[R], slopes[R];
    LAB_UNROLL for (int n = 0; n < R; ++n) valued[n] = F(value[n]), slopes[n] = F(slope[n]);
    LAB_UNROLL for (int x = 0; x < V; ++x) {
      const F keys = Load(keys_ + t * ld + x * W), keep = Load(keep_ + t * ld + x * W);
      F read = Load(sum + x * W);
      LAB_UNROLL for (int n = 0; n < R; ++n) {
        const F now = Fma(valued[n], keys, keep * Load(before + n * ld + x * W));
        Store(after + n * ld + x * W, now);
        read = Fma(slopes[n], now, read);
      }
      Store(sum + x * W, read);
    }
    for (int64_t h = 1; h < s_.share; ++h)  // further heads that read the same state
      for (int64_t x = 0; x < ld; x += W) {
        F read = Load(sum + h * ld + x);
        for (int n = 0; n < R; ++n) read = Fma(F(slope[h * s_.e + n]), Load(after + n * ld + x), read);
        Store(sum + h * ld + x, read);
      }
  }

  // dS += Σ do qᵀ, dv = dS k, the sums over the rows for dk and dg, and dS = dS diag(e^g).
  template <int R>
  void Back(int64_t token, int64_t t, int64_t i) {
    const int64_t key = s_.Key(row_, token) * s_.e + i;
    const float *slope = dy_ + s_.Query(row_, token) * s_.e + i, *before = held_ + t * R * ld, *along = along_ + t * s_.share * ld;
    float *dS = dS_ + i * ld, *sum = sum_ + t * sums_ * ld;
    for (int64_t h = 1; h < s_.share; ++h)
      for (int64_t x = 0; x < ld; x += W) {
        const F read = Load(along + h * ld + x);
        for (int n = 0; n < R; ++n) Store(dS + n * ld + x, Fma(F(slope[h * s_.e + n]), read, Load(dS + n * ld + x)));
      }
    F valued[R], slopes[R], out[R];
    LAB_UNROLL for (int n = 0; n < R; ++n) valued[n] = F(v_[key + n]), slopes[n] = F(slope[n]), out[n] = F(0.0f);
    LAB_UNROLL for (int x = 0; x < V; ++x) {
      const F read = Load(along + x * W), keys = Load(keys_ + t * ld + x * W), keep = Load(keep_ + t * ld + x * W);
      F dkeys = Load(sum + x * W), fade = Load(sum + ld + x * W);
      LAB_UNROLL for (int n = 0; n < R; ++n) {
        const F now = Fma(slopes[n], read, Load(dS + n * ld + x * W)), kept = now * keep;
        out[n] = Fma(now, keys, out[n]);
        dkeys = Fma(now, valued[n], dkeys);
        fade = Fma(kept, Load(before + n * ld + x * W), fade);
        Store(dS + n * ld + x * W, kept);
      }
      Store(sum + x * W, dkeys);
      Store(sum + ld + x * W, fade);
    }
    // Key channels do not mix but in dv, to which one block after another adds.
    LAB_UNROLL for (int n = 0; n < R; ++n) dv_[key + n] = (c_ > 0 ? dv_[key + n] : 0.0f) + Sum(out[n]);
  }

  const Sizes& s_;
  int64_t row_, c_, width_, sums_;
  const float *q_, *k_, *v_, *g_, *states_, *dy_;
  float *dq_, *dk_, *dv_, *dg_;
  // Of a segment's tokens: e^g, k and q [.., V W], and sums over the rows for dk, dg and each dq. held: the rows before each token and behind the last.
  Scratch keep_, keys_, along_, sum_, held_, dS_;
};

void GatedLinearScanGrad(const Call& c) {
  const Sizes s(c);
  ParallelFor(s.Tasks(), 1, [&](int64_t begin, int64_t end) {
    constexpr int64_t most = kStripVectors * W;
    for (int64_t row = begin; row < end; ++row)
      for (int64_t from = 0; from < s.d; from += most) switch ((std::min(most, s.d - from) + W - 1) / W) {
          case 1: Backward<1>(s, c, row, from).Run(); break;
          case 2: Backward<2>(s, c, row, from).Run(); break;
          case 3: Backward<3>(s, c, row, from).Run(); break;
          default: Backward<4>(s, c, row, from).Run(); break;
        }
  });
}

}  // namespace

LAB_KERNEL("GatedLinearScan", GatedLinearScan);
LAB_KERNEL("GatedLinearScanGrad", GatedLinearScanGrad);
