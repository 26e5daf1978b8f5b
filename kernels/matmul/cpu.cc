// Products of matrices and of batches of matrices, on all threads.
#include <algorithm>

#include "../core/gemm.h"
#include "../core/rows.h"

namespace lab {
namespace {

struct Product {
  int64_t m, n, k;
  bool transA, transB;
  const float* A;
  const float* B;
  float* C;     // [m, n]
  Addend add;   // to each row, or all of C
  int64_t lda() const { return transA ? m : k; }
  int64_t ldb() const { return transB ? k : n; }
  const float* AAt(int64_t i, int64_t p) const { return transA ? A + p * m + i : A + i * k + p; }
  const float* BAt(int64_t p, int64_t j) const { return transB ? B + j * k + p : B + p * n + j; }
  Addend AddAt(int64_t i, int64_t j) const { return {add.beta, add.p + i * add.ld + j, add.ld}; }
  double Work() const { return 2.0 * m * n * k; }
};

constexpr double kAlone = 5e5;            // less isn't worth waking another thread for
constexpr double kOnePacksAll = 2e7;      // less isn't worth a shared packed B and its two barriers
constexpr int64_t kWide = 512;            // most columns of a tile
constexpr int64_t kTiles16 = 16;          // as many tiles as make 2 to 16 threads end together
constexpr int64_t kRead = 131072;         // floats of B that a part of a product of few rows should read

/// Few rows: B is cut by columns and read once. Pieces of its rows are kept long, for the processor reads ahead only along them.
void InColumns(const Product& x) {
  const int64_t step = x.transB ? kColumns : 8 * W;
  const int64_t parts = std::max<int64_t>(1, std::min<int64_t>({x.n * x.k / kRead, x.n / step, 32}));
  ParallelFor(x.n, Even(x.n, (x.n + parts - 1) / parts, step), [&](int64_t j, int64_t end) {
    GemmFew(x.transA, x.transB, x.m, end - j, x.k, 1.0f, x.A, x.lda(), x.BAt(0, j), x.ldb(), x.AddAt(0, j), x.C + j, x.n);
  });
}

/// One column: the row of the transposed product.
void OneColumn(const Product& x) {
  if (x.add.beta == 0.0f) return InColumns({1, x.m, x.k, !x.transB, !x.transA, x.B, x.A, x.C, {0.0f, x.C, 0}});
  Scratch y(x.m);
  InColumns({1, x.m, x.k, !x.transB, !x.transA, x.B, x.A, y, {0.0f, y, 0}});
  for (int64_t i = 0; i < x.m; ++i) x.C[i] = y[i] + x.add.beta * x.add.p[i * x.add.ld];
}

/// A strip of rows or columns for each thread. Sums run along k, so the strips may depend on the threads without changing a bit.
void InStrips(const Product& x) {
  const bool byRows = x.m >= x.n;
  const int64_t length = byRows ? x.m : x.n, step = byRows ? RowStep() : kColumns;
  const int64_t strips = std::max<int64_t>(1, std::min<int64_t>({static_cast<int64_t>(x.Work() / kAlone), length / step, Threads()}));
  ParallelFor(length, Even(length, (length + strips - 1) / strips, step), [&](int64_t at, int64_t end) {
    const int64_t i = byRows ? at : 0, j = byRows ? 0 : at;
    GemmPacked(x.transA, x.transB, byRows ? end - at : x.m, byRows ? x.n : end - at, x.k, 1.0f, x.AAt(i, 0), x.lda(), x.BAt(0, j), x.ldb(),
               x.AddAt(i, j), x.C + i * x.n + j, x.n);
  });
}

/// A long sum over k for a small C (a narrow weight's gradient): parts of k go each into a C of its own, added up in order.
void InDepths(const Product& x, int64_t parts) {
  const int64_t deep = Even(x.k, (x.k + parts - 1) / parts, DepthStep()), size = x.m * x.n;
  parts = (x.k + deep - 1) / deep;
  Scratch partial(parts * size);
  float* to = partial;
  ParallelFor(parts, 1, [&](int64_t part, int64_t) {
    const int64_t p = part * deep;
    GemmPacked(x.transA, x.transB, x.m, x.n, std::min(deep, x.k - p), 1.0f, x.AAt(0, p), x.lda(), x.BAt(p, 0), x.ldb(), {0.0f, x.C, x.n},
               to + part * size, x.n);
  });
  ParallelFor(x.m, Grain(parts * x.n), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      for (int64_t j = 0; j < x.n; j += W) {
        const int64_t left = x.n - j;
        F sum = LoadUpTo(to + i * x.n + j, left);
        for (int64_t part = 1; part < parts; ++part) sum += LoadUpTo(to + part * size + i * x.n + j, left);
        if (x.add.beta != 0.0f) sum = Fma(F(x.add.beta), LoadUpTo(x.add.p + i * x.add.ld + j, left), sum);
        StoreUpTo(x.C + i * x.n + j, sum, left);
      }
  });
}

/// Tiles of C. For each block of k, B is packed once for all; the owner of a tile packs its own rows of A, unless many tiles would pack the same.
void InTiles(const Product& x) {
  const int64_t kc = Even(x.k, Depth(), DepthStep()), mc = Even(x.m, kHeight, RowStep()), down = (x.m + mc - 1) / mc;
  const int64_t wanted = std::max<int64_t>({1, (x.n + kWide - 1) / kWide, std::min((kTiles16 + down - 1) / down, x.n / (4 * kColumns))});
  const int64_t nc = Even(x.n, (x.n + wanted - 1) / wanted, kColumns), across = (x.n + nc - 1) / nc, panels = (x.n + kColumns - 1) / kColumns;
  const bool shared = across > 1;
  const int64_t sizeA = PackedA(mc, kc);
  Scratch packedB(PackedB(x.n, kc)), packedA(shared ? down * sizeA : 1);
  float *b = packedB, *a = packedA;
  for (int64_t p = 0; p < x.k; p += kc) {
    const int64_t deep = std::min(kc, x.k - p), slots = Slots(deep);
    const auto packA = [&](int64_t block, float* to) {
      const int64_t i = block * mc;
      PackA(x.transA, x.AAt(i, p), x.lda(), std::min(mc, x.m - i), deep, to);
    };
    // Some four panels of B are as much work as a block of A.
    const int64_t each = std::max<int64_t>(1, Grain(kColumns * deep, 65536)), parts = (panels + each - 1) / each;
    ParallelFor(parts + (shared ? down : 0), 1, [&](int64_t part, int64_t) {
      if (part >= parts) return packA(part - parts, a + (part - parts) * sizeA);
      for (int64_t panel = part * each; panel < std::min(panels, (part + 1) * each); ++panel) {
        const int64_t j = panel * kColumns;
        PackB(x.transB, x.BAt(p, j), x.ldb(), deep, std::min<int64_t>(kColumns, x.n - j), b + j * slots);
      }
    });
    ParallelFor(down * across, 1, [&](int64_t tile, int64_t) {
      const int64_t i = tile / across * mc, j = tile % across * nc;
      const int64_t high = std::min(mc, x.m - i), wide = std::min(nc, x.n - j);
      float* c = x.C + i * x.n + j;
      const Addend add = p == 0 ? x.AddAt(i, j) : Addend{1.0f, c, x.n};
      if (shared) return MultiplyPacked(high, wide, deep, 1.0f, a + tile / across * sizeA, b + j * slots, add, c, x.n);
      Scratch own(PackedA(high, deep));
      packA(tile / across, own);
      MultiplyPacked(high, wide, deep, 1.0f, own, b + j * slots, add, c, x.n);
    });
  }
}

// How sums are cut depends on the shape only, so that they come out the same for any number of threads.
void Multiply(const Product& x) {
  if (x.n == 1) return OneColumn(x);
  if (x.m <= kFew && x.n >= x.m) return InColumns(x);
  const int64_t tiles = (x.m + kHeight - 1) / kHeight * ((x.n + 4 * kColumns - 1) / (4 * kColumns));
  if (tiles < 8 && x.k >= 1024) return InDepths(x, std::min<int64_t>(16 / tiles, x.k / 256));
  if (x.Work() < kOnePacksAll) return InStrips(x);
  InTiles(x);
}

/// a [batch, m, k] or transposed, b [batch, k, n] or transposed, to c [batch, m, n]. A batch stride of 0 uses one matrix for all.
/// A third input is added: a row [n], or with `whole` all of [batch, m, n]; that one may be c itself.
/// n: batch, m, n, k, transA, transB, strideA, strideB, whole (only with a third input).
void MatMul(const Call& c) {
  const int64_t batch = c.n[0], strideA = c.n[6], strideB = c.n[7];
  const bool adds = c.inputs > 2 && c.In<float>(2), whole = adds && c.n[8] != 0;
  Product x{c.n[1], c.n[2], c.n[3], c.n[4] != 0, c.n[5] != 0, c.In<float>(0), c.In<float>(1), c.Out<float>(0), {}};
  x.add = {adds ? 1.0f : 0.0f, adds ? c.In<float>(2) : x.C, whole ? x.n : 0};
  if (batch == 1) return Multiply(x);
  const auto at = [&](int64_t i) {
    Product y = x;
    y.A += i * strideA;
    y.B += i * strideB;
    y.C += i * x.m * x.n;
    if (whole) y.add.p += i * x.m * x.n;
    return y;
  };
  if (batch < 8 && x.Work() > kOnePacksAll) {
    for (int64_t i = 0; i < batch; ++i) Multiply(at(i));
    return;
  }
  const int64_t grain = std::max<int64_t>(1, static_cast<int64_t>(kAlone / std::max(1.0, x.Work())));
  ParallelFor(batch, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) Multiply(at(i));  // a loop within this one stays on its thread
  });
}
LAB_KERNEL("MatMul", MatMul);

}  // namespace
}  // namespace lab
