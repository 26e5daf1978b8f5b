// Products of a few rows (decoding), which read B once, where it lies.
#include <algorithm>

#include "gemm.h"

namespace lab {
namespace {

#if LAB_AVX512 || LAB_NEON
#define LAB_WIDE_REGISTERS 1  // 32 of them
#else
#define LAB_WIDE_REGISTERS 0
#endif

// B is rounded as it is read; the rows have been rounded before.
template <bool Round>
LAB_INLINE F Read(const float* p) { return Round ? RoundBf16(Load(p)) : Load(p); }
template <bool Round>
LAB_INLINE F ReadPart(const float* p, int64_t lanes) { return Round ? RoundBf16(LoadPart(p, lanes)) : LoadPart(p, lanes); }

struct Few {
  int64_t n, k;
  float alpha;
  const float* X;  // [rows, k]
  const float* B;
  int64_t ldb;
  Addend add;
  float* C;
  int64_t ldc;

  LAB_INLINE void Put(int64_t row, int64_t j, F sum, int64_t lanes) const {
    F y = F(alpha) * sum;
    float* to = C + row * ldc + j;
    const float* d = add.p + row * add.ld + j;
    if (lanes >= W) {
      if (add.beta != 0.0f) y = Fma(F(add.beta), Load(d), y);
      Store(to, y);
    } else {
      if (add.beta != 0.0f) y = Fma(F(add.beta), LoadPart(d, lanes), y);
      StorePart(to, y, lanes);
    }
  }
};

/// Adds R rows, at k = p .. p + D - 1, times D rows of B to sums [R][width]; starts them where p is 0.
template <int R, int D, bool Round>
void AddRows(const Few& x, int64_t p, float* sums, int64_t width) {
  F factor[R][D];
  for (int r = 0; r < R; ++r)
    for (int d = 0; d < D; ++d) factor[r][d] = F(x.X[r * x.k + p + d]);
  const float* b = x.B + p * x.ldb;
  for (int64_t j = 0; j < x.n; j += W) {
    const int64_t lanes = x.n - j;
    F row[D];
    for (int d = 0; d < D; ++d) row[d] = lanes >= W ? Read<Round>(b + d * x.ldb + j) : ReadPart<Round>(b + d * x.ldb + j, lanes);
    for (int r = 0; r < R; ++r) {
      F sum = p == 0 ? F(0.0f) : Load(sums + r * width + j);
      for (int d = 0; d < D; ++d) sum = Fma(factor[r][d], row[d], sum);
      Store(sums + r * width + j, sum);
    }
  }
}

constexpr int kLine = 8;  // vectors of a stretch whose sums one row keeps in registers

/// One row times B [k, ldb] in the columns from j on, kLine vectors.
template <bool Round>
void Line(const Few& x, int64_t j) {
  F sum[kLine];
  for (int v = 0; v < kLine; ++v) sum[v] = F(0.0f);
  const float* b = x.B + j;
  for (int64_t p = 0; p < x.k; ++p, b += x.ldb) {
    const F factor(x.X[p]);
    for (int v = 0; v < kLine; ++v) sum[v] = Fma(factor, Read<Round>(b + v * W), sum[v]);
  }
  for (int v = 0; v < kLine; ++v) x.Put(0, j + v * W, sum[v], W);
}

/// R rows times B [k, ldb], whose rows are read from end to end, some at a time; the sums stay in the first-level cache.
template <int R, bool Round>
void AllStraight(Few x) {
  if constexpr (R == 1) {
    int64_t j = 0;
    for (; j + kLine * W <= x.n; j += kLine * W) Line<Round>(x, j);
    x = {x.n - j, x.k, x.alpha, x.X, x.B + j, x.ldb, {x.add.beta, x.add.p + j, x.add.ld}, x.C + j, x.ldc};
    if (x.n == 0) return;
  }
  constexpr int some = LAB_WIDE_REGISTERS ? (R <= 2 ? 8 : 4) : (R <= 2 ? 4 : 2);
  const int64_t width = (x.n + W - 1) / W * W;
  Scratch sums(R * width);
  int64_t p = 0;
  for (; p + some <= x.k; p += some) AddRows<R, some, Round>(x, p, sums, width);
  for (; p < x.k; ++p) AddRows<R, 1, Round>(x, p, sums, width);
  for (int r = 0; r < R; ++r)
    for (int64_t j = 0; j < x.n; j += W) x.Put(r, j, Load(sums + r * width + j), x.n - j);
}

/// R rows times B stored [n, ldb]: dot products, N columns at a time.
template <int R, int N, bool Round>
void Dots(const Few& x, int64_t first, int64_t j) {
  F sum[R][N];
  for (int r = 0; r < R; ++r)
    for (int c = 0; c < N; ++c) sum[r][c] = F(0.0f);
  const float *rows = x.X + first * x.k, *b = x.B + j * x.ldb;
  for (int64_t p = 0; p < x.k; p += W) {
    const int64_t lanes = x.k - p;
    F row[R];
    for (int r = 0; r < R; ++r) row[r] = lanes >= W ? Load(rows + r * x.k + p) : LoadPart(rows + r * x.k + p, lanes);
    for (int c = 0; c < N; ++c) {
      const F column = lanes >= W ? Read<Round>(b + c * x.ldb + p) : ReadPart<Round>(b + c * x.ldb + p, lanes);
      for (int r = 0; r < R; ++r) sum[r][c] = Fma(row[r], column, sum[r][c]);
    }
  }
  for (int r = 0; r < R; ++r)
    for (int c = 0; c < N; ++c) {
      const int64_t row = first + r, at = j + c;
      x.C[row * x.ldc + at] = x.alpha * Sum(sum[r][c]) + (x.add.beta != 0.0f ? x.add.beta * x.add.p[row * x.add.ld + at] : 0.0f);
    }
}

template <int R, bool Round>
void AllDots(const Few& x) {
  constexpr int most = LAB_WIDE_REGISTERS ? 4 : 2;  // rows at a time
  for (int64_t j = 0; j < x.n; j += 4) {
    const bool four = j + 4 <= x.n;
    for (int64_t c = j; c < std::min(x.n, j + 4); c += four ? 4 : 1) {
      int first = 0;
      for (; first + most <= R; first += most) four ? Dots<most, 4, Round>(x, first, c) : Dots<most, 1, Round>(x, first, c);
      for (; first < R; ++first) four ? Dots<1, 4, Round>(x, first, c) : Dots<1, 1, Round>(x, first, c);
    }
  }
}

template <int R, bool Round>
void Run(bool transB, const Few& x) {
  transB ? AllDots<R, Round>(x) : AllStraight<R, Round>(x);
}
template <bool Round>
void Run(bool transB, int64_t rows, const Few& x) {
  switch (rows) {
    case 1: return Run<1, Round>(transB, x);
    case 2: return Run<2, Round>(transB, x);
    case 3: return Run<3, Round>(transB, x);
    case 4: return Run<4, Round>(transB, x);
    case 5: return Run<5, Round>(transB, x);
    case 6: return Run<6, Round>(transB, x);
    case 7: return Run<7, Round>(transB, x);
    default: return Run<8, Round>(transB, x);
  }
}
static_assert(kFew == 8, "Run knows 1 to 8 rows");

}  // namespace

void GemmFew(bool transA, bool transB, int64_t m, int64_t n, int64_t k, float alpha, const float* A, int64_t lda, const float* B, int64_t ldb,
             Addend add, float* C, int64_t ldc) {
  const bool round = Bfloat16();
  if (!round && !transA && (m == 1 || lda == k)) return Run<false>(transB, m, {n, k, alpha, A, B, ldb, add, C, ldc});
  Scratch rows(m * k);
  for (int64_t i = 0; i < m; ++i)
    if (transA)
      for (int64_t p = 0; p < k; ++p) rows[i * k + p] = A[p * lda + i];
    else
      std::copy_n(A + i * lda, k, rows + i * k);
  if (!round) return Run<false>(transB, m, {n, k, alpha, rows, B, ldb, add, C, ldc});
  for (int64_t i = 0; i < m * k; i += W) {
    const int64_t lanes = std::min<int64_t>(W, m * k - i);
    StorePart(rows + i, RoundBf16(LoadPart(rows + i, lanes)), lanes);
  }
  Run<true>(transB, m, {n, k, alpha, rows, B, ldb, add, C, ldc});
}

}  // namespace lab
