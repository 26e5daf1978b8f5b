// Products of a few rows (decoding), which read B once, where it lies, from end to end.
#include <algorithm>
#include <type_traits>

#include "halves.h"
#include "product.h"
#include "rows.h"
#include "served.h"
#include "soon.h"

namespace lab {
namespace {

#if LAB_AVX512 || LAB_NEON
#define LAB_WIDE_REGISTERS 1  // 32 of them
#else
#define LAB_WIDE_REGISTERS 0
#endif

// B, floats or halves, is rounded as it is read; the rows have been rounded before.
template <bool Round, class T>
LAB_INLINE F Read(const T* p) { return Round ? RoundBf16(Load(p)) : Load(p); }
template <bool Round, class T>
LAB_INLINE F ReadPart(const T* p, int64_t lanes) { return Round ? RoundBf16(LoadPart(p, lanes)) : LoadPart(p, lanes); }

template <class T>
struct Few {
  int64_t n, k;
  float alpha;
  const float* X;  // [rows, ldx], k of each count
  const T* B;
  int64_t ldb;
  Addend add;
  float* C;
  int64_t ldc;
  int64_t ldx = k;

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

/// Adds R rows, at k = p .. p + D - 1, times D rows of B to sums [R][width]; starts them if `first`. Asks for the D rows of B behind them if `more`:
/// the processor reads ahead along a row, but D rows at once are more than it follows.
template <int R, int D, bool Round, class T>
void AddRows(const Few<T>& x, int64_t p, bool first, bool more, float* sums, int64_t width) {
  F factor[R][D];
  for (int r = 0; r < R; ++r)
    LAB_UNROLL
    for (int d = 0; d < D; ++d) factor[r][d] = F(x.X[r * x.ldx + p + d]);
  const T* b = x.B + p * x.ldb;
  const int64_t ahead = more ? D * x.ldb : 0;
  for (int64_t j = 0; j < x.n; j += W) {
    const int64_t lanes = x.n - j;
    F row[D];
    LAB_UNROLL
    for (int d = 0; d < D; ++d) {
      const T* at = b + d * x.ldb + j;
      if (W >= kLine || j % kLine == 0) SoonLine(at, ahead);
      row[d] = lanes >= W ? Read<Round>(at) : ReadPart<Round>(at, lanes);
    }
    LAB_UNROLL
    for (int r = 0; r < R; ++r) {
      F sum = first ? F(0.0f) : Load(sums + r * width + j);
      LAB_UNROLL
      for (int d = 0; d < D; ++d) sum = Fma(factor[r][d], row[d], sum);
      Store(sums + r * width + j, sum);
    }
  }
}

/// Floats of a row of sums, whole vectors.
int64_t Padded(int64_t n) { return (n + W - 1) / W * W; }

constexpr int kSums = 16;           // vectors of sums in registers
constexpr bool kBlocks = W >= 16;  // with narrower vectors the stretches of a row would be short, and reading several rows at once is faster

/// sums [R][width] of V vectors of columns from j on, which stay in registers while B goes by: nothing but B is read, a line of it an instruction, so
/// that the processor sees far ahead. Of the last vector `lanes` columns count.
template <int R, int V, bool Round, class T>
LAB_INLINE void SumBlock(const Few<T>& x, int64_t j, int64_t lanes, float* sums, int64_t width) {
  F sum[R][V];
  LAB_UNROLL
  for (auto& row : sum)
    LAB_UNROLL
    for (F& one : row) one = F(0.0f);
  const T* b = x.B + j;
  for (int64_t p = 0; p < x.k; ++p, b += x.ldb) {
    F factor[R];
    LAB_UNROLL
    for (int r = 0; r < R; ++r) factor[r] = F(x.X[r * x.ldx + p]);
    LAB_UNROLL
    for (int v = 0; v < V; ++v) {
      const F column = v + 1 < V || lanes >= W ? Read<Round>(b + v * W) : ReadPart<Round>(b + v * W, lanes);
      LAB_UNROLL
      for (int r = 0; r < R; ++r) sum[r][v] = Fma(factor[r], column, sum[r][v]);
    }
  }
  LAB_UNROLL
  for (int r = 0; r < R; ++r)
    LAB_UNROLL
    for (int v = 0; v < V; ++v) Store(sums + r * width + j + v * W, sum[r][v]);
}

/// SumBlock of `vectors`, 1 to Most.
template <int R, int Most, bool Round, class T>
void SumVectors(const Few<T>& x, int64_t vectors, int64_t j, float* sums, int64_t width) {
  if constexpr (Most > 1)
    if (vectors < Most) return SumVectors<R, Most - 1, Round>(x, vectors, j, sums, width);
  SumBlock<R, Most, Round>(x, j, x.n - j - (Most - 1) * W, sums, width);
}

/// sums [R][Padded(n)] = R rows times B [k, ldb], which is read from end to end.
template <int R, bool Round, class T>
void SumRows(const Few<T>& x, float* sums) {
  const int64_t width = Padded(x.n);
  if constexpr (kBlocks && R <= 2) {
    const int64_t vectors = width / W, each = Even(vectors, kSums / R);
    for (int64_t v = 0; v < vectors; v += each) SumVectors<R, kSums / R, Round>(x, std::min(each, vectors - v), v * W, sums, width);
  } else {
    constexpr int some = LAB_WIDE_REGISTERS ? (R <= 2 ? 8 : 4) : (R <= 2 ? 4 : 2);
    if (x.k == 0) std::fill_n(sums, R * width, 0.0f);
    int64_t p = 0;
    for (; p + some <= x.k; p += some) AddRows<R, some, Round>(x, p, p == 0, p + 2 * some <= x.k, sums, width);
    for (; p < x.k; ++p) AddRows<R, 1, Round>(x, p, p == 0, false, sums, width);
  }
}

/// R rows times B stored [n, ldb]: dot products, N columns at a time.
template <int R, int N, bool Round, class T>
void Dots(const Few<T>& x, int64_t first, int64_t j) {
  const int64_t ahead = first == 0 && j + 2 * N <= x.n ? N * x.ldb : 0;  // the next columns are asked for
  F sum[R][N];
  for (int r = 0; r < R; ++r)
    for (int c = 0; c < N; ++c) sum[r][c] = F(0.0f);
  const float* rows = x.X + first * x.ldx;
  const T* b = x.B + j * x.ldb;
  for (int64_t p = 0; p < x.k; p += W) {
    const int64_t lanes = x.k - p;
    F row[R];
    LAB_UNROLL
    for (int r = 0; r < R; ++r) row[r] = lanes >= W ? Load(rows + r * x.ldx + p) : LoadPart(rows + r * x.ldx + p, lanes);
    LAB_UNROLL
    for (int c = 0; c < N; ++c) {
      const T* at = b + c * x.ldb + p;
      if (W >= kLine || p % kLine == 0) SoonLine(at, ahead);
      const F column = lanes >= W ? Read<Round>(at) : ReadPart<Round>(at, lanes);
      LAB_UNROLL
      for (int r = 0; r < R; ++r) sum[r][c] = Fma(row[r], column, sum[r][c]);
    }
  }
  for (int r = 0; r < R; ++r)
    for (int c = 0; c < N; ++c) {
      const int64_t row = first + r, at = j + c;
      x.C[row * x.ldc + at] = x.alpha * Sum(sum[r][c]) + (x.add.beta != 0.0f ? x.add.beta * x.add.p[row * x.add.ld + at] : 0.0f);
    }
}

template <int R, bool Round, class T>
void AllDots(const Few<T>& x) {
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

/// Calls `run` with the number of rows as a type.
template <class Run>
LAB_INLINE void ForRows(int64_t rows, Run&& run) {
  static_assert(kFew == 8, "1 to 8 rows are known");
  switch (rows) {
    case 1: return run(std::integral_constant<int, 1>());
    case 2: return run(std::integral_constant<int, 2>());
    case 3: return run(std::integral_constant<int, 3>());
    case 4: return run(std::integral_constant<int, 4>());
    case 5: return run(std::integral_constant<int, 5>());
    case 6: return run(std::integral_constant<int, 6>());
    case 7: return run(std::integral_constant<int, 7>());
    default: return run(std::integral_constant<int, 8>());
  }
}
void Sums(int64_t rows, bool round, const Few<float>& x, float* sums) {
  ForRows(rows, [&](auto r) { round ? SumRows<r, true>(x, sums) : SumRows<r, false>(x, sums); });
}
void Sums(int64_t rows, bool, const Few<Half>& x, float* sums) {
  ForRows(rows, [&](auto r) { SumRows<r, false>(x, sums); });
}
void DotsOf(int64_t rows, bool round, const Few<float>& x) {
  ForRows(rows, [&](auto r) { round ? AllDots<r, true>(x) : AllDots<r, false>(x); });
}
void DotsOf(int64_t rows, bool, const Few<Half>& x) {
  ForRows(rows, [&](auto r) { AllDots<r, false>(x); });
}

/// op(A) [m, k] as rows of k floats without gaps: A itself where that will do, else a copy in `room` [m, k], rounded to bfloat16 if asked.
const float* RowsOf(bool transA, bool round, int64_t m, int64_t k, const float* A, int64_t lda, float* room) {
  for (int64_t i = 0; i < m; ++i)
    if (transA)
      for (int64_t p = 0; p < k; ++p) room[i * k + p] = A[p * lda + i];
    else
      std::copy_n(A + i * lda, k, room + i * k);
  for (int64_t i = 0; round && i < m * k; i += W) {
    const int64_t lanes = std::min<int64_t>(W, m * k - i);
    StorePart(room + i, RoundBf16(LoadPart(room + i, lanes)), lanes);
  }
  return room;
}
/// Whether op(A) is read where it lies.
bool Lies(bool transA, bool round, int64_t m, int64_t k, int64_t lda) { return !round && (transA ? m == 1 && lda == 1 : m == 1 || lda == k); }

constexpr int64_t kPart = 32768;  // floats of B that a part reads at least: some microseconds
constexpr int64_t kMostParts = 32;
constexpr int64_t kWidest = 768;    // columns of a part of several rows: the rows of B that are asked for ahead stay in the first-level cache
constexpr int64_t kNarrowest = 176;  // columns of a part of one or two rows: shorter stretches of a row of B read slower

/// How the product with one B is cut: into `across` parts of columns, which need no joining, and those into `down` parts along k where columns are few.
/// Sums of many rows take long to join, so there B is cut by columns alone, as it is where it is transposed.
struct Cut {
  int64_t across, wide, down, deep;
  Cut(bool transB, int64_t m, int64_t n, int64_t k) {
    int64_t parts = 1;
    while (2 * parts * kPart <= n * k && parts < kMostParts) parts *= 2;
    const bool byColumns = transB || m > 2;
    int64_t columns = parts;  // parts that go across
    while (!byColumns && columns > 1 && columns * kNarrowest > n) columns /= 2;
    wide = (n + columns - 1) / columns;
    wide = transB ? Even(n, wide, 4) : byColumns ? Even(n, std::min(wide, kWidest), 2 * kLine) : Even(n, wide, kLine);
    across = (n + wide - 1) / wide;
    deep = byColumns || k == 0 ? k : Even(k, (k * across + parts - 1) / parts, 8);
    down = deep == 0 ? 1 : (k + deep - 1) / deep;
  }
  int64_t Parts() const { return across * down; }
};

const float* Numbers(const Product::Right& b) { return b.p.Floats(); }
const Half* Numbers(const Served::Right& b) { return b.p; }

/// What MultiplyFew and MultiplyServed have in common: `rows` [m, k] are op(A), rounded where products round.
template <class T, class Right>
void Multiply(int64_t m, int64_t k, bool transB, bool round, int columns, const float* rows, const Right* b, const Product::Result* c) {
  const auto few = [&](int i) { return Few<T>{c[i].n, k, 1.0f, rows, Numbers(b[i]), b[i].ld, c[i].add, c[i].p, c[i].ld}; };
  const auto cut = [&](int i) { return Cut(transB, m, c[i].n, k); };
  int64_t first[kMostTerms + 1] = {0}, begin[kMostTerms + 1] = {0}, work = 0;  // the first part of each column, and where its sums begin
  for (int i = 0; i < columns; ++i) {
    first[i + 1] = first[i] + cut(i).Parts();
    begin[i + 1] = begin[i] + cut(i).down * m * Padded(c[i].n);
    work += c[i].n * k;
  }
  Scratch scratch(transB ? 1 : begin[columns]);
  float* sums = scratch;
  const int64_t parts = first[columns];
  ParallelFor(parts, work < 2 * kPart ? parts : 1, [&](int64_t part, int64_t end) {
    for (; part < end; ++part) {
      int column = 0;
      while (part >= first[column + 1]) ++column;
      const Cut by = cut(column);
      const int64_t i = (part - first[column]) / by.across, j = (part - first[column]) % by.across * by.wide, p = i * by.deep;
      Few<T> y = few(column);
      y.n = std::min(by.wide, y.n - j);
      if (transB) {
        y.B += j * y.ldb;
        y.C += j;
        y.add.p += j;
        DotsOf(m, round, y);
        continue;
      }
      y.k = std::min(by.deep, k - p);
      y.B += p * y.ldb + j;
      y.X += p;
      y.ldx = k;
      float* own = sums + begin[column] + i * m * Padded(c[column].n) + m * j;
      Sums(m, round, y, own);
      if (by.down > 1) continue;
      y.C += j;
      y.add.p += j;
      for (int64_t r = 0; r < m; ++r)
        for (int64_t v = 0; v < y.n; v += W) y.Put(r, v, Load(own + r * Padded(y.n) + v), y.n - v);
    }
  });
  if (transB) return;
  for (int column = 0; column < columns; ++column) {
    const Few<T> y = few(column);
    const Cut by = cut(column);
    if (by.down == 1) continue;
    const int64_t stride = m * Padded(y.n);
    for (int64_t from = 0; from < y.n; from += by.wide) {
      const int64_t wide = std::min(by.wide, y.n - from);
      for (int64_t r = 0; r < m; ++r)
        for (int64_t j = 0; j < wide; j += W) {
          const float* one = sums + begin[column] + m * from + r * Padded(wide) + j;
          F sum = Load(one);
          for (int64_t i = 1; i < by.down; ++i) sum += Load(one + i * stride);
          y.Put(r, from + j, sum, wide - j);
        }
    }
  }
}

}  // namespace

void GemmFew(bool transA, bool transB, int64_t m, int64_t n, int64_t k, float alpha, const float* A, int64_t lda, const float* B, int64_t ldb,
             Addend add, float* C, int64_t ldc) {
  const bool round = Bfloat16(), lies = Lies(transA, round, m, k, lda);
  Scratch room(lies ? 1 : m * k), sums(transB ? 1 : m * Padded(n));
  const Few<float> x{n, k, alpha, lies ? A : RowsOf(transA, round, m, k, A, lda, room), B, ldb, add, C, ldc};
  if (transB) return DotsOf(m, round, x);
  Sums(m, round, x, sums);
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; j += W) x.Put(i, j, Load(sums + i * Padded(n) + j), n - j);
}

void MultiplyFew(const Product& x) {
  const int64_t m = x.m, k = x.a[0].k;
  const bool round = Bfloat16(), lies = Lies(x.transA, round, m, k, x.a[0].ld);
  Scratch room(lies ? 1 : m * k);
  const float* rows = lies ? x.a[0].p.Floats() : RowsOf(x.transA, round, m, k, x.a[0].p.Floats(), x.a[0].ld, room);
  Multiply<float>(m, k, x.transB, round, x.columns, rows, x.b[0], x.c);
}

void MultiplyServed(const Served& x) {
  Scratch room(x.m * x.k);
  Multiply<Half>(x.m, x.k, x.transB, false, x.columns, RowsOf(false, true, x.m, x.k, x.A, x.k, room), x.b, x.c);
}

}  // namespace lab
