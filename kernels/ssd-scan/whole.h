// The state-space-dual scan of a short sequence as a product with its whole matrix, y = W x with W as in scan.h: no states, and C·B once for all heads
// of a group. Up to a few hundred tokens that is less work than a state a chunk, and nothing has to be kept for the gradient.
//
// Matrices lie turned, [s, l], and as tiles of 64 x 64, of which those below the diagonal count. lam[l][s] = exp(cum[l] - cum[s]) is the product of
// two factors about the last token before l's tile, or within a tile on the diagonal before l's vector; only in that vector it is worked out by itself.
// Rows are counted in the order of the scan. A late scan is one of all tokens but the last whose outputs go to the next one.
#ifndef LAB_SSD_WHOLE_H
#define LAB_SSD_WHOLE_H

#include "scan.h"

namespace lab {
namespace ssd {

constexpr int64_t kTile = kChunk;
constexpr int64_t kLongest = 256;  // rows; whole.ts allows no more
constexpr int64_t kLongestTiles = kLongest / kTile;
constexpr int64_t kSquare = kTile * kTile;
constexpr int64_t kWholeTasks = 16;  // wanted of rows, groups and slices of their heads; depends on the shape only

struct Whole {
  Sizes s;
  Inputs in;
  int64_t rows, tiles;
  int64_t first = 0;  // batch row at which B and C (and their slopes) begin
  Whole(const Sizes& sizes, const Inputs& in) : s(sizes), in(in), rows(std::max<int64_t>(0, s.T - s.late)), tiles((rows + kTile - 1) / kTile) {
    s.chunks = 1;
    s.slices = std::min(s.perGroup, (kWholeTasks + s.B * s.G - 1) / std::max<int64_t>(1, s.B * s.G));
  }
  int64_t Count(int64_t tile) const { return std::min(kTile, rows - tile * kTile); }
  int64_t Token(int64_t b, int64_t row) const { return b * s.T + (s.backwards ? s.T - 1 - row : row); }
  /// Where a row of B or C (or of their slopes) begins, and the rows of a tile.
  int64_t MapAt(int64_t b, int64_t g, int64_t row) const { return (Token(b, row) - first * s.T) * s.mapStep + g * s.N; }
  Rows MapRows(const float* maps, int64_t b, int64_t g, int64_t tile) const { return {maps + MapAt(b, g, tile * kTile), s.sign * s.mapStep}; }
  /// Floats of the tiles of one matrix, and where that of rows i and columns j <= i begins.
  int64_t Matrix() const { return tiles * (tiles + 1) / 2 * kSquare; }
  static int64_t At(int64_t i, int64_t j) { return (i * (i + 1) / 2 + j) * kSquare; }
  /// Batch rows whose matrices stand side by side at a time.
  int64_t Together() const { return std::max<int64_t>(1, kWholeTasks / (s.G * s.slices)); }
};

// The part of a strip of columns s0 .. of a diagonal tile [s, l] that lies on and past the diagonal, whole vectors of it.
inline Span PastDiagonal(int64_t s0, int64_t k) { return {0, k, s0 / W * W, kTile}; }

// grams [batch rows b0 .. b1-1, G, tiles]: (C[l]·B[s]) where s lies in l's tile or before.
inline void Grams(const Whole& w, int64_t b0, int64_t b1, float* grams) {
  const Sizes& s = w.s;
  ParallelFor((b1 - b0) * s.G * w.tiles, 1, [&](int64_t begin, int64_t end) {
    Scratch turned(s.N * kTile);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t own = task / w.tiles, i = w.tiles - 1 - task % w.tiles, b = b0 + own / s.G, g = own % s.G;
      float* to = grams + own * w.Matrix();
      TurnTokens(w.Count(i), s.N, w.MapRows(w.in.C, b, g, i), turned);
      for (int64_t j = 0; j <= i; ++j) {
        const Rows B = w.MapRows(w.in.B, b, g, j);
        Multiply(w.Count(j), kTile, s.N, {B.p, B.ld, 1}, {turned, kTile}, {to + Whole::At(i, j), kTile}, false,
                 [&](int64_t s0, int64_t) { return j < i ? Span{0, s.N, 0, kTile} : PastDiagonal(s0, s.N); });
      }
    }
  });
}

// Decay of one head. cum is its last value past the rows, dt is 0 there.
struct WholeDecay {
  double cum[kLongest];
  float dt[kLongest], within[kLongest];  // exp(cum[l] - cum before l's tile)
  WholeDecay(const Whole& w, int64_t b, int64_t h) {
    double sum = 0;
    const double rate = w.in.A[h];
    for (int64_t i = 0; i < w.tiles; ++i) {
      const double edge = sum;
      for (int64_t l = i * kTile; l < (i + 1) * kTile; ++l) {
        dt[l] = l < w.rows ? w.in.dt[w.Token(b, l) * w.s.H + h] : 0.0f;
        sum += static_cast<double>(dt[l]) * rate;
        cum[l] = sum;
        within[l] = static_cast<float>(sum - edge);
      }
      for (int64_t l = i * kTile; l < (i + 1) * kTile; l += W) Store(within + l, Exp(Load(within + l)));
    }
  }
  double Edge(int64_t l) const { return l > 0 ? cum[l - 1] : 0.0; }
  /// since[s] = exp(edge - cum[first + s]) and fed[s] = since[s] dt[first + s] for s < count, or up to a vector more.
  void Since(double edge, int64_t first, int64_t count, float* since, float* fed) const {
    for (int64_t s = 0; s < count; ++s) since[s] = static_cast<float>(edge - cum[first + s]);
    for (int64_t s = count; s % W != 0; ++s) since[s] = 0.0f;
    for (int64_t s = 0; s < count; s += W) {
      const F e = Exp(Load(since + s));
      Store(since + s, e);
      Store(fed + s, e * Load(dt + first + s));
    }
  }
  /// exp(cum[l] - edge) of the vector of rows from l on.
  LAB_INLINE F Within(double edge, int64_t l) const {
    float gap[W];
    for (int64_t i = 0; i < W; ++i) gap[i] = static_cast<float>(cum[l + i] - edge);
    return Exp(Load(gap));
  }
  /// lam of the vector of rows from `own` on against s, one of them; 0 before s.
  LAB_INLINE F Own(int64_t own, int64_t s) const {
    float gap[W];
    for (int64_t i = 0; i < W; ++i) gap[i] = static_cast<float>(cum[own + i] - cum[s]);
    return Select(Le(F(static_cast<float>(s - own)), Iota()), Exp(Min(Load(gap), F(0.0f))), F(0.0f));
  }
};

// `tile` and `diagonal` hold weights; `diagonal` stays zero before the vector of its diagonal.
struct WeightsRoom {
  Scratch tile, diagonal;
  WeightsRoom() : tile(kSquare), diagonal(kSquare) { std::fill_n(diagonal.data(), kSquare, 0.0f); }
};

// What a task will read or write next, rows `ld` floats apart, asked for a little at a time while products run.
struct Wanted {
  const float* p;
  int64_t rows, ld, width;
  bool written;
  void Ask(int64_t part, int64_t parts) const {
    for (int64_t r = rows * part / parts; r < rows * (part + 1) / parts; ++r)
      if (written)
        SoonWritten(p + r * ld, width);
      else
        Later(p + r * ld, width);
  }
};

constexpr int64_t kSoonRows = 32;  // how far ahead rows are asked for: a row is copied in a few cycles

inline void CopyRows(int64_t rows, int64_t width, Rows from, Out to) {
  for (int64_t r = 0; r < rows; ++r) {
    Soon(from.p + r * from.ld, width, kSoonRows * from.ld);
    for (int64_t j = 0; j < width; j += W) StoreUpTo(to.p + r * to.ld + j, LoadUpTo(from.p + r * from.ld + j, width - j), width - j);
  }
}

struct WholeForward {
  const Whole& w;

  // Weights of tile (i, j < i) to `to`.
  void Weights(const WholeDecay& d, int64_t i, int64_t j, const float* gram, float* to) const {
    float since[kTile], fed[kTile];
    d.Since(d.Edge(i * kTile), j * kTile, kTile, since, fed);
    const float* within = d.within + i * kTile;
    for (int64_t s = 0; s < kTile; ++s) {
      const F by(fed[s]);
      for (int64_t l = 0; l < kTile; l += W) Store(to + s * kTile + l, Load(gram + s * kTile + l) * (Load(within + l) * by));
    }
  }

  // The same of tile (i, i), with `skip` added on the diagonal.
  void Diagonal(const WholeDecay& d, int64_t i, float skip, const float* gram, float* to) const {
    float since[kTile], fed[kTile];
    const int64_t first = i * kTile, rows = w.Count(i);
    for (int64_t own = 0; own < rows; own += W) {
      const double edge = d.Edge(first + own);
      const F within = d.Within(edge, first + own);
      d.Since(edge, first, own, since, fed);
      for (int64_t s = 0; s < own; ++s) Store(to + s * kTile + own, Load(gram + s * kTile + own) * (within * F(fed[s])));
      for (int64_t s = own; s < std::min(rows, own + W); ++s) {
        const F weight = d.Own(first + own, first + s) * F(d.dt[first + s]) * Load(gram + s * kTile + own);
        Store(to + s * kTile + own, Select(Eq(Iota(), F(static_cast<float>(s - own))), weight + F(skip), weight));
      }
    }
  }

  // y (+)= W x of one head; x and y by row, y already where the outputs go. wanted(part, parts) is called between products.
  template <class Want>
  void Head(int64_t b, int64_t h, const float* gram, Rows x, Out y, bool add, WeightsRoom& room, Want&& wanted) const {
    const WholeDecay decay(w, b, h);
    const int64_t P = w.s.P, parts = w.tiles * (w.tiles + 1) / 2;
    for (int64_t i = 0; i < w.tiles; ++i)
      for (int64_t j = 0; j <= i; ++j) {
        const int64_t at = Whole::At(i, j), k = w.Count(j);
        float* weights = j < i ? room.tile : room.diagonal;
        wanted(at / kSquare, parts);
        if (j < i)
          Weights(decay, i, j, gram + at, weights);
        else
          Diagonal(decay, i, w.in.D ? w.in.D[h] : 0.0f, gram + at, weights);
        Multiply(w.Count(i), P, k, {weights, 1, kTile}, {x.p + j * kTile * x.ld, x.ld}, {y.p + i * kTile * y.ld, y.ld}, add || j > 0,
                 [&](int64_t, int64_t i1) { return Span{0, j < i ? k : std::min(i1, k), 0, P}; });
      }
  }
};

}  // namespace ssd
}  // namespace lab

#endif
