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
  float* C;  // [m, n]
  int64_t lda() const { return transA ? m : k; }
  int64_t ldb() const { return transB ? k : n; }
  const float* AAt(int64_t i, int64_t p) const { return transA ? A + p * m + i : A + i * k + p; }
  const float* BAt(int64_t p, int64_t j) const { return transB ? B + j * k + p : B + p * n + j; }
  double Work() const { return 2.0 * m * n * k; }
};

// How the work is cut depends on the shapes only, so that sums come out the same for any number of threads.
constexpr double kAlone = 5e5;           // less isn't worth waking another thread for
constexpr double kEachPacksItsOwn = 2e7; // less isn't worth a shared packed B and its two barriers
constexpr int64_t kWide = 512;           // columns of a tile

/// Rows or columns are cut into strips, each a product of its own.
void InStrips(const Product& x) {
  const bool byRows = x.m >= x.n;
  const int64_t length = byRows ? x.m : x.n, step = byRows ? kRows : kColumns;
  const int64_t strips = std::max<int64_t>(1, std::min<int64_t>({static_cast<int64_t>(x.Work() / kAlone), length / step, 16}));
  const int64_t size = Even(length, (length + strips - 1) / strips, step);
  ParallelFor(length, size, [&](int64_t begin, int64_t end) {
    if (byRows) {
      Gemm(x.transA, x.transB, end - begin, x.n, x.k, 1.0f, x.AAt(begin, 0), x.lda(), x.B, x.ldb(), 0.0f, x.C + begin * x.n, x.n);
    } else {
      Gemm(x.transA, x.transB, x.m, end - begin, x.k, 1.0f, x.A, x.lda(), x.BAt(0, begin), x.ldb(), 0.0f, x.C + begin, x.n);
    }
  });
}

/// A long sum over k for a small C (a weight's gradient): parts of k go each into a C of its own, added up in order.
void InDepths(const Product& x, int64_t parts) {
  const int64_t deep = Even(x.k, (x.k + parts - 1) / parts), size = x.m * x.n;
  parts = (x.k + deep - 1) / deep;
  Scratch partial(parts * size);
  float* to = partial;
  ParallelFor(parts, 1, [&](int64_t part, int64_t) {
    const int64_t p = part * deep;
    Gemm(x.transA, x.transB, x.m, x.n, std::min(deep, x.k - p), 1.0f, x.AAt(0, p), x.lda(), x.BAt(p, 0), x.ldb(), 0.0f, to + part * size, x.n);
  });
  SumParts(partial, parts, size, size, x.C);
}

/// Tiles of C. For each block of k, B is packed once for all; the owner of a tile packs its own rows of A.
void InTiles(const Product& x) {
  const int64_t kc = Even(x.k, kDepth), mc = Even(x.m, kHeight, kRows), nc = Even(x.n, kWide, kColumns);
  const int64_t down = (x.m + mc - 1) / mc, across = (x.n + nc - 1) / nc, panels = (x.n + kColumns - 1) / kColumns;
  Scratch packed(PackedB(x.n, kc));
  float* b = packed;
  for (int64_t p = 0; p < x.k; p += kc) {
    const int64_t deep = std::min(kc, x.k - p);
    ParallelFor(panels, Grain(kColumns * deep, 32768), [&](int64_t begin, int64_t end) {
      for (int64_t panel = begin; panel < end; ++panel) {
        const int64_t j = panel * kColumns;
        PackB(x.transB, x.BAt(p, j), x.ldb(), deep, std::min<int64_t>(kColumns, x.n - j), b + j * deep);
      }
    });
    ParallelFor(down * across, 1, [&](int64_t tile, int64_t) {
      const int64_t i = tile / across * mc, j = tile % across * nc;
      const int64_t high = std::min(mc, x.m - i), wide = std::min(nc, x.n - j);
      Scratch a(PackedA(high, deep));
      PackA(x.transA, x.AAt(i, p), x.lda(), high, deep, a);
      MultiplyPacked(high, wide, deep, 1.0f, a, b + j * deep, p == 0 ? 0.0f : 1.0f, x.C + i * x.n + j, x.n);
    });
  }
}

void Multiply(const Product& x) {
  const int64_t tiles = ((x.m + kHeight - 1) / kHeight) * ((x.n + kWide - 1) / kWide);
  if (x.m == 1 || x.n == 1 || x.Work() < kEachPacksItsOwn) return InStrips(x);
  if (tiles < 16 && x.k >= 1024 && x.m * x.n <= 256 * 1024) return InDepths(x, std::min<int64_t>(8, x.k / 256));
  InTiles(x);
}

/// a [batch, m, k] or transposed, b [batch, k, n] or transposed, to c [batch, m, n]. A batch stride of 0 uses one matrix for all.
/// n: batch, m, n, k, transA, transB, strideA, strideB.
void MatMul(const Call& c) {
  const int64_t batch = c.n[0], strideA = c.n[6], strideB = c.n[7];
  Product x{c.n[1], c.n[2], c.n[3], c.n[4] != 0, c.n[5] != 0, c.In<float>(0), c.In<float>(1), c.Out<float>(0)};
  if (batch == 1) return Multiply(x);
  const auto at = [&](int64_t i) {
    Product y = x;
    y.A += i * strideA;
    y.B += i * strideB;
    y.C += i * x.m * x.n;
    return y;
  };
  if (batch < 8 && x.Work() > kEachPacksItsOwn) {
    for (int64_t i = 0; i < batch; ++i) Multiply(at(i));
    return;
  }
  const int64_t grain = std::max<int64_t>(1, static_cast<int64_t>(kAlone / std::max(1.0, x.Work())));
  ParallelFor(batch, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Product y = at(i);
      Gemm(y.transA, y.transB, y.m, y.n, y.k, 1.0f, y.A, y.lda(), y.B, y.ldb(), 0.0f, y.C, y.n);
    }
  });
}
LAB_KERNEL("MatMul", MatMul);

}  // namespace
}  // namespace lab
