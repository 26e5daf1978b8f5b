// The single-threaded matrix product: packing, the register tile, and vector forms for one row or one column.
#include "gemm.h"

#include <algorithm>
#include <atomic>
#include <utility>

namespace lab {
namespace {

std::atomic<bool> bfloat16{false};

// ---------------------------------------------------------------- packing

/// to[p * stride + r] = from[r * ld + p], r < rows, p < depth; rows up to `padded` are zero.
void PackTransposed(const float* from, int64_t ld, int64_t rows, int64_t depth, float* to, int64_t stride, int64_t padded) {
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4) {
    int64_t p = 0;
    for (; p + 4 <= depth; p += 4) Transpose4x4(from + r * ld + p, ld, to + p * stride + r, stride);
    for (; p < depth; ++p)
      for (int64_t i = r; i < r + 4; ++i) to[p * stride + i] = from[i * ld + p];
  }
  for (; r < rows; ++r)
    for (int64_t p = 0; p < depth; ++p) to[p * stride + r] = from[r * ld + p];
  for (; r < padded; ++r)
    for (int64_t p = 0; p < depth; ++p) to[p * stride + r] = 0.0f;
}

/// to[p * stride + j] = from[p * ld + j], j < columns, p < depth; columns up to `padded` are zero.
void PackStraight(const float* from, int64_t ld, int64_t depth, int64_t columns, float* to, int64_t stride, int64_t padded) {
  if (columns == kColumns) {
    for (int64_t p = 0; p < depth; ++p)
      for (int v = 0; v < kVectors; ++v) Store(to + p * stride + v * W, Load(from + p * ld + v * W));
    return;
  }
  for (int64_t p = 0; p < depth; ++p) {
    std::copy_n(from + p * ld, columns, to + p * stride);
    std::fill_n(to + p * stride + columns, padded - columns, 0.0f);
  }
}

void RoundAll(float* p, int64_t count) {
  int64_t i = 0;
  for (; i + W <= count; i += W) Store(p + i, RoundBf16(Load(p + i)));
  if (i < count) StorePart(p + i, RoundBf16(LoadPart(p + i, count - i)), count - i);
}

// ---------------------------------------------------------------- the register tile

/// C[0:R, 0:columns] = alpha a b + beta C. a: [depth][aStride], b: [depth][V * W]; columns in (V - 1) W + 1 .. V W.
template <int R, int V>
void Tile(int64_t depth, const float* LAB_RESTRICT a, int64_t aStride, const float* LAB_RESTRICT b, float alpha, float beta,
          float* LAB_RESTRICT C, int64_t ldc, int64_t columns) {
  F sum[R][V];
  for (int i = 0; i < R; ++i)
    for (int v = 0; v < V; ++v) sum[i][v] = F(0.0f);
  for (int64_t p = 0; p < depth; ++p) {
    F row[V];
    for (int v = 0; v < V; ++v) row[v] = Load(b + v * W);
    for (int i = 0; i < R; ++i) {
      const F x(a[i]);
      for (int v = 0; v < V; ++v) sum[i][v] = Fma(x, row[v], sum[i][v]);
    }
    a += aStride;
    b += V * W;
  }
  const int64_t last = columns - (V - 1) * W;
  for (int i = 0; i < R; ++i) {
    float* c = C + i * ldc;
    for (int v = 0; v < V; ++v) {
      F y = F(alpha) * sum[i][v];
      if (v + 1 < V || last == W) {
        if (beta != 0.0f) y = Fma(F(beta), Load(c + v * W), y);
        Store(c + v * W, y);
      } else {
        if (beta != 0.0f) y = Fma(F(beta), LoadPart(c + v * W, last), y);
        StorePart(c + v * W, y, last);
      }
    }
  }
}

using TileFunction = void (*)(int64_t, const float*, int64_t, const float*, float, float, float*, int64_t, int64_t);

template <int V, int... R>
constexpr TileFunction PickRow(int rows, std::integer_sequence<int, R...>) {
  constexpr TileFunction table[] = {Tile<R + 1, V>...};
  return table[rows - 1];
}
TileFunction Pick(int64_t rows, int64_t vectors) {
  constexpr auto all = std::make_integer_sequence<int, kRows>();
  return vectors == 1 ? PickRow<1>(static_cast<int>(rows), all) : PickRow<kVectors>(static_cast<int>(rows), all);
}
static_assert(kVectors == 2, "Pick knows panels of one and of two vectors");

// ---------------------------------------------------------------- one row

/// y[0:n] = alpha x op(B) + beta y, x: [k] contiguous.
void RowTimesMatrix(bool transB, int64_t n, int64_t k, float alpha, const float* x, const float* B, int64_t ldb, float beta, float* y) {
  const auto put = [&](float* to, F sum, int64_t lanes) {
    F v = F(alpha) * sum;
    if (beta != 0.0f) v = Fma(F(beta), LoadPart(to, lanes), v);
    StorePart(to, v, lanes);
  };
  if (transB) {  // four dot products at a time
    for (int64_t j = 0; j < n; j += 4) {
      const int64_t rows = std::min<int64_t>(4, n - j);
      F sum[4] = {F(0.0f), F(0.0f), F(0.0f), F(0.0f)};
      int64_t p = 0;
      if (rows == 4) {
        const float* b = B + j * ldb;
        for (; p + W <= k; p += W) {
          const F v = Load(x + p);
          sum[0] = Fma(v, Load(b + p), sum[0]);
          sum[1] = Fma(v, Load(b + ldb + p), sum[1]);
          sum[2] = Fma(v, Load(b + 2 * ldb + p), sum[2]);
          sum[3] = Fma(v, Load(b + 3 * ldb + p), sum[3]);
        }
      }
      for (; p < k; p += W) {
        const int64_t lanes = std::min<int64_t>(W, k - p);
        for (int64_t r = 0; r < rows; ++r) sum[r] = Fma(LoadPart(x + p, lanes), LoadPart(B + (j + r) * ldb + p, lanes), sum[r]);
      }
      for (int64_t r = 0; r < rows; ++r) y[j + r] = alpha * Sum(sum[r]) + (beta != 0.0f ? beta * y[j + r] : 0.0f);
    }
    return;
  }
  constexpr int kWide = 8;
  int64_t j = 0;
  for (; j + kWide * W <= n; j += kWide * W) {
    F sum[kWide];
    for (int v = 0; v < kWide; ++v) sum[v] = F(0.0f);
    for (int64_t p = 0; p < k; ++p) {
      const F a(x[p]);
      for (int v = 0; v < kWide; ++v) sum[v] = Fma(a, Load(B + p * ldb + j + v * W), sum[v]);
    }
    for (int v = 0; v < kWide; ++v) put(y + j + v * W, sum[v], W);
  }
  for (; j < n; j += W) {
    const int64_t lanes = std::min<int64_t>(W, n - j);
    F even(0.0f), odd(0.0f);
    int64_t p = 0;
    for (; p + 2 <= k; p += 2) {
      even = Fma(F(x[p]), LoadPart(B + p * ldb + j, lanes), even);
      odd = Fma(F(x[p + 1]), LoadPart(B + (p + 1) * ldb + j, lanes), odd);
    }
    if (p < k) even = Fma(F(x[p]), LoadPart(B + p * ldb + j, lanes), even);
    put(y + j, even + odd, lanes);
  }
}

void ScaleMatrix(int64_t m, int64_t n, float beta, float* C, int64_t ldc) {
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) C[i * ldc + j] = beta == 0.0f ? 0.0f : beta * C[i * ldc + j];
}

}  // namespace

void SetBfloat16(bool on) { bfloat16.store(on); }
bool Bfloat16() { return bfloat16.load(std::memory_order_relaxed); }

void PackA(bool trans, const float* A, int64_t lda, int64_t rows, int64_t depth, float* to) {
  const int64_t height = PanelRows(rows);
  float* panel = to;
  for (int64_t i = 0; i < rows; i += height, panel += height * depth) {
    const int64_t h = std::min(height, rows - i);
    if (trans) PackStraight(A + i, lda, depth, h, panel, height, h);
    else PackTransposed(A + i * lda, lda, h, depth, panel, height, h);
  }
  if (Bfloat16()) RoundAll(to, panel - to);
}

void PackB(bool trans, const float* B, int64_t ldb, int64_t depth, int64_t columns, float* to) {
  float* panel = to;
  for (int64_t j = 0; j < columns; j += kColumns) {
    const int64_t wide = std::min<int64_t>(kColumns, columns - j);
    const int64_t stride = (wide + W - 1) / W * W;
    if (trans) PackTransposed(B + j * ldb, ldb, wide, depth, panel, stride, stride);
    else PackStraight(B + j, ldb, depth, wide, panel, stride, stride);
    panel += stride * depth;
  }
  if (Bfloat16()) RoundAll(to, panel - to);
}

void MultiplyPacked(int64_t rows, int64_t columns, int64_t depth, float alpha, const float* a, const float* b, float beta, float* C,
                    int64_t ldc) {
  const int64_t height = PanelRows(rows);
  for (int64_t j = 0; j < columns; j += kColumns) {
    const int64_t wide = std::min<int64_t>(kColumns, columns - j);
    const int64_t vectors = (wide + W - 1) / W;
    const TileFunction whole = Pick(height, vectors);
    for (int64_t i = 0; i < rows; i += height) {
      const int64_t h = std::min(height, rows - i);
      const TileFunction tile = h == height ? whole : Pick(h, vectors);
      tile(depth, a + i * depth, height, b + j * depth, alpha, beta, C + i * ldc + j, ldc, wide);
    }
  }
}

void Gemm(bool transA, bool transB, int64_t m, int64_t n, int64_t k, float alpha, const float* A, int64_t lda, const float* B, int64_t ldb,
          float beta, float* C, int64_t ldc) {
  if (m <= 0 || n <= 0) return;
  if (k <= 0) return ScaleMatrix(m, n, beta, C, ldc);
  if (m == 1 && !Bfloat16()) {
    if (!transA || lda == 1) return RowTimesMatrix(transB, n, k, alpha, A, B, ldb, beta, C);
    Scratch x(k);
    for (int64_t p = 0; p < k; ++p) x[p] = A[p * lda];
    return RowTimesMatrix(transB, n, k, alpha, x, B, ldb, beta, C);
  }
  if (n == 1 && !Bfloat16()) {  // the column is the row of the transposed product
    Scratch x(k), y(m);
    for (int64_t p = 0; p < k; ++p) x[p] = transB ? B[p] : B[p * ldb];
    RowTimesMatrix(!transA, m, k, alpha, x, A, lda, 0.0f, y);
    for (int64_t i = 0; i < m; ++i) C[i * ldc] = y[i] + (beta != 0.0f ? beta * C[i * ldc] : 0.0f);
    return;
  }
  const int64_t kc = Even(k, kDepth), mc = Even(m, kHeight, kRows), nc = Even(n, 1024, kColumns);
  Scratch a(PackedA(std::min(mc, m), kc) + kRows * kc), b(PackedB(std::min(nc, n), kc));
  for (int64_t j = 0; j < n; j += nc) {
    const int64_t wide = std::min(nc, n - j);
    for (int64_t p = 0; p < k; p += kc) {
      const int64_t deep = std::min(kc, k - p);
      PackB(transB, transB ? B + j * ldb + p : B + p * ldb + j, ldb, deep, wide, b);
      for (int64_t i = 0; i < m; i += mc) {
        const int64_t high = std::min(mc, m - i);
        PackA(transA, transA ? A + p * lda + i : A + i * lda + p, lda, high, deep, a);
        MultiplyPacked(high, wide, deep, alpha, a, b, p == 0 ? beta : 1.0f, C + i * ldc + j, ldc);
      }
    }
  }
}

}  // namespace lab
