// Products of a few rows with weights that a text keeps in bfloat16.
#ifndef LAB_SERVED_H
#define LAB_SERVED_H

#include "halves.h"
#include "product.h"

namespace lab {

/// C_j = A op(B_j) + addend_j for j < columns: A [m, k], m at most kFew, rounded to bfloat16 first; B_j [k, ld] or, transposed, [n, ld]. Sums are float32:
/// the bits of MultiplyFew under SetBfloat16(true) on the weights that were rounded, but for numbers below the normal range.
struct Served {
  struct Right {
    const Half* p;
    int64_t ld;
  };
  int64_t m, k;
  bool transB;
  int columns;
  const float* A;
  Right b[kMostTerms];
  Product::Result c[kMostTerms];
};
void MultiplyServed(const Served& x);

}  // namespace lab

#endif
