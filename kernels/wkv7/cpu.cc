// The generalised delta rule of RWKV-7 (arXiv 2503.14456): S = S diag(e^w) + (S a) b^T + v k^T, y = S r, S [N, N] by value and key channel.
//
// Rows of S do not mix. Forward, S lies transposed, so that a vector holds neighbouring value channels and no sum runs across lanes. Backward,
// a vector holds neighbouring key channels: five of the six gradients are then sums over the rows that need no sum across lanes either.
#include <algorithm>
#include <type_traits>

#include "../core/lab.h"
#include "../core/rows.h"
#include "../core/tile.h"

namespace {

using namespace lab;

constexpr int64_t kSegment = 16;  // see segment of kernel.ts
constexpr int kVectors = 4;       // vectors of value channels that a forward task runs together

struct Sizes {
  int64_t rows, T, N, segments, padded, blocks;
  explicit Sizes(const Call& c) : rows(c.n[0]), T(c.n[1]), N(c.n[2]), segments((T + kSegment - 1) / kSegment), padded((N + W - 1) / W * W) {
    blocks = (padded / W + kVectors - 1) / kVectors;
  }
};

struct Inputs {
  const float *r, *w, *k, *v, *a, *b;
  explicit Inputs(const Call& c)
      : r(c.In<float>(0)), w(c.In<float>(1)), k(c.In<float>(2)), v(c.In<float>(3)), a(c.In<float>(4)), b(c.In<float>(5)) {}
};

void Decays(int64_t n, const float* w, float* to) {
  for (int64_t j = 0; j < n; j += W) StoreUpTo(to + j, Exp(LoadUpTo(w + j, n - j)), n - j);
}

// Value channels i0 .. i0 + V W - 1 of one row of the batch, all tokens. state: [N, V W] by key and value channel; decay: [N].
template <int V>
void Forward(const Sizes& s, const Inputs& in, int64_t row, int64_t i0, float* state, float* decay, float* y, float* states) {
  constexpr int64_t ld = V * W;
  const int64_t width = std::min<int64_t>(ld, s.N - i0);
  std::fill_n(state, s.N * ld, 0.0f);
  F taken[V];  // S a of the token to come, summed while the token before writes
  for (F& x : taken) x = F(0.0f);
  for (int64_t t = 0; t < s.T; ++t) {
    const int64_t at = (row * s.T + t) * s.N;
    if (t % kSegment == 0) Transpose(s.N, width, {state, ld}, {states + ((row * s.segments + t / kSegment) * s.N + i0) * s.N, s.N});
    Decays(s.N, in.w + at, decay);
    const float* next = t + 1 < s.T ? in.a + at + s.N : in.a + at;
    F value[V], read[V], coming[V];
    LAB_UNROLL for (int v = 0; v < V; ++v) {
      value[v] = v * W < width ? LoadUpTo(in.v + at + i0 + v * W, width - v * W) : F(0.0f);
      read[v] = coming[v] = F(0.0f);
    }
    for (int64_t j = 0; j < s.N; ++j) {
      const F keep(decay[j]), back(in.b[at + j]), key(in.k[at + j]), along(in.r[at + j]), ahead(next[j]);
      LAB_UNROLL for (int v = 0; v < V; ++v) {
        float* p = state + j * ld + v * W;
        const F now = Fma(key, value[v], Fma(back, taken[v], keep * Load(p)));
        Store(p, now);
        read[v] = Fma(along, now, read[v]);
        coming[v] = Fma(ahead, now, coming[v]);
      }
    }
    LAB_UNROLL for (int v = 0; v < V; ++v) {
      if (v * W < width) StoreUpTo(y + at + i0 + v * W, read[v], width - v * W);
      taken[v] = coming[v];
    }
  }
}

void Wkv7(const Call& c) {
  const Sizes s(c);
  const Inputs in(c);
  float *y = c.Out<float>(0), *states = c.Out<float>(1);
  ParallelFor(s.rows * s.blocks, 1, [&](int64_t begin, int64_t end) {
    Scratch state(s.N * kVectors * W), decay(s.N);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t row = task / s.blocks, vectors = s.padded / W, block = task % s.blocks;
      // Even shares of the vectors.
      const int64_t v0 = vectors * block / s.blocks, v1 = vectors * (block + 1) / s.blocks;
      switch (v1 - v0) {
        case 1: Forward<1>(s, in, row, v0 * W, state, decay, y, states); break;
        case 2: Forward<2>(s, in, row, v0 * W, state, decay, y, states); break;
        case 3: Forward<3>(s, in, row, v0 * W, state, decay, y, states); break;
        default: Forward<4>(s, in, row, v0 * W, state, decay, y, states); break;
      }
    }
  });
}

// Inputs of a segment with rows padded by zeros to whole vectors, so that no loop below has a rest.
struct Padded {
  Scratch r, decay, k, a, b;
  explicit Padded(const Sizes& s)
      : r(kSegment * s.padded), decay(kSegment * s.padded), k(kSegment * s.padded), a(kSegment * s.padded), b(kSegment * s.padded) {}
  void Read(const Sizes& s, const Inputs& in, int64_t first, int64_t tokens) {
    for (int64_t t = 0; t < tokens; ++t)
      for (int64_t j = 0; j < s.padded; j += W) {
        const int64_t from = (first + t) * s.N + j, to = t * s.padded + j, left = s.N - j;
        Store(r + to, LoadUpTo(in.r + from, left));
        Store(decay + to, Exp(LoadUpTo(in.w + from, left)));
        Store(k + to, LoadUpTo(in.k + from, left));
        Store(a + to, LoadUpTo(in.a + from, left));
        Store(b + to, LoadUpTo(in.b + from, left));
      }
  }
};

// Calls `body(vectors, j)` for columns 0 .. P in blocks of so many vectors that their sums stay in registers.
template <class Body>
void EachBlock(int64_t P, Body&& body) {
  constexpr int most = kStripVectors;
  int64_t j = 0;
  for (; j + most * W <= P; j += most * W) body(std::integral_constant<int, most>(), j);
  for (; j < P; j += W) body(std::integral_constant<int, 1>(), j);
}

void Wkv7Grad(const Call& c) {
  const Sizes s(c);
  const Inputs in(c);
  const float *states = c.In<float>(6), *dy = c.In<float>(7);
  float *dr = c.Out<float>(0), *dw = c.Out<float>(1), *dk = c.Out<float>(2), *dv = c.Out<float>(3), *da = c.Out<float>(4), *db = c.Out<float>(5);
  const int64_t P = s.padded, size = s.N * P;
  ParallelFor(s.rows, 1, [&](int64_t begin, int64_t end) {
    // held: states before each token of a segment, and after its last, [N, P] by value and key channel; taken: S a of each token; pulls: dS b of one.
    Scratch held((kSegment + 1) * size), taken(kSegment * s.N), dS(size), pulls(s.N);
    Padded x(s);
    for (int64_t row = begin; row < end; ++row) {
      std::fill_n(dS.data(), size, 0.0f);
      for (int64_t segment = s.segments - 1; segment >= 0; --segment) {
        const int64_t first = row * s.T + segment * kSegment, tokens = std::min(kSegment, s.T - segment * kSegment);
        x.Read(s, in, first, tokens);
        const float* start = states + (row * s.segments + segment) * s.N * s.N;
        for (int64_t i = 0; i < s.N; ++i)
          for (int64_t j = 0; j < P; j += W) Store(held + i * P + j, LoadUpTo(start + i * s.N + j, s.N - j));
        // The states once more, and dr[j] = Σ_i S[i][j] dy[i] on the way.
        for (int64_t t = 0; t < tokens; ++t) {
          const int64_t at = (first + t) * s.N;
          const float *before = held + t * size, *slope = dy + at, *value = in.v + at, *a = x.a + t * P;
          float *after = held + (t + 1) * size, *out = taken + t * s.N;
          for (int64_t i = 0; i < s.N; ++i) out[i] = SumOver(P, [&](int64_t j, int64_t) { return Load(before + i * P + j) * Load(a + j); });
          EachBlock(P, [&](auto vectors, int64_t j) {
            constexpr int V = decltype(vectors)::value;
            F key[V], back[V], keep[V], read[V];
            LAB_UNROLL for (int v = 0; v < V; ++v) {
              const int64_t from = t * P + j + v * W;
              key[v] = Load(x.k + from), back[v] = Load(x.b + from), keep[v] = Load(x.decay + from), read[v] = F(0.0f);
            }
            for (int64_t i = 0; i < s.N; ++i) {
              const F outs(out[i]), values(value[i]), slopes(slope[i]);
              LAB_UNROLL for (int v = 0; v < V; ++v) {
                const int64_t k = i * P + j + v * W;
                const F now = Fma(values, key[v], Fma(outs, back[v], Load(before + k) * keep[v]));
                Store(after + k, now);
                read[v] = Fma(slopes, now, read[v]);
              }
            }
            LAB_UNROLL for (int v = 0; v < V; ++v) StoreUpTo(dr + at + j + v * W, read[v], s.N - j - v * W);
          });
        }
        for (int64_t t = tokens - 1; t >= 0; --t) {
          const int64_t at = (first + t) * s.N;
          const float *before = held + t * size, *slope = dy + at, *value = in.v + at, *out = taken + t * s.N;
          const float *r = x.r + t * P, *b = x.b + t * P, *k = x.k + t * P;
          for (int64_t i = 0; i < s.N; ++i) {
            float* d = dS + i * P;
            const F slopes(slope[i]);
            F along(0.0f), against(0.0f);
            for (int64_t j = 0; j < P; j += W) {
              const F now = Fma(slopes, Load(r + j), Load(d + j));
              Store(d + j, now);
              along = Fma(now, Load(k + j), along);
              against = Fma(now, Load(b + j), against);
            }
            dv[at + i] = Sum(along);
            pulls[i] = Sum(against);
          }
          EachBlock(P, [&](auto vectors, int64_t j) {
            constexpr int V = decltype(vectors)::value;
            F key[V], back[V], ahead[V], fade[V];
            LAB_UNROLL for (int v = 0; v < V; ++v) key[v] = back[v] = ahead[v] = fade[v] = F(0.0f);
            const float *a = x.a + t * P + j, *decay = x.decay + t * P + j;
            for (int64_t i = 0; i < s.N; ++i) {
              const F values(value[i]), outs(out[i]), pull(pulls[i]);
              LAB_UNROLL for (int v = 0; v < V; ++v) {
                const int64_t from = i * P + j + v * W;
                const F d = Load(dS + from), S = Load(before + from);
                key[v] = Fma(d, values, key[v]);
                back[v] = Fma(d, outs, back[v]);
                fade[v] = Fma(d, S, fade[v]);
                ahead[v] = Fma(pull, S, ahead[v]);
                Store(dS + from, Fma(pull, Load(a + v * W), d * Load(decay + v * W)));
              }
            }
            LAB_UNROLL for (int v = 0; v < V; ++v) {
              const int64_t to = at + j + v * W, left = s.N - j - v * W;
              StoreUpTo(dk + to, key[v], left);
              StoreUpTo(db + to, back[v], left);
              StoreUpTo(da + to, ahead[v], left);
              StoreUpTo(dw + to, fade[v] * Load(decay + v * W), left);
            }
          });
        }
      }
    }
  });
}

}  // namespace

LAB_KERNEL("Wkv7", Wkv7);
LAB_KERNEL("Wkv7Grad", Wkv7Grad);
