// Optimiser steps, one pass over a weight each, and the sum of squares of a gradient.
#include <algorithm>

#include "../core/lab.h"
#include "../core/rows.h"

namespace {

using namespace lab;

constexpr int64_t kGrain = 16384;

// All arrays [n]; rates [3]: what of the weight is kept, the step size, 1 / √(1-β2^t); scale [1] or null. New ones may lie where the old ones lie.
void AdamW(const Call& c) {
  const float *weight = c.In<float>(0), *gradient = c.In<float>(1), *first = c.In<float>(2), *second = c.In<float>(3);
  const float *rates = c.In<float>(4), *scale = c.In<float>(5);
  float *newWeight = c.Out<float>(0), *newFirst = c.Out<float>(1), *newSecond = c.Out<float>(2);
  const F beta1(static_cast<float>(c.f[0])), beta2(static_cast<float>(c.f[1])), eps(static_cast<float>(c.f[2]));
  const F fresh1(static_cast<float>(1 - c.f[0])), fresh2(static_cast<float>(1 - c.f[1]));
  const F keep(rates[0]), stepSize(rates[1]), unbias(rates[2]);
  const F factor(scale ? *scale : 1.0f);
  ParallelFor(c.n[0], kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += W) {
      const int64_t left = end - i;
      const F g = LoadUpTo(gradient + i, left) * factor;
      const F m = Fma(beta1, LoadUpTo(first + i, left), fresh1 * g);
      const F v = Fma(beta2, LoadUpTo(second + i, left), fresh2 * g * g);
      StoreUpTo(newFirst + i, m, left);
      StoreUpTo(newSecond + i, v, left);
      StoreUpTo(newWeight + i, keep * LoadUpTo(weight + i, left) - stepSize * m / Fma(Sqrt(v), unbias, eps), left);
    }
  });
}

// All arrays [n]; rate [1]; buffer and scale may be null. New ones may lie where the old ones lie.
void Sgd(const Call& c) {
  const float *weight = c.In<float>(0), *gradient = c.In<float>(1), *buffer = c.In<float>(2), *rate = c.In<float>(3), *scale = c.In<float>(4);
  float *newWeight = c.Out<float>(0), *newBuffer = buffer ? c.Out<float>(1) : nullptr;
  const bool nesterov = c.n[1] != 0;
  const F lr(*rate), momentum(static_cast<float>(c.f[0])), decay(static_cast<float>(c.f[1]));
  const F factor(scale ? *scale : 1.0f);
  ParallelFor(c.n[0], kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += W) {
      const int64_t left = end - i;
      const F w = LoadUpTo(weight + i, left);
      F step = Fma(LoadUpTo(gradient + i, left), factor, decay * w);
      if (buffer) {
        const F b = Fma(momentum, LoadUpTo(buffer + i, left), step);
        StoreUpTo(newBuffer + i, b, left);
        step = nesterov ? Fma(momentum, b, step) : b;
      }
      StoreUpTo(newWeight + i, w - lr * step, left);
    }
  });
}

// x [n] to sum [].
void SquareSum(const Call& c) {
  const int64_t n = c.n[0];
  const float* x = c.In<float>(0);
  const Parts parts(n, kGrain);
  Scratch memory(2 * std::max<int64_t>(parts.count, 1));
  double* partial = memory.As<double>();
  ParallelFor(n, parts.grain, [&](int64_t begin, int64_t end) {
    constexpr int kChains = 16;  // independent sums, so that the compiler may use vectors
    double sum[kChains] = {};
    int64_t i = begin;
    for (; i + kChains <= end; i += kChains)
      for (int j = 0; j < kChains; ++j) sum[j] += static_cast<double>(x[i + j]) * x[i + j];
    for (; i < end; ++i) sum[0] += static_cast<double>(x[i]) * x[i];
    double total = 0;
    for (int j = 0; j < kChains; ++j) total += sum[j];
    partial[begin / parts.grain] = total;
  });
  double total = 0;
  for (int64_t p = 0; p < parts.count; ++p) total += partial[p];
  *c.Out<float>(0) = static_cast<float>(total);
}

}  // namespace

LAB_KERNEL("AdamW", AdamW);
LAB_KERNEL("Sgd", Sgd);
LAB_KERNEL("SquareSum", SquareSum);
