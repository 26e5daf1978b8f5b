// Products of matrices and of batches of matrices, on all threads.
#include <algorithm>

#include "../core/product.h"

namespace lab {
namespace {

/// a [batch, m, k] or transposed, b [batch, k, n] or transposed, to c [batch, m, n]. A batch stride of 0 uses one matrix for all.
/// A third input is added: a row [n], or with `whole` all of [batch, m, n]; that one may be c itself.
/// n: batch, m, n, k, transA, transB, strideA, strideB, whole (only with a third input).
void MatMul(const Call& call) {
  const int64_t batch = call.n[0], m = call.n[1], n = call.n[2], k = call.n[3], strideA = call.n[6], strideB = call.n[7];
  const bool adds = call.inputs > 2 && call.In<float>(2), whole = adds && call.n[8] != 0;
  Product x{m, call.n[4] != 0, call.n[5] != 0, 1, 1, {}, {}, {}};
  const auto at = [&](int64_t i) {
    Product y = x;
    float* c = call.Out<float>(0) + i * m * n;
    y.a[0] = {call.Given(0).Past(i * strideA), x.transA ? m : k, k};
    y.b[0][0] = {call.Given(1).Past(i * strideB), x.transB ? k : n};
    y.c[0] = {c, n, n, {adds ? 1.0f : 0.0f, adds ? call.In<float>(2) + (whole ? i * m * n : 0) : c, whole ? n : 0}};
    return y;
  };
  if (batch == 1) return Multiply(at(0));
  const double work = 2.0 * m * n * k;
  if (batch < 8 && work > kOnePacksAll) {
    for (int64_t i = 0; i < batch; ++i) Multiply(at(i));
    return;
  }
  // Of few rows reading b takes the time, not the work.
  const double worth = m <= kFew && strideB > 0 ? 16.0 * static_cast<double>(n * k) : work;
  const int64_t grain = std::max<int64_t>(1, static_cast<int64_t>(kAlone / std::max(1.0, worth)));
  ParallelFor(batch, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) Multiply(at(i));  // a loop within this one stays on its thread
  });
}
uint64_t Factors(const Call& call) { return TakesHalves(call.n[1], call.n[2]) ? Call::InBit(0) | Call::InBit(1) : 0; }
LAB_KERNEL("MatMul", MatMul, Factors);

}  // namespace
}  // namespace lab
