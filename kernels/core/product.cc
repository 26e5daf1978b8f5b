// How products are cut into the work of threads.
#include "product.h"

#include <algorithm>
#include <vector>

#include "maps.h"
#include "rows.h"
#include "soon.h"

namespace lab {
namespace {

constexpr int64_t kTasks = 8;             // tasks for each thread, so that all end together
constexpr int64_t kNarrow = 4;            // panels of B that a task should have
constexpr int64_t kPacked = 128;          // elements along k of A that one task packs for all
constexpr int64_t kBeside = 16;           // panels of B for which A's rows aren't worth being turned over
constexpr int64_t kWide = 6;              // panels of B that still lie in the second-level cache beside a block of A
constexpr int64_t kWidePairs = 4;         // the same where all of A is packed, and blocks of it come from there

Stored AAt(const Product& x, int t, int64_t i, int64_t p) {
  const Product::Left& a = x.a[t];
  return a.p.Past(x.transA ? p * a.ld + i : i * a.ld + p);
}
Stored BAt(const Product& x, int t, int c, int64_t p, int64_t j) {
  const Product::Right& b = x.b[t][c];
  return b.p.Past(x.transB ? j * b.ld + p : p * b.ld + j);
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
struct Depths {
  int term;
  int64_t p, deep, slot;
};
struct Chunk {
  std::vector<Depths> pieces;
  int64_t slots = 0;
};

/// Where both factors are packed (gradients of weights) pairs go half as deep: some blocks of A then stay in the second-level cache beside those of B.
std::vector<Chunk> ChunksOf(const Product& x) {
  const int64_t most = Paired() && !OnTiles() && x.transA ? kSlots / 2 : kSlots;
  std::vector<Chunk> chunks(1);
  for (int t = 0; t < x.terms; ++t) {
    const int64_t k = x.a[t].k, kc = Even(k, Paired() ? 2 * most : most, DepthStep());
    for (int64_t p = 0; p < k; p += kc) {
      const int64_t deep = std::min(kc, k - p);
      if (chunks.back().slots > 0 && chunks.back().slots + Slots(deep) > most) chunks.emplace_back();
      chunks.back().pieces.push_back({t, p, deep, chunks.back().slots});
      chunks.back().slots += Slots(deep);
    }
  }
  return chunks;
}

/// Rows of A as pairs, [rows, (depth + 1) / 2], `stride` floats apart.
void PairRows(Stored from, int64_t ld, int64_t rows, int64_t depth, float* to, int64_t stride) {
  const auto pair = [&](const auto* p) {
    for (int64_t i = 0; i < rows; ++i) PairRow(p + i * ld, depth, to + i * stride);
  };
  if (from.half) pair(from.Halves());
  else pair(from.Floats());
}

/// Some panels of B that are packed or multiplied together, all of one column of the product.
struct Group {
  int column;
  int64_t first, panels;  // in the column
  int64_t packed;         // panels before it in the packed B
};

/// Groups of about `most` panels.
std::vector<Group> GroupsOf(const Product& x, int64_t most) {
  std::vector<Group> groups;
  int64_t packed = 0;
  for (int c = 0; c < x.columns; ++c) {
    const int64_t panels = (x.c[c].n + kColumns - 1) / kColumns, each = Even(panels, std::max<int64_t>(1, most));
    for (int64_t first = 0; first < panels; first += each) {
      const int64_t some = std::min(each, panels - first);
      groups.push_back({c, first, some, packed});
      packed += some;
    }
  }
  return groups;
}

/// Blocks of rows of C by groups of columns, for each chunk of k. What can be is packed by the tiles that need it first: B by the first block of rows,
/// A by the first panel of columns. The rest of B is packed before, once for all; the rest of A by the owner of a block, unless many would pack the same.
/// `threads`: how many take part.
void InTiles(const Product& x, int64_t threads) {
  const std::vector<Chunk> chunks = ChunksOf(x);
  int64_t slots = 0, panels = 0;
  for (const Chunk& chunk : chunks) slots = std::max(slots, chunk.slots);
  for (int c = 0; c < x.columns; ++c) panels += (x.c[c].n + kColumns - 1) / kColumns;
  // Sums run along k, so blocks and groups may depend on the threads without changing a bit. Blocks of pairs that are packed on the way are lower.
  const bool pairs = Paired();
  const int64_t most = threads == 1 ? 1 : kTasks * threads;
  const int64_t height = std::max(kHeight, std::min(kHeight * std::clamp<int64_t>(kSlots / slots, 1, pairs && x.transA ? 2 : 4), x.m / most));
  const auto leftFrom = [&](int t) { return LeftFrom(x.transA, x.a[t].p, x.a[t].ld, x.a[t].k); };
  From fromA = leftFrom(0);
  for (int t = 1; t < x.terms; ++t) fromA = leftFrom(t) == fromA && fromA == From::kRows ? fromA : From::kPanel;
  const From fromRight = x.terms == 1 ? RightFrom(x.transB, x.b[0][0].p) : From::kPanel;
  // Where neither factor is read where it lies, threads take columns and go down: each packs what it needs of B, and finds it in its own cache block after
  // block. Pairs take longer to make than copies: of them A is packed once for all where it is the smaller one, and B where that is.
  const bool wide = !pairs || panels * kColumns >= x.m;
  const bool apart = Copies(fromA) && Copies(fromRight) && wide && (pairs || threads > 1) && panels >= kNarrow * threads, once = apart && pairs;
  // What A's first block is packed for beforehand would keep all threads but one waiting while B is copied.
  const From fromB = most == 1 || fromA == From::kRows || (Copies(fromA) && wide) ? fromRight : From::kPanel;
  const int64_t first = Copies(fromB) ? 1 : 0;  // blocks that the first round does
  // Blocks as even as whole panels allow, and as many after the first round as end together.
  const int64_t panelsA = (x.m + RowStep() - 1) / RowStep(), fewest = (x.m + height - 1) / height;
  const int64_t down = apart ? fewest : std::min(panelsA, first + (fewest - first + threads - 1) / threads * threads);
  const auto rowOf = [&](int64_t block) { return std::min(x.m, block * panelsA / down * RowStep()); };
  const int64_t mc = (panelsA + down - 1) / down * RowStep();
  // A block of pairs that is packed on the way is multiplied by one thread, where there are enough of them.
  const int64_t across = pairs && Copies(fromA) && down - first >= 2 * threads ? 1 : std::min((most + down - 1) / down, (panels + kNarrow - 1) / kNarrow);
  const int64_t beside = once ? kWidePairs : kWide, shares = ((panels + beside - 1) / beside + threads - 1) / threads * threads;
  const std::vector<Group> groups = GroupsOf(x, apart ? (panels + shares - 1) / shares : (panels + across - 1) / across);
  const std::vector<Group> beginners = GroupsOf(x, std::max(2 * (panels + most - 1) / most, kNarrow / 2));
  const bool shared = once || (fromA == From::kPanel && across > 1);
  // For few columns rows of floats become rows of pairs, which tiles read as they read halves where they lie: cheaper than turning them over into panels, which
  // many columns read a little faster. They lie an odd number of lines apart, so that they don't share places in the first-level cache.
  const bool inRows = fromA == From::kPanel && Paired() && !OnTiles() && !x.transA && !x.a[0].p.half && panels <= kBeside;
  const int64_t ldRows = (slots + kLine - 1) / kLine / 2 * 2 * kLine + kLine;
  const int64_t sizeA = inRows ? mc * ldRows : (mc + PanelRows(mc) - 1) / PanelRows(mc) * PanelRows(mc) * slots;
  Scratch packedB(apart ? 1 : panels * kColumns * slots), packedA(shared ? down * sizeA : 1);
  float *b = packedB, *a = packedA;
  bool begun = false;
  for (const Chunk& chunk : chunks) {
    const auto packA = [&](int64_t block, float* to) {
      const int64_t i = rowOf(block), rows = rowOf(block + 1) - i;
      for (const Depths& piece : chunk.pieces) {
        const Stored from = AAt(x, piece.term, i, piece.p);
        const int64_t ld = x.a[piece.term].ld;
        if (inRows) PairRows(from, ld, rows, piece.deep, to + piece.slot, ldRows);
        else PackA(x.transA, from, ld, rows, piece.deep, to, chunk.slots, piece.slot);
      }
    };
    const auto packB = [&](const Group& group) {
      for (int64_t panel = 0; panel < group.panels; ++panel) {
        const int64_t j = (group.first + panel) * kColumns, columns = std::min<int64_t>(kColumns, x.c[group.column].n - j), stride = (columns + W - 1) / W * W;
        for (const Depths& piece : chunk.pieces)
          PackB(x.transB, BAt(x, piece.term, group.column, piece.p, j), x.b[piece.term][group.column].ld, piece.deep, columns,
                b + (group.packed + panel) * kColumns * chunk.slots + piece.slot * stride);
      }
    };
    /// A block of rows times a group of columns; `own` holds or gets the block of A in panels, `ownB` the group's panels.
    const auto multiply = [&](int64_t block, const Group& group, float* own, From left, From right, float* ownB, int64_t then) {
      const Product::Result& result = x.c[group.column];
      const int64_t i = rowOf(block), high = rowOf(block + 1) - i, j = group.first * kColumns, columns = std::min(result.n - j, group.panels * kColumns);
      float* to = CAt(result, i, j);
      LeftBlock blockA{inRows ? From::kRows : left, own, {}, 0};
      int64_t depth = 0;
      for (const Depths& piece : chunk.pieces) {
        if (!inRows) blockA.pieces[blockA.count++] = {AAt(x, piece.term, i, piece.p), x.a[piece.term].ld, Slots(piece.deep)};
        depth += piece.deep;
      }
      if (inRows) blockA.pieces[blockA.count++] = {Stored(own, true), 2 * ldRows, chunk.slots};
      const Depths& piece = chunk.pieces[0];
      const Product::Left& firstA = x.a[piece.term];
      const int64_t each = firstA.p.half ? 2 : 1;  // numbers in the room of a float
      NextBlock next{{}, 0, firstA.ld / each, mc, x.transA ? piece.deep : piece.deep / each, x.transA};
      if (then < down && shared)
        next = {{a + then * sizeA}, 1, sizeA, 1, sizeA, false};
      else if (then < down)
        for (const Depths& more : chunk.pieces) next.p[next.count++] = static_cast<const float*>(AAt(x, more.term, rowOf(then), more.p).p);
      const Stored from = BAt(x, piece.term, group.column, piece.p, j);
      const RightBlock blockB{Copies(right) ? RightFrom(x.transB, from) : right, ownB, from, x.b[piece.term][group.column].ld};
      MultiplyBlocks(high, columns, depth, chunk.slots, 1.0f, blockA, blockB, begun ? Addend{1.0f, to, result.ld} : AddAt(result, i, j), to, result.ld, next);
    };
    const int64_t several = static_cast<int64_t>(groups.size());
    const auto packed = [&](const Group& group) { return b + group.packed * kColumns * chunk.slots; };
    /// A block of rows from column to column, by one thread.
    const auto whole = [&](int64_t block, From right) {
      Scratch own(fromA == From::kRows ? 1 : sizeA);
      if (fromA == From::kPanel) packA(block, own);
      for (const Group& group : groups)
        multiply(block, group, own, Copies(fromA) && &group != &groups[0] ? From::kPanel : fromA, right, packed(group), &group == &groups[0] ? block + threads : down);
    };
    const auto part = [&](int64_t block, const Group& group, From right) {
      Scratch own(Copies(fromA) ? sizeA : 1);
      multiply(block, group, shared ? a + block * sizeA : own, fromA, right, packed(group), &group == &groups[0] ? block + 1 : down);
    };
    if (apart) {
      const Depths& piece = chunk.pieces[0];
      if (once) ParallelFor(piece.deep, kPacked, [&](int64_t p, int64_t end) {
        for (int64_t block = 0; block < down; ++block)
          PackA(x.transA, AAt(x, piece.term, rowOf(block), piece.p + p), x.a[piece.term].ld, rowOf(block + 1) - rowOf(block), end - p, a + block * sizeA,
                chunk.slots, piece.slot + Slots(p));
      });
      ParallelFor(several, 1, [&](int64_t i, int64_t) {
        Scratch own(once ? 1 : sizeA), ownB(groups[i].panels * kColumns * chunk.slots);
        for (int64_t block = 0; block < down; ++block)
          multiply(block, groups[i], once ? a + block * sizeA : own, once ? From::kPanel : fromA, block == 0 ? fromB : From::kPanel, ownB, block + 1);
      });
      begun = true;
      continue;
    }
    if (shared) ParallelFor(down, 1, [&](int64_t block, int64_t) { packA(block, a + block * sizeA); });
    const int64_t many = static_cast<int64_t>(beginners.size());
    if (first == 0) ParallelFor(many, 1, [&](int64_t i, int64_t) { packB(beginners[i]); });
    else if (most == 1) whole(0, fromB);
    else ParallelFor(many, 1, [&](int64_t i, int64_t) { part(0, beginners[i], fromB); });
    if (across == 1) ParallelFor(down - first, 1, [&](int64_t i, int64_t) { whole(first + i, From::kPanel); });
    else ParallelFor((down - first) * several, 1, [&](int64_t i, int64_t) { part(first + i / several, groups[i % several], From::kPanel); });
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
    InTiles(y, 1);  // a loop within this one stays on its thread
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
  InTiles(x, Threads());
}

void MapRows(int64_t m, int64_t n, int64_t k, const float* x, const float* w, float* y) {
  Product p{m, false, false, 1, 1, {}, {}, {}};
  p.a[0] = {x, k, k};
  p.b[0][0] = {w, n};
  p.c[0] = {y, n, n, {0.0f, y, 0}};
  Multiply(p);
}

}  // namespace lab
