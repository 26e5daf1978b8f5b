// The last linear map and softmax cross-entropy together, some rows at a time, so that the logits of a large vocabulary never stand whole.
#include <algorithm>
#include <atomic>
#include <cmath>

#include "../core/product.h"
#include "../core/rows.h"

namespace lab {
namespace {

constexpr int64_t kLogits = int64_t{4} << 20;  // floats of logits at a time: as many as still lie near the processor
constexpr int64_t kFewest = 128;               // rows at a time, below which the products would mostly pack

/// C [m, n] = op(A) op(B) + beta C.
void Put(int64_t m, int64_t n, int64_t k, bool transA, bool transB, const float* A, int64_t lda, const float* B, int64_t ldb, float beta, float* C) {
  Product p{m, transA, transB, 1, 1, {}, {}, {}};
  p.a[0] = {A, lda, k};
  p.b[0][0] = {B, ldb};
  p.c[0] = {C, n, n, {beta, C, n}};
  Multiply(p);
}

/// Logits z become their slope, `scale` (softmax - (1 - ε) at the target - ε / V); gives the row's loss.
double Row(int64_t V, float* z, int32_t target, double epsilon, float scale) {
  const float most = MaxOver(V, z), wanted = z[target], rest = static_cast<float>(epsilon) / static_cast<float>(V);
  const float all = epsilon > 0 ? SumOver(V, [&](int64_t j, int64_t left) { return LoadUpTo(z + j, left); }) : 0.0f;
  const float sum = SumOver(V, [&](int64_t j, int64_t left) {
    const F e = ExpFrom(z + j, most, left);
    StoreUpTo(z + j, e, left);
    return e;
  });
  const F factor(scale / sum), less(scale * rest);
  for (int64_t j = 0; j < V; j += W) StoreUpTo(z + j, LoadUpTo(z + j, V - j) * factor - less, V - j);
  z[target] -= scale * (1.0f - static_cast<float>(epsilon));
  return static_cast<double>(most) + std::log(static_cast<double>(sum)) - (1.0 - epsilon) * wanted - epsilon / V * all;
}

// x [rows, D], w [D, V] or, tied, [V, D], targets and mask [rows] to loss [], and its slopes for x and w. n: rows, D, V, tied.
void LinearCrossEntropy(const Call& c) {
  const int64_t rows = c.n[0], D = c.n[1], V = c.n[2];
  const bool tied = c.n[3] != 0;
  const double epsilon = c.f[0];
  const float *x = c.In<float>(0), *w = c.In<float>(1), *mask = c.In<float>(3);
  const int32_t* targets = c.In<int32_t>(2);
  float *slopeX = c.Out<float>(1), *slopeW = c.Out<float>(2);
  const double graded = Graded(rows, mask);
  const int64_t most = Even(rows, std::max(kFewest, kLogits / V));
  Scratch logits(most * V);
  float* z = logits;
  std::atomic<bool> outside{false};
  double total = 0;
  for (int64_t first = 0; first < rows; first += most) {
    const int64_t some = std::min(most, rows - first);
    const float* xs = x + first * D;
    Put(some, V, D, false, tied, xs, D, w, tied ? D : V, 0.0f, z);
    const Parts parts(some, Grain(V, 4096));
    Scratch memory(2 * parts.count);
    double* partial = memory.As<double>();
    ParallelFor(some, parts.grain, [&](int64_t begin, int64_t end) {
      double sum = 0;
      for (int64_t r = begin; r < end; ++r) {
        const double weight = mask ? mask[first + r] : 1.0;
        const int32_t target = targets[first + r];
        if (weight == 0.0 || target < 0 || target >= V) {
          if (weight != 0.0) outside = true;
          std::fill_n(z + r * V, V, 0.0f);
        } else {
          sum += weight * Row(V, z + r * V, target, epsilon, static_cast<float>(weight / graded));
        }
      }
      partial[begin / parts.grain] = sum;
    });
    if (outside) return c.Fail("LinearCrossEntropy: a graded target is not in 0..classes-1; give such rows mask 0 or fix the targets");
    for (int64_t p = 0; p < parts.count; ++p) total += partial[p];
    Put(some, D, V, false, !tied, z, V, w, tied ? D : V, 0.0f, slopeX + first * D);
    const float beta = first == 0 ? 0.0f : 1.0f;
    if (tied) Put(V, D, some, true, false, z, V, xs, D, beta, slopeW);
    else Put(D, V, some, true, false, xs, D, z, V, beta, slopeW);
  }
  *c.Out<float>(0) = graded == 0 ? 0.0f : static_cast<float>(total / graded);
}

// The slopes, times the gradient that reaches the loss.
void LinearCrossEntropyGrad(const Call& c) {
  const float by = *c.In<float>(2);
  for (int i = 0; i < 2; ++i) {
    const float* from = c.In<float>(i);
    float* to = c.Out<float>(i);
    ParallelFor(c.n[i], 16384, [&](int64_t begin, int64_t end) {
      for (int64_t j = begin; j < end; j += W) StoreUpTo(to + j, F(by) * LoadUpTo(from + j, end - j), end - j);
    });
  }
}

LAB_KERNEL("LinearCrossEntropy", LinearCrossEntropy);
LAB_KERNEL("LinearCrossEntropyGrad", LinearCrossEntropyGrad);

}  // namespace
}  // namespace lab
