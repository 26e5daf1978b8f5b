// Softmax cross-entropy, a row at a time: maximum, sum of exponentials, loss; the gradient rebuilds the softmax from the saved log-sum-exp.
#include <algorithm>
#include <atomic>
#include <cmath>

#include "../core/lab.h"
#include "../core/rows.h"

namespace {

using namespace lab;

// logits [rows, V], targets and mask [rows] to loss [] and logsumexp [rows].
void CrossEntropy(const Call& c) {
  const int64_t rows = c.n[0], V = c.n[1];
  const double epsilon = c.f[0];
  const float *logits = c.In<float>(0), *mask = c.In<float>(2);
  const int32_t* targets = c.In<int32_t>(1);
  float* logsumexp = c.Out<float>(1);
  const Parts parts(rows, Grain(V, 4096));
  Scratch memory(2 * std::max<int64_t>(parts.count, 1));
  double* partial = memory.As<double>();
  std::atomic<bool> outside{false};
  ParallelFor(rows, parts.grain, [&](int64_t begin, int64_t end) {
    double total = 0;
    for (int64_t r = begin; r < end; ++r) {
      logsumexp[r] = 0.0f;
      const double weight = mask ? mask[r] : 1.0;
      if (weight == 0.0) continue;
      if (targets[r] < 0 || targets[r] >= V) {
        outside = true;
        continue;
      }
      const float* z = logits + r * V;
      const float most = MaxOver(V, z);
      const float sum = SumOver(V, [&](int64_t j, int64_t left) { return ExpFrom(z + j, most, left); });
      const double lse = static_cast<double>(most) + std::log(static_cast<double>(sum));
      logsumexp[r] = static_cast<float>(lse);
      double loss = lse - (1.0 - epsilon) * z[targets[r]];
      if (epsilon > 0) loss -= epsilon / V * SumOver(V, [&](int64_t j, int64_t left) { return LoadUpTo(z + j, left); });
      total += weight * loss;
    }
    partial[begin / parts.grain] = total;
  });
  if (outside) return c.Fail("CrossEntropy: a graded target is not in 0..classes-1; give such rows mask 0 or fix the targets");
  double total = 0;
  for (int64_t p = 0; p < parts.count; ++p) total += partial[p];
  const double graded = Graded(rows, mask);
  *c.Out<float>(0) = graded == 0 ? 0.0f : static_cast<float>(total / graded);
}

// dlogits = dloss · mask / Σ mask · (softmax - (1 - ε) at the target - ε / V).
void CrossEntropyGrad(const Call& c) {
  const int64_t rows = c.n[0], V = c.n[1];
  const float epsilon = static_cast<float>(c.f[0]), rest = epsilon / static_cast<float>(V);
  const float *logits = c.In<float>(0), *mask = c.In<float>(2), *logsumexp = c.In<float>(3);
  const int32_t* targets = c.In<int32_t>(1);
  float* dlogits = c.Out<float>(0);
  const double graded = Graded(rows, mask), dloss = *c.In<float>(4);
  ParallelFor(rows, Grain(V, 4096), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float *z = logits + r * V;
      float* d = dlogits + r * V;
      const double weight = mask ? mask[r] : 1.0;
      if (weight == 0.0 || targets[r] < 0 || targets[r] >= V) {
        std::fill_n(d, V, 0.0f);
        continue;
      }
      const float scale = static_cast<float>(dloss * weight / graded);
      for (int64_t j = 0; j < V; j += W)
        StoreUpTo(d + j, F(scale) * (Exp(LoadUpTo(z + j, V - j) - F(logsumexp[r])) - F(rest)), V - j);
      d[targets[r]] -= scale * (1.0f - epsilon);
    }
  });
}

}  // namespace

LAB_KERNEL("CrossEntropy", CrossEntropy);
LAB_KERNEL("CrossEntropyGrad", CrossEntropyGrad);
