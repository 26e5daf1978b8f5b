// The gradient of the state-space-dual scan of a short sequence; whole.h tells how its matrix lies.
//
// With dW[l][s] = dy[l]·x[s]: dx = Wᵀ dy, dGram = dW lam dt, dB = dGramᵀ C, dC = dGram B (summed over the heads of a group), and with G = dW W, the skip
// left out, da[k] = Σ G[l][s] over s < k <= l: sums along l and along s of tiles off the diagonal, and pair by pair within those on it.
#ifndef LAB_SSD_WHOLE_BACKWARD_H
#define LAB_SSD_WHOLE_BACKWARD_H

#include "../core/sums.h"
#include "whole.h"

namespace lab {
namespace ssd {

struct WholeBackwardRoom {
  WeightsRoom weights;
  Scratch dyT, dW, through, across;
  explicit WholeBackwardRoom(const Whole& w) : dyT(kLongestTiles * w.s.P * kTile), dW(kSquare), through(kTile * W), across(kTile * W) {}
};

struct WholeBackward {
  const Whole& w;
  float *ddt, *dB, *dC;
  double *dA, *dD;  // [B, H]; dD may be nullptr

  // What one head's pairs say of its steps and decays, by row.
  struct Sums {
    float direct[kLongest], alongL[kLongest], alongS[kLongest];  // of dt; of G off the diagonal
    double through[kLongest], between[kLongestTiles];            // of G on the diagonal by k; of tiles on both sides of a tile
    double skip;
    Sums() : skip(0) {
      std::fill_n(direct, kLongest, 0.0f);
      std::fill_n(alongL, kLongest, 0.0f);
      std::fill_n(alongS, kLongest, 0.0f);
      std::fill_n(through, kLongest, 0.0);
      std::fill_n(between, kLongestTiles, 0.0);
    }
  };

  // Tile (i, j < i) of one head: its weights, what goes to dGram, and its sums.
  void Pairs(const WholeDecay& d, int64_t i, int64_t j, const float* gram, WholeBackwardRoom& room, float* dGram, Sums& sums) const {
    constexpr int64_t V = kTile / W;
    float since[kTile], fed[kTile];
    d.Since(d.Edge(i * kTile), j * kTile, kTile, since, fed);
    F within[V], along[V];
    for (int64_t v = 0; v < V; ++v) {
      within[v] = Load(d.within + i * kTile + v * W);
      along[v] = F(0.0f);
    }
    double total = 0;
    for (int64_t s0 = 0; s0 < kTile; s0 += W) {
      F across[W];
      for (int64_t q = 0; q < W; ++q) {
        const int64_t at = (s0 + q) * kTile;
        const F by(fed[s0 + q]);
        F sum(0.0f);
        LAB_UNROLL for (int64_t v = 0; v < V; ++v) {
          const F g = Load(gram + at + v * W), slope = Load(room.dW + at + v * W), weight = within[v] * by, pair = slope * g * within[v];
          Store(room.weights.tile + at + v * W, g * weight);
          Store(dGram + at + v * W, Fma(slope, weight, Load(dGram + at + v * W)));
          along[v] = Fma(pair, by, along[v]);
          sum += pair;
        }
        across[q] = sum;
      }
      const F each = SumEach(across), pairs = each * Load(fed + s0);
      float *direct = sums.direct + j * kTile + s0, *alongS = sums.alongS + j * kTile + s0;
      Store(direct, Fma(each, Load(since + s0), Load(direct)));
      Store(alongS, Load(alongS) + pairs);
      total += Sum(pairs);
    }
    float* alongL = sums.alongL + i * kTile;
    for (int64_t v = 0; v < V; ++v) Store(alongL + v * W, Load(alongL + v * W) + along[v]);
    for (int64_t m = j + 1; m < i; ++m) sums.between[m] += total;
  }

  // The same of tile (i, i).
  void Diagonal(const WholeDecay& d, int64_t i, float skip, const float* gram, WholeBackwardRoom& room, float* dGram, Sums& sums) const {
    const int64_t first = i * kTile, rows = w.Count(i);
    float since[kTile], fed[kTile];
    std::fill_n(room.through.data(), kTile * W, 0.0f);
    std::fill_n(room.across.data(), kTile * W, 0.0f);
    for (int64_t own = 0; own < rows; own += W) {
      const double edge = d.Edge(first + own);
      const F within = d.Within(edge, first + own);
      d.Since(edge, first, own, since, fed);
      F passing(0.0f);  // Σ of G over s < k
      const auto pair = [&](int64_t s, F slope, F weight, F of, F step, F past, F skipped) {
        const int64_t at = s * kTile + own;
        const F g = Load(gram + at), along = slope * g * of;
        Store(room.weights.diagonal + at, Fma(g, weight, skipped));
        Store(dGram + at, Fma(slope, weight, Load(dGram + at)));
        Store(room.across + s * W, Load(room.across + s * W) + along);
        Store(room.through + s * W, Load(room.through + s * W) + past);
        passing = Fma(along, step, passing);
      };
      for (int64_t s = 0; s < own; ++s)
        pair(s, Load(room.dW + s * kTile + own), within * F(fed[s]), within * F(since[s]), F(d.dt[first + s]), passing, F(0.0f));
      for (int64_t s = own; s < std::min(rows, own + W); ++s) {
        const F at(static_cast<float>(s - own)), step(d.dt[first + s]), lam = d.Own(first + own, first + s);
        const Mask counts = Le(at, Iota());
        pair(s, Select(counts, Load(room.dW + s * kTile + own), F(0.0f)), lam * step, lam, step, Select(counts, passing, F(0.0f)),
             Select(Eq(Iota(), at), F(skip), F(0.0f)));
      }
    }
    for (int64_t s = 0; s < rows; ++s) {
      sums.through[first + s] = Sum(Load(room.through + s * W));
      sums.direct[first + s] += Sum(Load(room.across + s * W));
      sums.skip += room.dW[s * kTile + s];
    }
  }

  // Slopes of one head's steps from its sums, and of its rate.
  void Steps(const WholeDecay& d, int64_t b, int64_t h, const Sums& sums) const {
    double sumA = 0;
    for (int64_t i = 0; i < w.tiles; ++i) {
      double da[kTile], after = 0, before = sums.between[i];
      const int64_t first = i * kTile, rows = w.Count(i);
      for (int64_t l = rows - 1; l >= 0; --l) {
        after += sums.alongL[first + l];
        da[l] = after;
      }
      for (int64_t l = 0; l < rows; ++l) {
        const double slope = da[l] + before + sums.through[first + l];
        before += sums.alongS[first + l];
        ddt[w.Token(b, first + l) * w.s.H + h] = static_cast<float>(sums.direct[first + l] + w.in.A[h] * slope);
        sumA += d.dt[first + l] * slope;
      }
    }
    for (int64_t l = w.rows; l < w.s.T; ++l) ddt[w.Token(b, l) * w.s.H + h] = 0.0f;  // what a late scan never reads
    dA[b * w.s.H + h] = sumA;
    if (dD) dD[b * w.s.H + h] = sums.skip;
  }

  // One head; x, dy and dx by row, dy of the outputs of each row. dx (+)= what comes out, and dGram [tiles] += its slopes.
  template <class Want>
  void Head(int64_t b, int64_t h, const float* gram, Rows x, Rows dy, Out dx, bool add, float* dGram, WholeBackwardRoom& room, Want&& wanted) const {
    const WholeDecay decay(w, b, h);
    const int64_t P = w.s.P, tiles = w.tiles, parts = tiles * (tiles + 1) / 2;
    const float skip = w.in.D ? w.in.D[h] : 0.0f;
    Sums sums;
    for (int64_t i = 0; i < tiles; ++i) TurnTokens(w.Count(i), P, {dy.p + i * kTile * dy.ld, dy.ld}, room.dyT + i * P * kTile);
    int64_t done = 0;
    for (int64_t j = 0; j < tiles; ++j)
      for (int64_t i = j; i < tiles; ++i) {
        const int64_t at = Whole::At(i, j), columns = w.Count(j), rows = w.Count(i);
        wanted(done++, parts);
        Multiply(columns, kTile, P, {x.p + j * kTile * x.ld, x.ld, 1}, {room.dyT + i * P * kTile, kTile}, {room.dW, kTile}, false,
                 [&](int64_t s0, int64_t) { return j < i ? Span{0, P, 0, kTile} : PastDiagonal(s0, P); });
        if (j < i)
          Pairs(decay, i, j, gram + at, room, dGram + at, sums);
        else
          Diagonal(decay, i, skip, gram + at, room, dGram + at, sums);
        const float* weights = j < i ? room.weights.tile : room.weights.diagonal;
        Multiply(columns, P, rows, {weights, kTile, 1}, {dy.p + i * kTile * dy.ld, dy.ld}, {dx.p + j * kTile * dx.ld, dx.ld}, add || i > j,
                 [&](int64_t s0, int64_t) { return Span{j < i ? 0 : std::min(s0, rows), rows, 0, P}; });
      }
    Steps(decay, b, h, sums);
  }

  // dB and dC of batch rows b0 .. b1-1 from dGrams [their tasks, tiles]; slices of a group are summed into the first.
  void Maps(int64_t b0, int64_t b1, float* dGrams) const {
    const Sizes& s = w.s;
    const int64_t matrix = w.Matrix(), parts = w.tiles * (w.tiles + 1) / 2, groups = (b1 - b0) * s.G;
    if (s.slices > 1)
      ParallelFor(groups * parts, 4, [&](int64_t begin, int64_t end) {
        for (int64_t task = begin; task < end; ++task) {
          float* to = dGrams + task / parts * s.slices * matrix + task % parts * kSquare;
          for (int64_t i = 0; i < kSquare; i += W) {
            F sum = Load(to + i);
            for (int64_t slice = 1; slice < s.slices; ++slice) sum += Load(to + slice * matrix + i);
            Store(to + i, sum);
          }
        }
      });
    ParallelFor(groups * w.tiles, 1, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        const int64_t own = task / w.tiles, t = task % w.tiles, b = b0 + own / s.G, g = own % s.G, rows = w.Count(t);
        const float* dGram = dGrams + own * s.slices * matrix;
        const int64_t at = w.MapAt(b, g, t * kTile);
        const Out toB{dB + at, s.sign * s.mapStep}, toC{dC + at, s.sign * s.mapStep};
        for (int64_t j = 0; j <= t; ++j) {
          const int64_t k = w.Count(j);
          Multiply(rows, s.N, k, {dGram + Whole::At(t, j), 1, kTile}, w.MapRows(w.in.B, b, g, j), toC, j > 0,
                   [&](int64_t, int64_t i1) { return Span{0, j < t ? k : std::min(i1, k), 0, s.N}; });
        }
        for (int64_t i = t; i < w.tiles; ++i) {
          const int64_t k = w.Count(i);
          Multiply(rows, s.N, k, {dGram + Whole::At(i, t), kTile, 1}, w.MapRows(w.in.C, b, g, i), toB, i > t,
                   [&](int64_t s0, int64_t) { return Span{i > t ? 0 : std::min(s0, k), k, 0, s.N}; });
        }
      }
    });
    for (int64_t own = 0; own < groups && w.rows < s.T; ++own)  // what a late scan never reads
      for (float* to : {dB, dC}) std::fill_n(to + w.MapAt(b0 + own / s.G, own % s.G, s.T - 1), s.N, 0.0f);
  }
};

}  // namespace ssd
}  // namespace lab

#endif
