// The forward pass of the matrix memory; cell.h tells what is computed.
#ifndef LAB_MLSTM_FORWARD_H
#define LAB_MLSTM_FORWARD_H

#include <type_traits>

#include "../core/doubles.h"
#include "../core/soon.h"
#include "cell.h"

namespace lab {
namespace mlstm {

// DW floats as doubles.
LAB_INLINE D Widen(const float* p) {
#if LAB_AVX512
  return _mm512_cvtps_pd(_mm256_loadu_ps(p));
#elif LAB_AVX2
  return _mm256_cvtps_pd(_mm_loadu_ps(p));
#elif LAB_SSE2
  return _mm_set_pd(p[1], p[0]);
#else
  double wide[DW];
  for (int i = 0; i < DW; ++i) wide[i] = p[i];
  return Load(wide);
#endif
}

struct Forward {
  const Sizes& s;
  const Inputs& in;
  float *y, *memories, *stabilisers, *sizes;
  float* MemoryOf(int64_t row, int64_t chunk) const { return memories + (row * s.chunks + chunk) * s.Memory(); }

  // What the chunk adds to the matrix, into `matrix` [d, d] (+= with `add`); r: the next memory's value.
  void Add(const Chunk& c, const Gates& gates, const float* r, bool add, float* matrix, float* keys, float* centred) const {
    ScaleRows(c.tokens, s.d, c.k, {keys, s.d}, [&](int64_t j) { return gates.write[j] * s.scale; });
    Centre(c.tokens, s.d, c.v, r, {centred, s.d});
    Multiply(s.d, s.d, c.tokens, {keys, 1, s.d}, {centred, s.d}, {matrix, s.d}, add);
  }

  // What it adds to n, into `sums` [d].
  void AddSums(const Chunk& c, const Gates& gates, double* sums) const {
    double u[kChunk];
    for (int64_t j = 0; j < kChunk; ++j) u[j] = gates.a[j] - gates.last;
    ExpAll(kChunk, u, u);
    std::fill_n(sums, s.d, 0.0);
    for (int64_t j = 0; j < c.tokens; ++j) {
      const double by = u[j] / std::sqrt(static_cast<double>(s.d));
      for (int64_t e = 0; e < s.d; ++e) sums[e] += by * c.k.p[j * c.k.ld + e];
    }
  }

  // q·n of each token into size; n [d]: of the memory that entered on entry, on return that after the chunk at the scale of its last M.
  void Normalise(const Chunk& c, const Gates& gates, double* n, double* size) const {
    double keeps[kChunk], writes[kChunk];
    for (int64_t t = 0; t < kChunk; ++t) {
      keeps[t] = (t > 0 ? gates.M[t - 1] : gates.m0) - gates.M[t];
      writes[t] = gates.a[t] - gates.M[t];
    }
    ExpAll(kChunk, keeps, keeps);
    ExpAll(kChunk, writes, writes);
    for (int64_t t = 0; t < c.tokens; ++t) writes[t] /= std::sqrt(static_cast<double>(s.d));
    double sums[kChunk * DW];
    std::fill_n(sums, c.tokens * DW, 0.0);
    const auto channels = [&](auto vectors, int64_t e) {  // their n stays in registers
      constexpr int V = vectors;
      D held[V];
      LAB_UNROLL for (int v = 0; v < V; ++v) held[v] = Load(n + e + v * DW);
      for (int64_t t = 0; t < c.tokens; ++t) {
        const D keep(keeps[t]), write(writes[t]);
        const float *key = c.k.p + t * c.k.ld + e, *query = c.q.p + t * c.q.ld + e;
        D sum = Load(sums + t * DW);
        LAB_UNROLL for (int v = 0; v < V; ++v) {
          held[v] = Fma(write, Widen(key + v * DW), keep * held[v]);
          sum = Fma(held[v], Widen(query + v * DW), sum);
        }
        Store(sums + t * DW, sum);
      }
      LAB_UNROLL for (int v = 0; v < V; ++v) Store(n + e + v * DW, held[v]);
    };
    int64_t e = 0;
    for (; e + 4 * DW <= s.d; e += 4 * DW) channels(std::integral_constant<int, 4>{}, e);
    for (; e + DW <= s.d; e += DW) channels(std::integral_constant<int, 1>{}, e);
    for (int64_t t = 0; t < c.tokens; ++t) size[t] = Sum(Load(sums + t * DW));
    for (; e < s.d; ++e)
      for (int64_t t = 0; t < c.tokens; ++t) {
        n[e] = keeps[t] * n[e] + writes[t] * c.k.p[t * c.k.ld + e];
        size[t] += n[e] * c.q.p[t * c.q.ld + e];
      }
  }

  void Outputs(const Chunk& c, const Gates& gates, const float* memory, double* n, float* turned, float* pairs, float* scaled) const {
    const float *n0 = memory + s.Matrix(), *r = n0 + s.d;
    double size[kChunk];
    float share[kChunk], own[kChunk];  // own: what the memory has of size
    const Spread spread(gates, c.tokens);
    Normalise(c, gates, n, size);
    TurnTokens(c.tokens, s.d, c.k, turned);
    Pairs(c.tokens, s.d, c.q, turned, pairs);
    if (c.index > 0) ScaleRows(c.tokens, s.d, c.q, {scaled, s.d}, [&](int64_t t) { return gates.recall[t]; });
    const bool more = c.index + 1 < s.chunks && !s.SideBySide();
    const int64_t lines = (s.Memory() + kChunk - 1) / kChunk;  // of the next memory, to be written
    for (int64_t t = 0; t < c.tokens; ++t) {
      if (more) {
        const int64_t ahead = c.at + (t + kChunk) * s.ld;
        for (const float* from : {in.q, in.k, in.v}) Soon(from + ahead, t + kChunk < s.T - c.index * kChunk ? s.d : 0);
        SoonWritten(memory + s.Memory() + t * lines, lines);
      }
      sizes[s.Gate(c.row, c.index * kChunk + t)] = static_cast<float>(size[t]);
      share[t] = static_cast<float>(1.0 / (std::max(std::fabs(size[t]), gates.floor[t]) + s.eps));
      float* S = pairs + t * kChunk;
      Ruler rules;
      spread.Row(t, [&](int64_t j, F weights) {
        const F now = weights * Load(S + j) * F(s.scale);
        Store(S + j, now);
        rules.See(j, now);
      });
      std::fill(S + (t / W + 1) * W, S + kChunk, 0.0f);
      own[t] = c.index > 0 ? Dot(s.d, scaled + t * s.d, n0) : 0.0f;
      float largest;
      const int64_t ruler = rules.Find(t, &largest);
      const double lacking = size[t] - own[t] - ExactSum(t, S);
      (std::fabs(own[t]) > largest ? own[t] : S[ruler]) += static_cast<float>(lacking);
    }
    const Out ys{y + c.at, s.ld};
    Multiply(c.tokens, s.d, c.tokens, {pairs, kChunk, 1}, c.v, ys, false, [&](int64_t, int64_t i1) { return Span{0, i1, 0, s.d}; });
    if (c.index > 0) Multiply(c.tokens, s.d, s.d, {scaled, s.d, 1}, {memory, s.d}, ys, true);
    for (int64_t t = 0; t < c.tokens; ++t) {
      float* to = ys.p + t * ys.ld;
      const F part(own[t]), unit(share[t]);
      for (int64_t e = 0; e < s.d; e += W) {
        const F sum = LoadUpTo(to + e, s.d - e);
        StoreUpTo(to + e, (c.index > 0 ? Fma(part, LoadUpTo(r + e, s.d - e), sum) : sum) * unit, s.d - e);
      }
    }
  }

  // r of the memory after the chunk.
  const float* Ruling(const Chunk& c, const Gates& gates, const float* before) const {
    const int64_t top = gates.top[c.tokens - 1];
    return top < 0 ? before : c.v.p + top * c.v.ld;
  }

  // next = keep (memory, about the next r); what the chunk adds is to be added, and its n to be written.
  void Keep(const Gates& gates, const float* memory, const float* r, float* next) const {
    const float *n0 = memory + s.Matrix(), *before = n0 + s.d;
    float* moved = next + s.Matrix();
    Centre(1, s.d, {before, s.d}, r, {moved, s.d});
    const F keep(gates.keep);
    for (int64_t i = 0; i < s.d; ++i) {
      const F n(n0[i]);
      for (int64_t j = 0; j < s.d; j += W) {
        const int64_t left = s.d - j;
        StoreUpTo(next + i * s.d + j, keep * Fma(n, LoadUpTo(moved + j, left), LoadUpTo(memory + i * s.d + j, left)), left);
      }
    }
    std::copy_n(r, s.d, next + s.Matrix() + s.d);
  }

  void OneByOne() const {
    ParallelFor(s.rows, 1, [&](int64_t begin, int64_t end) {
      Scratch turned(s.d * kChunk), pairs(kChunk * kChunk), scaled(kChunk * s.d), centred(kChunk * s.d), sums(2 * s.d);
      double* n = sums.As<double>();
      for (int64_t row = begin; row < end; ++row) {
        double m0 = kNothing;
        std::fill_n(MemoryOf(row, 0), s.chunks > 0 ? s.Memory() : 0, 0.0f);
        std::fill_n(n, s.d, 0.0);
        for (int64_t index = 0; index < s.chunks; ++index) {
          const Chunk c(s, in, row, index);
          const Gates gates(s, in, row, index, m0);
          float *memory = MemoryOf(row, index), *next = memory + s.Memory();
          stabilisers[row * s.chunks + index] = static_cast<float>(m0);
          Outputs(c, gates, memory, n, turned, pairs, scaled);
          m0 = gates.after;
          if (index + 1 == s.chunks) continue;
          const float* r = Ruling(c, gates, memory + s.Matrix() + s.d);
          Keep(gates, memory, r, next);
          Add(c, gates, r, true, next, scaled, centred);
          const double rescale = std::exp(gates.M[c.tokens - 1] - gates.last);
          for (int64_t e = 0; e < s.d; ++e) {
            n[e] *= rescale;
            next[s.Matrix() + e] = static_cast<float>(n[e]);
          }
        }
      }
    });
  }

  void SideBySide() const {
    // n that enters each chunk; what a chunk adds stands where the next chunk's n will.
    Scratch held(2 * s.rows * (s.chunks + 1) * s.d);
    double* all = held.As<double>();
    const auto sums = [&](int64_t row, int64_t chunk) { return all + (row * (s.chunks + 1) + chunk) * s.d; };
    ParallelFor(s.rows, 1, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        double m0 = kNothing;
        std::fill_n(MemoryOf(row, 0), s.Memory(), 0.0f);
        std::fill_n(sums(row, 0), s.d, 0.0);
        for (int64_t index = 0; index < s.chunks; ++index) {
          const Chunk c(s, in, row, index);
          const Gates gates(s, in, row, index, m0);
          stabilisers[row * s.chunks + index] = static_cast<float>(m0);
          m0 = gates.after;
          if (index + 1 == s.chunks) continue;
          const float* r = Ruling(c, gates, MemoryOf(row, index) + s.Matrix() + s.d);
          std::copy_n(r, s.d, MemoryOf(row, index + 1) + s.Matrix() + s.d);
        }
      }
    });
    const auto gatesOf = [&](int64_t row, int64_t index) {
      return Gates(s, in, row, index, index > 0 ? stabilisers[row * s.chunks + index] : kNothing);
    };
    ParallelFor(s.rows * (s.chunks - 1), 1, [&](int64_t begin, int64_t end) {
      Scratch scaled(kChunk * s.d), centred(kChunk * s.d);
      for (int64_t task = begin; task < end; ++task) {
        const int64_t row = task / (s.chunks - 1), index = task % (s.chunks - 1);
        float* next = MemoryOf(row, index + 1);
        const Chunk c(s, in, row, index);
        const Gates gates = gatesOf(row, index);
        Add(c, gates, next + s.Matrix() + s.d, false, next, scaled, centred);
        AddSums(c, gates, sums(row, index + 1));
      }
    });
    ParallelFor(s.rows, 1, [&](int64_t begin, int64_t end) {
      Scratch kept(s.Memory());
      for (int64_t row = begin; row < end; ++row)
        for (int64_t index = 0; index + 1 < s.chunks; ++index) {
          const Gates gates = gatesOf(row, index);
          float *memory = MemoryOf(row, index), *next = memory + s.Memory();
          Keep(gates, memory, next + s.Matrix() + s.d, kept);
          for (int64_t j = 0; j < s.Matrix(); j += W)
            StoreUpTo(next + j, LoadUpTo(kept + j, s.Matrix() - j) + LoadUpTo(next + j, s.Matrix() - j), s.Matrix() - j);
          double *n = sums(row, index), *added = sums(row, index + 1);
          const double keep = std::exp(gates.m0 - gates.last);
          for (int64_t e = 0; e < s.d; ++e) {
            added[e] += keep * n[e];
            next[s.Matrix() + e] = static_cast<float>(added[e]);
          }
        }
    });
    ParallelFor(s.rows * s.chunks, 1, [&](int64_t begin, int64_t end) {
      Scratch turned(s.d * kChunk), pairs(kChunk * kChunk), scaled(kChunk * s.d);
      for (int64_t task = begin; task < end; ++task) {
        const int64_t row = task / s.chunks, index = task % s.chunks;
        Outputs(Chunk(s, in, row, index), gatesOf(row, index), MemoryOf(row, index), sums(row, index), turned, pairs, scaled);
      }
    });
  }

  void Run() const {
    if (s.SideBySide())
      SideBySide();
    else
      OneByOne();
  }
};

}  // namespace mlstm
}  // namespace lab

#endif
