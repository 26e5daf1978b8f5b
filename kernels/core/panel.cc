// The register tiles, one function for each number of rows and each place of the factors.
#include "panel.h"

#include <type_traits>
#include <utility>

#include "rows.h"
#include "soon.h"
#include "tile.h"

namespace lab {
namespace {

/// Slots between reading numbers and asking for them: at some 14 cycles a slot the time that memory takes.
constexpr int64_t kAhead = 32;
/// Slots between packing a pair of A and using it: by then it has left the store buffer.
constexpr int64_t kLead = 8;

/// What a factor is copied from.
template <From from>
using Element = std::conditional_t<from == From::kHalves, Half, float>;

/// to[0:R] = what of A stands at one k, as floats or as pairs; `high` may be null.
template <int R, bool Pairs, class T>
LAB_INLINE void CopySlot(const T* low, const T* high, float* to) {
  LAB_UNROLL for (int i = 0; i < R; i += W) {
    const int64_t left = R - i;
    StoreUpTo(to + i, Pairs ? PairsBelow(low + i, high ? high + i : nullptr, left) : LoadUpTo(low + i, left), left);
  }
}

template <int R, int V, bool Pairs, From A, From B>
struct Sums {
  F sum[R][V];
  const float* b;
  float* panel;          // of B, where it is written
  const Element<B>* from;
  int64_t ld;

  LAB_INLINE explicit Sums(const TileCall& c) : b(c.b), panel(c.b), from(static_cast<const Element<B>*>(c.from)), ld(c.ld) {
    LAB_UNROLL for (int i = 0; i < R; ++i)
      LAB_UNROLL for (int v = 0; v < V; ++v) sum[i][v] = F(0.0f);
  }

  /// Adds one slot; at(i) gives A's number of row i. `high`: the pair is whole; `soon`: what is to be read later, from `from` on.
  template <class At>
  LAB_INLINE void Add(At&& at, bool high, int64_t soon) {
    F row[V];
    if constexpr (B == From::kPanel) {
      LAB_UNROLL for (int v = 0; v < V; ++v) row[v] = Load(b + v * W);
      b += V * W;
    } else {
      LAB_UNROLL for (int v = 0; v < V; ++v) {
        row[v] = Pairs ? PairsBelow(from + v * W, high ? from + ld + v * W : nullptr, W) : Load(from + v * W);
        Store(panel + v * W, row[v]);
        if (B == From::kHalves && v * W % (2 * kLine) != 0) continue;  // a line holds twice as many
        SoonLine(from + soon + v * W);
        if constexpr (Pairs) SoonLine(from + soon + ld + v * W);
      }
      from += (Pairs ? 2 : 1) * ld;
      panel += V * W;
    }
    LAB_UNROLL for (int i = 0; i < R; ++i) {
      const F x(at(i));
      LAB_UNROLL for (int v = 0; v < V; ++v) sum[i][v] = Pairs ? DotPairs(x, row[v], sum[i][v]) : Fma(x, row[v], sum[i][v]);
    }
  }

  /// sum = alpha sum.
  LAB_INLINE void Scale(float alpha) {
    LAB_UNROLL for (int i = 0; i < R; ++i)
      LAB_UNROLL for (int v = 0; v < V; ++v) sum[i][v] = F(alpha) * sum[i][v];
  }

  template <bool Whole, bool Adds>
  LAB_INLINE void Put(const TileCall& call) const {
    const F beta(call.add.beta);
    const int64_t last = call.columns - (V - 1) * W;
    float* c = call.C;
    const float* d = call.add.p;
    LAB_UNROLL for (int i = 0; i < R; ++i) {
      LAB_UNROLL for (int v = 0; v < V; ++v) {
        F y = sum[i][v];
        if (Whole || v + 1 < V) {
          if (Adds) y = Fma(beta, Load(d + v * W), y);
          Store(c + v * W, y);
        } else {
          if (Adds) y = Fma(beta, LoadPart(d + v * W, last), y);
          StorePart(c + v * W, y, last);
        }
      }
      c += call.ldc;
      d += call.add.ld;
    }
  }
};

template <int R, int V, bool Pairs, From A, From B>
void Tile(const TileCall& call) {
  Sums<R, V, Pairs, A, B> sums(call);
  const int64_t slots = call.slots, step = Pairs ? 2 : 1;
  // The lines of C, a few at a time, so that sums go on meanwhile.
  const auto results = [&](int v) {
    LAB_UNROLL for (int i = 0; i < R; ++i) SoonLine(call.C + i * call.ldc + v * W);
  };
  constexpr bool kOnTheWay = (A == From::kPanel && B == From::kPanel) || A == From::kRows;
  if (!kOnTheWay || slots < R * V)
    LAB_UNROLL for (int v = 0; v < V; ++v) results(v);
  // Near the end of B's columns those of the next panel are wanted.
  const auto soon = [&](int64_t p) {
    if constexpr (B == From::kPanel) return int64_t{0};
    return p + kAhead < slots ? kAhead * step * call.ld : (kAhead - slots) * step * call.ld + V * W;
  };
  if constexpr (A == From::kPanel) {
    const float* a = call.a;
    if constexpr (B == From::kPanel) {
      int64_t p = 0;
      for (int round = 0; round <= V; ++round) {
        const bool last = round == V;
        const float* want = last ? call.want : call.C + round * W;
        const int64_t step = last ? call.wantStep : call.ldc, end = last ? slots : slots < R * V ? 0 : p + R;
        for (; p < end; ++p) {
          last ? LaterLine(want) : SoonLine(want);
          want += step;
          sums.Add([&](int i) { return a[i]; }, true, 0);
          a += call.aStride;
        }
      }
    } else {
      for (int64_t p = 0; p < slots; ++p) {
        sums.Add([&](int i) { return a[i]; }, !Pairs || !call.odd || p + 1 < slots, soon(p));
        a += call.aStride;
      }
    }
  } else if constexpr (A == From::kRows) {
    int64_t p = 0;
    const float* want = call.want;
    for (int s = 0; s < call.count; ++s) {
      const int64_t lda = call.strips[s].ld;
      const float* row = call.strips[s].p;
      for (int64_t left = call.strips[s].slots; left > 0; left -= 16) {
        if (p < 16 * V && slots >= R * V) results(static_cast<int>(p / 16));
        if (call.next)
          LAB_UNROLL for (int i = 0; i < R; ++i) SoonLine(row + (R + i) * lda);
        for (int q = 0; q < call.wants; ++q, want += call.wantStep) LaterLine(want);
        for (const float* end = row + (left < 16 ? left : 16); row < end; ++row) {
          sums.Add([&](int i) { return row[i * lda]; }, true, soon(p));
          ++p;
        }
      }
    }
  } else {
    const auto* from = reinterpret_cast<const Element<A>*>(call.strips[0].p);
    const int64_t lda = call.strips[0].ld;
    float* a = call.a;
    const auto copy = [&](int64_t p) {
      CopySlot<R, Pairs>(from, call.odd && p + 1 == slots ? nullptr : from + lda, a + p * call.aStride);
      SoonLine(from + kAhead * step * lda);
      SoonLine(from + kAhead * step * lda + R - 1);
      if constexpr (Pairs) {
        SoonLine(from + (kAhead * step + 1) * lda);
        SoonLine(from + (kAhead * step + 1) * lda + R - 1);
      }
      from += step * lda;
    };
    if constexpr (Pairs) {
      for (int64_t p = 0; p < kLead && p < slots; ++p) copy(p);
      for (int64_t p = 0; p < slots; ++p) {
        if (p + kLead < slots) copy(p + kLead);
        sums.Add([&](int i) { return a[p * call.aStride + i]; }, true, 0);
      }
    } else {
      for (int64_t p = 0; p < slots; ++p) {
        const float* now = from;
        copy(p);
        sums.Add([&](int i) { return now[i]; }, true, 0);
      }
    }
  }
  if (call.alpha != 1.0f) sums.Scale(call.alpha);
  const bool whole = call.columns == V * W, adds = call.add.beta != 0.0f;
  if (whole) return adds ? sums.template Put<true, true>(call) : sums.template Put<true, false>(call);
  return adds ? sums.template Put<false, true>(call) : sums.template Put<false, false>(call);
}

template <int V, bool Pairs, From A, From B, int... R>
constexpr TileFunction PickRow(int64_t rows, std::integer_sequence<int, R...>) {
  constexpr TileFunction table[] = {Tile<R + 1, V, Pairs, A, B>...};
  return table[rows - 1];
}
template <bool Pairs, From A, From B>
TileFunction PickOf(int64_t rows, int64_t vectors) {
  constexpr auto all = std::make_integer_sequence<int, kRows>();
  if constexpr (B == From::kPanel) {
    if (vectors == 1) return PickRow<1, Pairs, A, B>(rows, all);
  }
  return PickRow<kVectors, Pairs, A, B>(rows, all);
}
static_assert(kVectors == 2, "PickOf knows panels of one and of two vectors");

/// A in kPanel or kRows, B copied.
template <bool Pairs, From B>
TileFunction PickCopying(int64_t rows, int64_t vectors, From a) {
  return a == From::kRows ? PickOf<Pairs, From::kRows, B>(rows, vectors) : PickOf<Pairs, From::kPanel, B>(rows, vectors);
}

template <bool Pairs>
TileFunction Pick(int64_t rows, int64_t vectors, From a, From b) {
  if constexpr (Pairs) {
    if (b == From::kHalves) return PickCopying<Pairs, From::kHalves>(rows, vectors, a);
    if (a == From::kHalves) return PickOf<Pairs, From::kHalves, From::kPanel>(rows, vectors);
  }
  if (b == From::kCopied) return PickCopying<Pairs, From::kCopied>(rows, vectors, a);
  if (a == From::kCopied) return PickOf<Pairs, From::kCopied, From::kPanel>(rows, vectors);
  return PickCopying<Pairs, From::kPanel>(rows, vectors, a);
}

}  // namespace

TileFunction TileOf(int64_t rows, int64_t vectors, bool paired, From a, From b) {
  if constexpr (kPairs) {
    if (paired) return Pick<true>(rows, vectors, a, b);
  }
  return Pick<false>(rows, vectors, a, b);
}

}  // namespace lab
