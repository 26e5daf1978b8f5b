// Gated linear attention (arXiv 2312.06635): S = diag(e^g) S + k v^T, o = S^T q, with S [d, e] by key and value channel, token by token.
//
// The decay differs by key channel, so the pairs of a chunk are no masked product of matrices; the recurrence, whose state stays in L1, is as
// cheap and has no exponent above 0. Forward, a vector holds neighbouring value channels; backward, with S transposed, neighbouring key
// channels: then all gradients but that of v are sums over the rows of S, and none is a difference of large terms.
#include <algorithm>
#include <type_traits>

#include "../core/lab.h"
#include "../core/rows.h"
#include "../core/tile.h"

namespace {

using namespace lab;

constexpr int64_t kSegment = 16;  // see segment of kernel.ts

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
    if (t % kSegment == 0) Transpose(s.d, width, {state, ld}, {states + ((row * s.segments + t / kSegment) * s.e + i0) * s.d, s.d});
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

// Key channels c .. c + V W - 1 of one row, all tokens from the last back; `width` of them count. held: states before each token of a segment
// and after its last, [e, V W]; dS: [e, V W]; dv: [T, e], added to.
template <int V>
void Backward(const Sizes& s, const Call& call, int64_t row, int64_t c, float* held, float* dS, float* dv) {
  constexpr int64_t ld = V * W;
  const float *q = call.In<float>(0), *k = call.In<float>(1), *v = call.In<float>(2), *g = call.In<float>(3), *states = call.In<float>(4), *dy = call.In<float>(5);
  float *dq = call.Out<float>(0), *dk = call.Out<float>(1), *dg = call.Out<float>(3);
  const int64_t width = std::min<int64_t>(ld, s.d - c), size = s.e * ld;
  const auto read = [&](const float* from, F* to) {
    LAB_UNROLL for (int x = 0; x < V; ++x) to[x] = x * W < width ? LoadUpTo(from + x * W, width - x * W) : F(0.0f);
  };
  const auto write = [&](float* to, const F* from) {
    LAB_UNROLL for (int x = 0; x < V; ++x)
      if (x * W < width) StoreUpTo(to + x * W, from[x], width - x * W);
  };
  std::fill_n(dS, size, 0.0f);
  for (int64_t segment = s.segments - 1; segment >= 0; --segment) {
    const int64_t first = segment * kSegment, tokens = std::min(kSegment, s.T - first);
    for (int64_t i = 0; i < s.e; ++i) {
      F start[V];
      read(states + ((row * s.segments + segment) * s.e + i) * s.d + c, start);
      LAB_UNROLL for (int x = 0; x < V; ++x) Store(held + i * ld + x * W, start[x]);
    }
    // The states once more, and dq[c] = Σ_i S[i][c] do[i] on the way.
    for (int64_t t = 0; t < tokens; ++t) {
      const int64_t key = s.Key(row, first + t), query = s.Query(row, first + t);
      const float* before = held + t * size;
      float* after = held + (t + 1) * size;
      F keep[V], keys[V];
      read(g + key * s.d + c, keep);
      read(k + key * s.d + c, keys);
      LAB_UNROLL for (int x = 0; x < V; ++x) keep[x] = Exp(keep[x]);
      for (int64_t i = 0; i < s.e; ++i) {
        const F value(v[key * s.e + i]);
        LAB_UNROLL for (int x = 0; x < V; ++x) Store(after + i * ld + x * W, Fma(value, keys[x], keep[x] * Load(before + i * ld + x * W)));
      }
      for (int64_t h = 0; h < s.share; ++h) {
        const float* slope = dy + (query + h) * s.e;
        F sum[V];
        LAB_UNROLL for (int x = 0; x < V; ++x) sum[x] = F(0.0f);
        for (int64_t i = 0; i < s.e; ++i) {
          const F slopes(slope[i]);
          LAB_UNROLL for (int x = 0; x < V; ++x) sum[x] = Fma(slopes, Load(after + i * ld + x * W), sum[x]);
        }
        write(dq + (query + h) * s.d + c, sum);
      }
    }
    for (int64_t t = tokens - 1; t >= 0; --t) {
      const int64_t key = s.Key(row, first + t), query = s.Query(row, first + t);
      const float* before = held + t * size;
      for (int64_t h = 0; h < s.share; ++h) {
        const float* slope = dy + (query + h) * s.e;
        F along[V];
        read(q + (query + h) * s.d + c, along);
        for (int64_t i = 0; i < s.e; ++i) {
          const F slopes(slope[i]);
          LAB_UNROLL for (int x = 0; x < V; ++x) Store(dS + i * ld + x * W, Fma(slopes, along[x], Load(dS + i * ld + x * W)));
        }
      }
      F keep[V], keys[V], dkeys[V], fade[V];
      read(g + key * s.d + c, keep);
      read(k + key * s.d + c, keys);
      LAB_UNROLL for (int x = 0; x < V; ++x) {
        keep[x] = Exp(keep[x]);
        dkeys[x] = fade[x] = F(0.0f);
      }
      for (int64_t i = 0; i < s.e; ++i) {
        const F value(v[key * s.e + i]);
        F out(0.0f);
        LAB_UNROLL for (int x = 0; x < V; ++x) {
          const F now = Load(dS + i * ld + x * W), kept = now * keep[x];
          out = Fma(now, keys[x], out);
          dkeys[x] = Fma(now, value, dkeys[x]);
          fade[x] = Fma(kept, Load(before + i * ld + x * W), fade[x]);
          Store(dS + i * ld + x * W, kept);
        }
        dv[key * s.e + i] = (c > 0 ? dv[key * s.e + i] : 0.0f) + Sum(out);
      }
      write(dk + key * s.d + c, dkeys);
      write(dg + key * s.d + c, fade);
    }
  }
}

void GatedLinearScanGrad(const Call& c) {
  const Sizes s(c);
  float* dv = c.Out<float>(2);
  ParallelFor(s.Tasks(), 1, [&](int64_t begin, int64_t end) {
    constexpr int64_t most = kStripVectors * W;
    Scratch held((kSegment + 1) * s.e * most), dS(s.e * most);
    for (int64_t row = begin; row < end; ++row)
      // Key channels do not mix but in dv, to which one block after another adds.
      for (int64_t from = 0; from < s.d; from += most) switch ((std::min(most, s.d - from) + W - 1) / W) {
          case 1: Backward<1>(s, c, row, from, held, dS, dv); break;
          case 2: Backward<2>(s, c, row, from, held, dS, dv); break;
          case 3: Backward<3>(s, c, row, from, held, dS, dv); break;
          default: Backward<4>(s, c, row, from, held, dS, dv); break;
        }
  });
}

}  // namespace

LAB_KERNEL("GatedLinearScan", GatedLinearScan);
LAB_KERNEL("GatedLinearScanGrad", GatedLinearScanGrad);
