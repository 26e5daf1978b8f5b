// How products are cut into the work of threads.
#include "product.h"

#include <algorithm>
#include <vector>

#include "rows.h"

namespace lab {
namespace {

constexpr int64_t kWide = 512;            // most columns of a tile
constexpr int64_t kTiles16 = 16;          // as many tiles as make 2 to 16 threads end together

const float* AAt(const Product& x, int t, int64_t i, int64_t p) {
  const Product::Left& a = x.a[t];
  return x.transA ? a.p + p * a.ld + i : a.p + i * a.ld + p;
}
const float* BAt(const Product& x, int t, int c, int64_t p, int64_t j) {
  const Product::Right& b = x.b[t][c];
  return x.transB ? b.p + j * b.ld + p : b.p + p * b.ld + j;
}
float* CAt(const Product::Result& c, int64_t i, int64_t j) { return c.p + i * c.ld + j; }
Addend AddAt(const Product::Result& c, int64_t i, int64_t j) { return {c.add.beta, c.add.p + i * c.add.ld + j, c.add.ld}; }

/// The product of one term and column.
Product Single(const Product& x, int t, int c) {
  Product y{x.m, x.transA, x.transB, 1, 1, {}, {}, {}};
  y.a[0] = x.a[t];
  y.b[0][0] = x.b[t][c];
  y.c[0] = x.c[c];
  if (t > 0) y.c[0].add = {1.0f, x.c[c].p, x.c[c].ld};
  return y;
}

/// One column: the row of the transposed product.
void OneColumn(const Product& x) {
  Scratch y(x.m);
  Product row{1, !x.transB, !x.transA, 1, 1, {}, {}, {}};
  row.a[0] = {x.b[0][0].p, x.b[0][0].ld, x.a[0].k};
  row.b[0][0] = {x.a[0].p, x.a[0].ld};
  row.c[0] = {y, x.m, x.m, {0.0f, y, 0}};
  MultiplyFew(row);
  const Product::Result& c = x.c[0];
  for (int64_t i = 0; i < x.m; ++i) c.p[i * c.ld] = y[i] + (c.add.beta == 0.0f ? 0.0f : c.add.beta * c.add.p[i * c.add.ld]);
}

/// A strip of rows or columns for each thread. Sums run along k, so the strips may depend on the threads without changing a bit.
void InStrips(const Product& x) {
  const int64_t n = x.c[0].n, k = x.a[0].k;
  const bool byRows = x.m >= n;
  const int64_t length = byRows ? x.m : n, step = byRows ? RowStep() : kColumns;
  const int64_t strips = std::max<int64_t>(1, std::min<int64_t>({static_cast<int64_t>(WorkOf(x) / kAlone), length / step, Threads()}));
  ParallelFor(length, Even(length, (length + strips - 1) / strips, step), [&](int64_t at, int64_t end) {
    const int64_t i = byRows ? at : 0, j = byRows ? 0 : at;
    GemmPacked(x.transA, x.transB, byRows ? end - at : x.m, byRows ? n : end - at, k, 1.0f, AAt(x, 0, i, 0), x.a[0].ld, BAt(x, 0, 0, 0, j), x.b[0][0].ld,
               AddAt(x.c[0], i, j), CAt(x.c[0], i, j), x.c[0].ld);
  });
}

/// Depths of one or more terms that are packed together: `deep` elements from `p` on of term `term`, whose slots begin at `slot`.
struct Piece {
  int term;
  int64_t p, deep, slot;
};
struct Chunk {
  std::vector<Piece> pieces;
  int64_t slots = 0;
};

std::vector<Chunk> ChunksOf(const Product& x) {
  std::vector<Chunk> chunks(1);
  for (int t = 0; t < x.terms; ++t) {
    const int64_t k = x.a[t].k, kc = Even(k, Depth(), DepthStep());
    for (int64_t p = 0; p < k; p += kc) {
      const int64_t deep = std::min(kc, k - p);
      if (chunks.back().slots > 0 && chunks.back().slots + Slots(deep) > kSlots) chunks.emplace_back();
      chunks.back().pieces.push_back({t, p, deep, chunks.back().slots});
      chunks.back().slots += Slots(deep);
    }
  }
  return chunks;
}

/// Tiles of C. For each chunk of k, B is packed once for all; the owner of a tile packs its own rows of A, unless many tiles would pack the same.
void InTiles(const Product& x) {
  const std::vector<Chunk> chunks = ChunksOf(x);
  int64_t slots = 0, n = 0, first[kMostTerms + 1] = {0};  // first panel of each column
  for (const Chunk& chunk : chunks) slots = std::max(slots, chunk.slots);
  for (int c = 0; c < x.columns; ++c) {
    n += x.c[c].n;
    first[c + 1] = first[c] + (x.c[c].n + kColumns - 1) / kColumns;
  }
  const int64_t panels = first[x.columns], mc = Even(x.m, kHeight, RowStep()), down = (x.m + mc - 1) / mc;
  const int64_t wanted = std::max<int64_t>({1, (n + kWide - 1) / kWide, std::min((kTiles16 + down - 1) / down, n / (4 * kColumns))});
  const int64_t wide = (panels + wanted - 1) / wanted, across = (panels + wide - 1) / wide;
  const bool shared = across > 1;
  const int64_t sizeA = (mc + PanelRows(mc) - 1) / PanelRows(mc) * PanelRows(mc) * slots;
  Scratch packedB(panels * kColumns * slots), packedA(shared ? down * sizeA : 1);
  float *b = packedB, *a = packedA;
  bool begun = false;
  for (const Chunk& chunk : chunks) {
    const auto packA = [&](int64_t block, float* to) {
      const int64_t i = block * mc;
      for (const Piece& piece : chunk.pieces)
        PackA(x.transA, AAt(x, piece.term, i, piece.p), x.a[piece.term].ld, std::min(mc, x.m - i), piece.deep, to, chunk.slots, piece.slot);
    };
    const auto packB = [&](int c, int64_t panel) {
      const int64_t j = (panel - first[c]) * kColumns, columns = std::min<int64_t>(kColumns, x.c[c].n - j), stride = (columns + W - 1) / W * W;
      for (const Piece& piece : chunk.pieces)
        PackB(x.transB, BAt(x, piece.term, c, piece.p, j), x.b[piece.term][c].ld, piece.deep, columns,
              b + panel * kColumns * chunk.slots + piece.slot * stride);
    };
    // Some four panels of B are as much work as a block of A.
    const int64_t each = std::max<int64_t>(1, Grain(kColumns * chunk.slots, 65536)), parts = (panels + each - 1) / each;
    ParallelFor(parts + (shared ? down : 0), 1, [&](int64_t part, int64_t) {
      if (part >= parts) return packA(part - parts, a + (part - parts) * sizeA);
      const int64_t end = std::min(panels, (part + 1) * each);
      for (int c = 0; c < x.columns; ++c)
        for (int64_t panel = std::max(part * each, first[c]); panel < std::min(end, first[c + 1]); ++panel) packB(c, panel);
    });
    ParallelFor(down * across, 1, [&](int64_t tile, int64_t) {
      const int64_t block = tile / across, i = block * mc, high = std::min(mc, x.m - i), from = tile % across * wide;
      Scratch own(shared ? 1 : sizeA);
      if (!shared) packA(block, own);
      for (int c = 0; c < x.columns; ++c) {
        const int64_t q = std::max(from, first[c]), end = std::min(from + wide, first[c + 1]);
        if (q >= end) continue;
        const Product::Result& result = x.c[c];
        const int64_t j = (q - first[c]) * kColumns, columns = std::min(result.n, (end - first[c]) * kColumns) - j;
        float* to = CAt(result, i, j);
        MultiplyPacked(high, columns, chunk.slots, 1.0f, shared ? a + block * sizeA : own, b + q * kColumns * chunk.slots,
                       begun ? Addend{1.0f, to, result.ld} : AddAt(result, i, j), to, result.ld);
      }
    });
    begun = true;
  }
}

/// A long sum over k for small C (gradients of narrow weights): parts of k go each into sums of their own, added up in order.
void InDepths(const Product& x, int64_t parts) {
  const int64_t k = x.a[0].k, deep = Even(k, (k + parts - 1) / parts, DepthStep());
  parts = (k + deep - 1) / deep;
  int64_t n = 0;
  for (int c = 0; c < x.columns; ++c) n += x.c[c].n;
  const int64_t size = x.m * n;
  Scratch partial(parts * size);
  float* sums = partial;
  ParallelFor(parts, 1, [&](int64_t part, int64_t) {
    Product y = x;
    y.a[0] = {AAt(x, 0, 0, part * deep), x.a[0].ld, std::min(deep, k - part * deep)};
    float* to = sums + part * size;
    for (int c = 0; c < x.columns; ++c) {
      y.b[0][c].p = BAt(x, 0, c, part * deep, 0);
      y.c[c] = {to, n, x.c[c].n, {0.0f, to, n}};
      to += x.c[c].n;
    }
    InTiles(y);
  });
  ParallelFor(x.m, Grain(parts * n), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float* row = sums + i * n;
      for (int c = 0; c < x.columns; row += x.c[c++].n) {
        const Product::Result& result = x.c[c];
        for (int64_t j = 0; j < result.n; j += W) {
          const int64_t left = result.n - j;
          F sum = LoadUpTo(row + j, left);
          for (int64_t part = 1; part < parts; ++part) sum += LoadUpTo(row + part * size + j, left);
          const Addend add = AddAt(result, i, j);
          if (add.beta != 0.0f) sum = Fma(F(add.beta), LoadUpTo(add.p, left), sum);
          StoreUpTo(CAt(result, i, j), sum, left);
        }
      }
    }
  });
}

}  // namespace

double WorkOf(const Product& x) {
  double k = 0, n = 0;
  for (int t = 0; t < x.terms; ++t) k += static_cast<double>(x.a[t].k);
  for (int c = 0; c < x.columns; ++c) n += static_cast<double>(x.c[c].n);
  return 2.0 * static_cast<double>(x.m) * n * k;
}

// The choice depends on the shapes only, so that sums come out the same for any number of threads.
void Multiply(const Product& x) {
  const bool single = x.terms == 1 && x.columns == 1;
  int64_t n = 0, fewest = x.c[0].n;
  for (int c = 0; c < x.columns; ++c) {
    n += x.c[c].n;
    fewest = std::min(fewest, x.c[c].n);
  }
  if (x.m == 0) return;
  if (single && n == 1) return OneColumn(x);
  if (x.terms == 1 && x.m <= kFew && fewest >= x.m) return MultiplyFew(x);
  const bool small = WorkOf(x) < kOnePacksAll;
  if (!single && (small || x.m <= kFew)) {
    for (int c = 0; c < x.columns; ++c)
      for (int t = 0; t < x.terms; ++t) Multiply(Single(x, t, c));
    return;
  }
  const int64_t tiles = (x.m + kHeight - 1) / kHeight * ((n + 4 * kColumns - 1) / (4 * kColumns)), k = x.a[0].k;
  if (x.terms == 1 && tiles < 8 && k >= 1024) return InDepths(x, std::min<int64_t>(16 / tiles, k / 256));
  if (small) return InStrips(x);
  InTiles(x);
}

}  // namespace lab
