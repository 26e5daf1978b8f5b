// Products of matrices on all threads: one, several that share a factor, or a sum of several.
#ifndef LAB_PRODUCT_H
#define LAB_PRODUCT_H

#include "gemm.h"

namespace lab {

/// Most terms of a sum and most products that share their left factor.
constexpr int kMostTerms = 4;

/// C_j = Σ_t op(A_t) op(B_tj) + addend_j for j < columns and t < terms: the products of one row of blocks. All A have m rows.
/// A is stored [m, lda] or, transposed, [k, lda]; B [k, ldb] or [n, ldb]. Factors may hold bfloat16 where TakesHalves.
struct Product {
  struct Left {
    Stored p;
    int64_t ld, k;
  };
  struct Right {
    Stored p;
    int64_t ld;
  };
  struct Result {
    float* p;
    int64_t ld, n;
    Addend add;  // beta times what is added; p may be the result itself
  };
  int64_t m;
  bool transA, transB;
  int terms, columns;
  Left a[kMostTerms];
  Right b[kMostTerms][kMostTerms];  // by term and column
  Result c[kMostTerms];
};

/// Callable from any thread; inside a ParallelFor it stays on its own. How sums are cut depends on the shapes only: the same bits for any number
/// of threads.
void Multiply(const Product& x);

/// The same for one term, at most kFew rows, and columns no fewer than rows: each B is read once.
void MultiplyFew(const Product& x);

/// Whether Multiply reads factors of bfloat16 where C_j has m rows and n columns: products of few rows or of one column don't.
inline bool TakesHalves(int64_t m, int64_t n) { return m > kFew && n > 1; }

/// Multiply-adds of a product, times two.
double WorkOf(const Product& x);

/// Less work isn't worth waking another thread for.
constexpr double kAlone = 5e5;
/// Less isn't worth packing B once for all threads, with two barriers.
constexpr double kOnePacksAll = 2e7;

}  // namespace lab

#endif
