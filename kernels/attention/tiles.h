// What attention kernels are made of: which keys a query sees, keys and queries as the products of tiles want them, and the softmax of a tile.
//
// A tile of scores lies transposed, P[s][i] with the queries i in the vector: row sums and maxima over keys are then plain vector sums, keys
// and values are read where they are, one number at a time, and only the queries (and do, in the gradient) are turned over once a tile.
// Exponents are to the base 2, the factor being in the queries: one multiplication less an entry. A score and the maximum or log-sum that is taken
// from it come of the same rounded numbers, so that their difference is exact where scores are huge.
#ifndef LAB_ATTENTION_TILES_H
#define LAB_ATTENTION_TILES_H

#include <algorithm>
#include <cmath>
#include <limits>

#include "../core/gemm.h"
#include "../core/lab.h"
#include "../core/rows.h"
#include "../core/soon.h"
#include "../core/tile.h"

namespace lab {
namespace attention {

constexpr int64_t kTile = 64;  // queries and keys of a tile
constexpr int kVectors = static_cast<int>(kTile) / W;
constexpr int kAtOnce = kVectors < 4 ? kVectors : 4;  // columns of vectors whose chains run side by side
constexpr int64_t kFar = int64_t{1} << 40;
/// Rows of a product's strip may reach so far past what one of them sees; entries there are zero.
constexpr int64_t kMargin = 16;
constexpr float kLog2e = 1.44269504088896341f, kLn2 = 0.693147180559945309f;
/// In place of minus infinity where differences are taken.
constexpr float kLowest = -1e30f;

/// 2^y, 0 below -160; NaN passes.
LAB_INLINE F Exp2(F y) {
  const F x = Max(F(-160.0f), y);
  const F n = Round(x);
  const F r = x - n;
  F p = F(1.535336188319500e-4f);
  p = Fma(p, r, F(1.339887440266574e-3f));
  p = Fma(p, r, F(9.618437357674640e-3f));
  p = Fma(p, r, F(5.550332471162809e-2f));
  p = Fma(p, r, F(2.402264791363012e-1f));
  p = Fma(p, r, F(6.931472028550421e-1f));
  return Scale2(Fma(p, r, F(1.0f)), n);
}

/// How the inputs of products are held: as they are, rounded to bfloat16, or as pairs of it.
struct Form {
  bool pairs = Paired(), round = Bfloat16() && !Paired();
  /// Floats that `n` numbers take.
  int64_t Slots(int64_t n) const { return pairs ? (n + 1) / 2 : n; }
};

/// Keys and values of a call. Head g of token s of row b has the first `ownWidth` channels of its key at own + (b S + s) ownToken + g ownHead, the
/// rest, which all heads share, at shared + (b S + s) sharedWidth, and its values at values + (b S + s) valueToken + g valueHead.
struct Source {
  const float *own, *shared, *values;
  int64_t ownToken, ownHead, ownWidth, sharedWidth, valueToken, valueHead;
};

struct Sizes {
  int64_t B, T, S, H, Hk, d, e;  // rows, queries, keys, heads of queries and of keys, width of a key and of a value
  // The query at place p (query t: t + S - T) sees keys p + behind .. p + ahead.
  int64_t ahead, behind;
  float scale, cap;  // cap 0: none
  bool alibi;
  const float *cos, *sin;  // [>= S, turning / 2] or null
  int64_t turning;         // channels that turn: the last ones of a head
  Source source;
  Form form;

  int64_t Tiles() const { return (T + kTile - 1) / kTile; }
  int64_t Shift() const { return S - T; }
  int64_t FirstKey(int64_t place) const { return std::max<int64_t>(0, place + behind) / 2 * 2; }  // even, for pairs of keys
  int64_t PastKey(int64_t place) const { return std::max<int64_t>(0, std::min(S, place + ahead + 1)); }
  /// Products become exponents in a pass of their own: they are bent or biased, or the queries must be rounded as they are.
  bool Bent() const { return cap > 0.0f || alibi || form.pairs || form.round; }
  /// What queries are multiplied by before they meet keys.
  float QueryScale() const { return Bent() ? 1.0f : scale * kLog2e; }
  /// What sums of slopes times queries are multiplied by to be the gradient of keys.
  float KeyScale() const { return Bent() ? scale : kLn2; }
  /// How much a score falls with each token of distance (arXiv 2108.12409), for any number of heads.
  float Slope(int64_t h) const {
    if (!alibi) return 0.0f;
    int64_t n = 1;
    while (2 * n <= H) n *= 2;
    return static_cast<float>(h < n ? std::exp2(-8.0 * static_cast<double>(h + 1) / static_cast<double>(n))
                                    : std::exp2(-4.0 * static_cast<double>(2 * (h - n) + 1) / static_cast<double>(n)));
  }
};

// ---------------------------------------------------------------- rows

// Heads of a token lie together, so the next row of one head is far away: it is asked for.
constexpr int64_t kSoon = 12;  // rows ahead

/// Rows of the next tile, `ld` apart: asked for bit by bit between products. Without rows nothing is asked for.
struct Upcoming {
  const float* p;
  int64_t ld, width, rows;
  void Ask(int64_t from, int64_t past) const {
    for (int64_t i = from; i < std::min(past, rows); ++i) Soon(p + i * ld, width);
  }
};

template <class To>
inline void Copy(int64_t width, const float* from, To* to) {
  for (int64_t j = 0; j < width; j += W) StoreUpTo(to + j, LoadUpTo(from + j, width - j), width - j);
}
inline void Add(int64_t width, const float* from, float* to) {
  for (int64_t j = 0; j < width; j += W) StoreUpTo(to + j, LoadUpTo(to + j, width - j) + LoadUpTo(from + j, width - j), width - j);
}
inline void RoundRow(int64_t width, float* p) {
  for (int64_t j = 0; j < width; j += W) StoreUpTo(p + j, RoundBf16(LoadUpTo(p + j, width - j)), width - j);
}

/// to[0 : width] = scale · from, its last channels turned by the tables' row `place`; sign -1 turns back. `turning` of `width` channels turn.
template <class To>
inline void TurnRow(const Sizes& s, int64_t width, int64_t place, float scale, float sign, const float* from, To* to) {
  const int64_t turning = s.cos ? s.turning : 0, still = width - turning, half = turning / 2;
  for (int64_t j = 0; j < still; j += W) StoreUpTo(to + j, F(scale) * LoadUpTo(from + j, still - j), still - j);
  const float *cs = s.cos + place * half, *sn = s.sin + place * half;
  from += still;
  to += still;
  for (int64_t j = 0; j < half; j += W) {
    const int64_t left = half - j;
    const F a = LoadUpTo(from + j, left), b = LoadUpTo(from + half + j, left);
    const F c = LoadUpTo(cs + j, left) * F(scale), n = LoadUpTo(sn + j, left) * F(scale * sign);
    StoreUpTo(to + j, a * c - b * n, left);
    StoreUpTo(to + half + j, b * c + a * n, left);
  }
}

/// to[0 : width] = pairs of a row and the one below it.
inline void PairRows(int64_t width, const float* row, const float* below, float* to) {
  for (int64_t j = 0; j < width; j += W)
    StoreUpTo(to + j, PairLanes(LoadUpTo(row + j, width - j), below ? LoadUpTo(below + j, width - j) : F(0.0f)), width - j);
}

// ---------------------------------------------------------------- keys and values

/// Rows held for products on both sides: as the left factor of scores (row by row) and as the right one of sums over rows.
class Held {
 public:
  Held(const Form& form, int64_t count, int64_t width, bool left, bool right)
      : form_(form), width_(width), left_(form.pairs ? (left ? count * form.Slots(width) : 0) : count * width),
        right_(form.pairs && right ? (count + 1) / 2 * width : 0), hasLeft_(left), hasRight_(right) {}
  /// Takes `count` rows; make(r, to) writes row r.
  template <class Make>
  void Fill(int64_t count, Make&& make) {
    if (!form_.pairs) {
      for (int64_t r = 0; r < count; ++r) {
        float* row = left_ + r * width_;
        make(r, row);
        if (form_.round) RoundRow(width_, row);
      }
      return;
    }
    const int64_t slots = form_.Slots(width_);
    Scratch two(2 * width_);
    for (int64_t r = 0; r < count; r += 2) {
      const bool both = r + 1 < count;
      make(r, two.data());
      if (both) make(r + 1, two + width_);
      if (hasLeft_) {
        PairRow(two, width_, left_ + r * slots);
        if (both) PairRow(two + width_, width_, left_ + (r + 1) * slots);
      }
      if (hasRight_) PairRows(width_, two, both ? two + width_ : nullptr, right_ + r / 2 * width_);
    }
  }
  /// Rows from r on as the left factor.
  Rows Left(int64_t r) const { return {left_.data() + r * form_.Slots(width_), form_.Slots(width_)}; }
  /// The same as the right factor; r is even.
  Rows Right(int64_t r) const { return form_.pairs ? Rows{right_.data() + r / 2 * width_, width_} : Rows{left_.data() + r * width_, width_}; }

 private:
  Form form_;
  int64_t width_;
  Scratch left_, right_;
  bool hasLeft_, hasRight_;
};

/// The key of head g of row b at place `key`, turned.
inline void KeyRow(const Sizes& s, int64_t b, int64_t g, int64_t key, float* to) {
  const Source& from = s.source;
  const int64_t token = b * s.S + key;
  const float* own = from.own + token * from.ownToken + g * from.ownHead;
  if (!from.shared) return TurnRow(s, s.d, key, 1.0f, 1.0f, own, to);
  Copy(from.ownWidth, own, to);
  TurnRow(s, from.sharedWidth, key, 1.0f, 1.0f, from.shared + token * from.sharedWidth, to + from.ownWidth);
}
inline void FillKeys(const Sizes& s, int64_t b, int64_t g, int64_t first, int64_t past, Held& keys) {
  keys.Fill(past - first, [&](int64_t r, float* to) {
    Soon(s.source.own + (b * s.S + first + r + kSoon) * s.source.ownToken + g * s.source.ownHead, s.source.ownWidth);
    KeyRow(s, b, g, first + r, to);
  });
}
inline void FillValues(const Sizes& s, int64_t b, int64_t g, int64_t first, int64_t past, Held& values) {
  const float* from = s.source.values + (b * s.S + first) * s.source.valueToken + g * s.source.valueHead;
  values.Fill(past - first, [&](int64_t r, float* to) {
    Soon(from + (r + kSoon) * s.source.valueToken, s.e);
    Copy(s.e, from + r * s.source.valueToken, to);
  });
}

// ---------------------------------------------------------------- queries

/// A tile of rows [kTile, width]: turned over for scores, and as they are (pairs: by rows) for sums over queries.
class Queries {
 public:
  Queries(const Form& form, int64_t width)
      : form_(form), width_(width), rows_(kTile * width), pairs_(form.pairs ? kTile * width : 0), across_(kTile * width) {}
  float* Row(int64_t i) { return rows_ + i * width_; }
  const float* Row(int64_t i) const { return rows_.data() + i * width_; }
  /// Call when rows 0 .. rows-1 are there; the others become zeros.
  void Finish(int64_t rows, bool forSums) {
    std::fill(rows_ + rows * width_, rows_ + kTile * width_, 0.0f);
    if (form_.round) RoundRow(rows * width_, rows_);
    if (!form_.pairs) return Transpose(kTile, width_, {rows_, width_}, {across_, kTile});
    const int64_t slots = form_.Slots(width_);
    for (int64_t i = 0; i < kTile; ++i) PairRow(rows_ + i * width_, width_, pairs_ + i * slots);
    Transpose(kTile, slots, {pairs_, slots}, {across_, kTile});
    if (forSums)
      for (int64_t i = 0; i < kTile; i += 2) PairRows(width_, Row(i), Row(i + 1), pairs_ + i / 2 * width_);
  }
  const float* Across() const { return across_.data(); }  // [slots, kTile]
  Rows ForSums() const { return {form_.pairs ? pairs_.data() : rows_.data(), width_}; }

 private:
  Form form_;
  int64_t width_;
  Scratch rows_, pairs_, across_;
};

/// Queries q0 .. q0+rows-1 of a head, turned and scaled. `q` is the first one's row; they lie `token` apart.
inline void LoadQueries(const Sizes& s, int64_t rows, int64_t q0, const float* q, int64_t token, bool forSums, Queries& to) {
  for (int64_t i = 0; i < rows; ++i) TurnRow(s, s.d, q0 + i + s.Shift(), s.QueryScale(), 1.0f, q + i * token, to.Row(i));
  to.Finish(rows, forSums);
}

// ---------------------------------------------------------------- one tile of queries against one of keys

/// Query i sees key s where i + low <= s <= i + reach. `distance`: the first query's place minus the first key's.
struct Pair {
  int64_t rows, keys, reach, low, distance;

  Pair(const Sizes& s, int64_t rowCount, int64_t place, int64_t k0, int64_t past)
      : rows(rowCount), keys(std::min(kTile, past - k0)), reach(place + s.ahead - k0), low(place + s.behind - k0), distance(place - k0) {}
  bool Masked() const { return reach < keys - 1 || low + rows - 1 > 0; }
  int64_t Vectors() const { return (rows + W - 1) / W; }
  /// Queries, by whole vectors, that may see key s.
  int64_t FromQuery(int64_t s) const { return std::max<int64_t>(0, s - reach) / W * W; }
  int64_t PastQuery(int64_t s) const { return std::max<int64_t>(0, std::min(Vectors() * W, (s - low) / W * W + W)); }
  /// Keys that queries of vector v may see.
  int64_t From(int64_t v) const { return std::min(keys, std::max<int64_t>(0, v * W + low)); }
  int64_t Past(int64_t v) const { return std::max(From(v), std::min(keys, v * W + W + reach)); }
  /// Sums over queries for keys s0 .. s1-1, and over keys for queries i0 .. i1-1.
  Span OverQueries(const Form& form, int64_t s0, int64_t s1, int64_t width) const {
    return Cut(form, std::max<int64_t>(0, s0 - reach), std::min(rows, s1 - low), width);
  }
  Span OverKeys(const Form& form, int64_t i0, int64_t i1, int64_t width) const {
    return Cut(form, std::max<int64_t>(0, i0 + low), std::min(keys, i1 + reach), width);
  }

 private:
  static Span Cut(const Form& form, int64_t k0, int64_t k1, int64_t width) {
    if (k1 <= k0) return {0, 0, 0, width};
    return form.pairs ? Span{k0 / 2, (k1 + 1) / 2, 0, width} : Span{k0, k1, 0, width};
  }
};

template <class SpanOf>
inline void Multiply(const Form& form, int64_t m, int64_t n, Factor a, Rows b, Out c, bool add, SpanOf&& span) {
  if constexpr (kPairs) {
    if (form.pairs) return Product<true>(m, n, a, b, c, add, span);
  }
  Product(m, n, a, b, c, add, span);
}

/// P[s][i] = left[s] · across[:, i] where query i may see key s, and a little beyond. Between strips, rows of `next` are asked for.
inline void Scores(const Form& form, const Pair& t, int64_t width, Rows left, const float* across, float* P, const Upcoming& next) {
  Multiply(form, t.keys, kTile, {left.p, left.ld, 1}, {across, kTile}, {P, kTile}, false, [&](int64_t s0, int64_t s1) {
    next.Ask(s0, s1 < t.keys ? s1 : kTile);
    return Span{0, form.Slots(width), t.FromQuery(s0), t.PastQuery(s1 - 1)};
  });
}

/// Entries of a vector that are not seen become minus infinity; those around its keys, up to kMargin, zero.
inline void MaskOut(const Pair& t, int64_t v, float* P) {
  const float below = -std::numeric_limits<float>::infinity();
  const int64_t first = v * W;
  for (int64_t s = std::max(t.From(v), first + t.reach + 1); s < t.Past(v); ++s) {
    float* p = P + s * kTile + first;
    Store(p, Select(Lt(Iota(), F(static_cast<float>(s - t.reach - first))), F(below), Load(p)));
  }
  for (int64_t s = t.From(v); s < std::min(t.Past(v), first + W - 1 + t.low); ++s) {
    float* p = P + s * kTile + first;
    Store(p, Select(Lt(F(static_cast<float>(s - t.low - first)), Iota()), F(below), Load(p)));
  }
}
inline void ZeroMargin(const Pair& t, int64_t v, float* P) {
  for (int64_t s = std::max<int64_t>(0, t.From(v) - kMargin); s < t.From(v); ++s) Store(P + s * kTile + v * W, F(0.0f));
  for (int64_t s = t.Past(v); s < std::min(t.keys, t.Past(v) + kMargin); ++s) Store(P + s * kTile + v * W, F(0.0f));
}

/// Bends scores into exponents: cap · tanh(scale · score / cap) - slope · distance, to the base 2. `gain`, where not null, takes the slope of the tanh.
inline void Bend(const Sizes& s, const Pair& t, float slope, float* P, float* gain) {
  const F scale(s.scale), inverse(s.cap > 0.0f ? 1.0f / s.cap : 0.0f), cap(s.cap), fall(-slope * kLog2e);
  for (int64_t v = 0; v < t.Vectors(); ++v)
    for (int64_t key = t.From(v); key < t.Past(v); ++key) {
      float* p = P + key * kTile + v * W;
      F z = Load(p) * scale;
      if (s.cap > 0.0f) {
        const F bent = Tanh(z * inverse);
        z = cap * bent;
        if (gain) Store(gain + key * kTile + v * W, F(1.0f) - bent * bent);
      }
      const F far = Abs(Iota() + F(static_cast<float>(v * W + t.distance - key)));
      Store(p, Fma(fall, far, z * F(kLog2e)));
    }
}

/// Takes the exponents of N vectors of queries, keys from .. past-1, to their powers, and keeps each query's running maximum and sum; factor[i] is
/// what earlier sums shrink by.
template <int N>
void SoftmaxColumns(int64_t from, int64_t past, float* P, float* most, float* sum, float* factor) {
  F top[N], m[N], l[N];
  for (int a = 0; a < N; ++a) top[a] = F(-std::numeric_limits<float>::infinity());
  for (int64_t s = from; s < past; ++s)
    for (int a = 0; a < N; ++a) top[a] = Max(top[a], Load(P + s * kTile + a * W));
  for (int a = 0; a < N; ++a) {
    const F before = Load(most + a * W);
    m[a] = Max(before, top[a]);
    const F shrink = Exp2(before - m[a]);
    Store(factor + a * W, shrink);
    Store(most + a * W, m[a]);
    l[a] = Load(sum + a * W) * shrink;
  }
  for (int64_t s = from; s < past; ++s)
    for (int a = 0; a < N; ++a) {
      float* p = P + s * kTile + a * W;
      const F e = Exp2(Load(p) - m[a]);
      Store(p, e);
      l[a] += e;
    }
  for (int a = 0; a < N; ++a) Store(sum + a * W, l[a]);
}

inline void OnlineSoftmax(const Pair& t, float* P, float* most, float* sum, float* factor) {
  if (!t.Masked() && t.Vectors() == kVectors) {
    for (int v = 0; v < kVectors; v += kAtOnce) SoftmaxColumns<kAtOnce>(0, t.keys, P + v * W, most + v * W, sum + v * W, factor + v * W);
    return;
  }
  for (int64_t v = 0; v < t.Vectors(); ++v) {
    MaskOut(t, v, P);
    SoftmaxColumns<1>(t.From(v), t.Past(v), P + v * W, most + v * W, sum + v * W, factor + v * W);
    ZeroMargin(t, v, P);
  }
}

/// A tile P[s][i] as the left factor of sums over keys; `pairs` [kTile / 2, kTile] takes the pairs.
inline Factor OverKeys(const Form& form, const Pair& t, float* P, float* pairs) {
  if (!form.pairs) {
    if (form.round) RoundRow(t.keys * kTile, P);
    return {P, 1, kTile};
  }
  for (int64_t s = 0; s < t.keys; s += 2) PairRows(t.Vectors() * W, P + s * kTile, s + 1 < t.keys ? P + (s + 1) * kTile : nullptr, pairs + s / 2 * kTile);
  return {pairs, 1, kTile};
}
/// The same for sums over queries; `pairs` [kTile, kTile / 2].
inline Factor OverQueries(const Form& form, const Pair& t, float* P, float* pairs) {
  if (!form.pairs) {
    if (form.round) RoundRow(t.keys * kTile, P);
    return {P, kTile, 1};
  }
  for (int64_t s = 0; s < t.keys; ++s) PairRow(P + s * kTile, t.Vectors() * W, pairs + s * (kTile / 2));
  return {pairs, kTile / 2, 1};
}

// ---------------------------------------------------------------- forward

/// What one tile of queries is worked with in the forward pass.
struct ForwardScratch {
  Queries queries;
  Scratch P, pairs, o, most, sum, factor;
  ForwardScratch(const Sizes& s)
      : queries(s.form, s.d), P(kTile * kTile), pairs(kTile * kTile / 2), o(kTile * s.e), most(kTile), sum(kTile), factor(kTile) {}
};

/// Softmax over keys lo .. hi-1 for the queries in x, whose first stands at `place`, times the values: x.o [rows, e], not yet divided by x.sum.
/// Row 0 of keys and values is key `first`. `most` and `sum` are started by the caller. `next` are the queries after these.
inline void AttendTile(const Sizes& s, int64_t rows, int64_t place, int64_t lo, int64_t hi, int64_t first, const Held& keys, const Held& values,
                       float slope, const Upcoming& next, ForwardScratch& x) {
  if (hi <= lo) std::fill(x.o.data(), x.o + rows * s.e, 0.0f);
  for (int64_t k0 = lo; k0 < hi; k0 += kTile) {
    const Pair t(s, rows, place, k0, hi);
    Scores(s.form, t, s.d, keys.Left(k0 - first), x.queries.Across(), x.P, k0 == lo ? next : Upcoming{});
    if (s.Bent()) Bend(s, t, slope, x.P, nullptr);
    OnlineSoftmax(t, x.P, x.most, x.sum, x.factor);
    if (k0 > lo)
      for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < s.e; j += W)
          StoreUpTo(x.o + i * s.e + j, LoadUpTo(x.o + i * s.e + j, s.e - j) * F(x.factor[i]), s.e - j);
    Multiply(s.form, rows, s.e, OverKeys(s.form, t, x.P, x.pairs), values.Right(k0 - first), {x.o, s.e}, k0 > lo,
             [&](int64_t i0, int64_t i1) { return t.OverKeys(s.form, i0, i1, s.e); });
  }
}

/// The logarithms to the base 2 of the rows' sums; 0 where a row is empty. lse goes on for `rows` numbers.
inline void LogSums(int64_t rows, const float* most, const float* sum, float* lse) {
  for (int64_t i = 0; i < rows; i += W) {
    const F whole = Load(sum + i), log = Fma(Log(whole), F(kLog2e), Load(most + i));
    StoreUpTo(lse + i, Select(Eq(whole, F(0.0f)), F(0.0f), log), rows - i);
  }
}

// ---------------------------------------------------------------- gradient

/// What a row's slopes are taken from: its log-sum-exp and delta = Σ do · o. `whole`: the tile holds all keys that its queries see, and delta is made of
/// its shares anew, so that slopes cancel in a row as they should; `rest`, or null, is the share of a row's sink.
struct RowSums {
  const float *lse, *delta, *rest;
  bool whole;
};

/// Makes powers from the scores in P with the saved sums, and from the slopes of the shares in dZ those of the exponents:
/// p = 2^(score - lse), dz = p (dZ - delta). `gain` holds the slopes of bent scores, or null.
template <int N>
void SlopeColumns(int64_t from, int64_t past, int64_t column, const RowSums& rows, float* P, float* dZ, const float* gain) {
  F l[N], d[N];
  for (int a = 0; a < N; ++a) l[a] = Load(rows.lse + column + a * W), d[a] = Load(rows.delta + column + a * W);
  for (int64_t s = from; s < past; ++s)
    for (int a = 0; a < N; ++a) {
      float *p = P + s * kTile + column + a * W, *z = dZ + s * kTile + column + a * W;
      const F e = Exp2(Load(p) - l[a]);
      Store(p, e);
      const F slope = e * (Load(z) - d[a]);
      Store(z, gain ? slope * Load(gain + s * kTile + column + a * W) : slope);
    }
}

/// The same for one vector of queries whose rows are whole: delta = Σ p dZ / Σ p. From Σ do · o it differs by rounding, which would stay where slopes cancel.
inline void WholeSlopes(int64_t from, int64_t past, int64_t column, const RowSums& rows, float* P, float* dZ, const float* gain) {
  const F lse = Load(rows.lse + column);
  F sum = rows.rest ? Load(rows.rest + column) : F(0.0f), dot(0.0f);
  for (int64_t s = from * kTile + column; s < past * kTile + column; s += kTile) {
    const F e = Exp2(Load(P + s) - lse);
    Store(P + s, e);
    sum += e;
    dot = Fma(e, Load(dZ + s), dot);
  }
  const F delta = dot / Max(sum, F(std::numeric_limits<float>::min()));  // a row may see nothing
  for (int64_t s = from * kTile + column; s < past * kTile + column; s += kTile) {
    const F slope = Load(P + s) * (Load(dZ + s) - delta);
    Store(dZ + s, gain ? slope * Load(gain + s) : slope);
  }
}

inline void Slopes(const Pair& t, const RowSums& rows, float* P, float* dZ, const float* gain) {
  if (!t.Masked() && t.Vectors() == kVectors && !rows.whole) {
    for (int v = 0; v < kVectors; v += kAtOnce) SlopeColumns<kAtOnce>(0, t.keys, v * W, rows, P, dZ, gain);
    return;
  }
  for (int64_t v = 0; v < t.Vectors(); ++v) {
    MaskOut(t, v, P);
    if (rows.whole) WholeSlopes(t.From(v), t.Past(v), v * W, rows, P, dZ, gain);
    else SlopeColumns<1>(t.From(v), t.Past(v), v * W, rows, P, dZ, gain);
    ZeroMargin(t, v, P);
    ZeroMargin(t, v, dZ);
  }
}

/// Tiles of queries of one key head, dealt out to parts that each sum dk and dv by itself. More than one part where rows and key heads are too few
/// to keep many threads at work. Parts depend on shapes only.
struct Deal {
  int64_t parts, items;
  Deal(const Sizes& s, int64_t itemCount) : items(itemCount) {
    // Each part fills the keys and is added up again, so it should have some tiles to work on.
    constexpr int64_t tasks = 32, least = 4, floats = int64_t{1} << 24;
    const int64_t all = std::max<int64_t>(1, s.B * s.Hk), room = floats / std::max<int64_t>(1, all * s.S * (s.d + s.e));
    parts = std::max<int64_t>(1, std::min({(tasks + all - 1) / all, items / least, std::max<int64_t>(8, room)}));
  }
  /// Calls item(i) for the items of a part: to and fro over the parts, as later tiles see more keys.
  template <class Item>
  void Each(int64_t part, Item&& item) const {
    for (int64_t round = 0; round * parts < items; ++round) {
      const int64_t i = round * parts + (round % 2 ? parts - 1 - part : part);
      if (i < items) item(i);
    }
  }
};

}  // namespace attention
}  // namespace lab

#endif
