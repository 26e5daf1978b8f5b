// Maps of wide blocks by the products of all threads, between rows of all blocks where they lie.
#include "wide.h"

#include "../core/product.h"

namespace lab {
namespace {

Product Of(int64_t m, bool transA, bool transB, Product::Left a, Product::Right b, Product::Result c) {
  Product x{m, transA, transB, 1, 1, {}, {}, {}};
  x.a[0] = a;
  x.b[0][0] = b;
  x.c[0] = c;
  return x;
}

}  // namespace

bool BlockSizes::Wide() const {
  constexpr int64_t least = 32;
  return I >= least && O >= least && 2.0 * static_cast<double>(rows) * static_cast<double>(I * O) >= kOnePacksAll;
}

void WideForward(const BlockSizes& s, const float* x, const float* w, const float* bias, float* y) {
  for (int64_t n = 0; n < s.N; ++n) {
    float* to = y + n * s.O;
    const Addend add = bias ? Addend{1.0f, bias + n * s.O, 0} : Addend{0.0f, to, 0};
    Multiply(Of(s.rows, false, false, {x + n * s.I, s.N * s.I, s.I}, {w + n * s.I * s.O, s.O}, {to, s.N * s.O, s.O, add}));
  }
}

void WideBackward(const BlockSizes& s, const float* x, const float* w, const float* dy, float* dx, float* dw) {
  for (int64_t n = 0; n < s.N; ++n) {
    const float* slopes = dy + n * s.O;
    float *toX = dx + n * s.I, *toW = dw + n * s.I * s.O;
    Multiply(Of(s.rows, false, true, {slopes, s.N * s.O, s.O}, {w + n * s.I * s.O, s.O}, {toX, s.N * s.I, s.I, {0.0f, toX, 0}}));
    Multiply(Of(s.I, true, false, {x + n * s.I, s.N * s.I, s.rows}, {slopes, s.N * s.O}, {toW, s.O, s.O, {0.0f, toW, 0}}));
  }
}

}  // namespace lab
