// Optimiser steps, one pass over a weight each, and the sum of squares of gradients; for one array or for many in one call.
#include <algorithm>
#include <vector>

#include "../core/lab.h"
#include "../core/rows.h"

namespace {

using namespace lab;

constexpr int64_t kGrain = 16384;

// Elements begin to end - 1. All arrays [n]; rates [3]: what of the weight is kept, the step size, 1 / √(1-β2^t); scale [1] or null. New ones may lie where the old ones lie.
void AdamW(const Call& c, int64_t begin, int64_t end) {
  const float *weight = c.In<float>(0), *gradient = c.In<float>(1), *first = c.In<float>(2), *second = c.In<float>(3);
  const float *rates = c.In<float>(4), *scale = c.In<float>(5);
  float *newWeight = c.Out<float>(0), *newFirst = c.Out<float>(1), *newSecond = c.Out<float>(2);
  const F beta1(static_cast<float>(c.f[0])), beta2(static_cast<float>(c.f[1])), eps(static_cast<float>(c.f[2]));
  const F fresh1(static_cast<float>(1 - c.f[0])), fresh2(static_cast<float>(1 - c.f[1]));
  const F keep(rates[0]), stepSize(rates[1]), unbias(rates[2]);
  const F factor(scale ? *scale : 1.0f);
  for (int64_t i = begin; i < end; i += W) {
    const int64_t left = end - i;
    const F g = LoadUpTo(gradient + i, left) * factor;
    const F m = Fma(beta1, LoadUpTo(first + i, left), fresh1 * g);
    const F v = Fma(beta2, LoadUpTo(second + i, left), fresh2 * g * g);
    StoreUpTo(newFirst + i, m, left);
    StoreUpTo(newSecond + i, v, left);
    StoreUpTo(newWeight + i, keep * LoadUpTo(weight + i, left) - stepSize * m / Fma(Sqrt(v), unbias, eps), left);
  }
}

// Elements begin to end - 1. All arrays [n]; rate [1]; buffer and scale may be null. New ones may lie where the old ones lie.
void Sgd(const Call& c, int64_t begin, int64_t end) {
  const float *weight = c.In<float>(0), *gradient = c.In<float>(1), *buffer = c.In<float>(2), *rate = c.In<float>(3), *scale = c.In<float>(4);
  float *newWeight = c.Out<float>(0), *newBuffer = buffer ? c.Out<float>(1) : nullptr;
  const bool nesterov = c.n[1] != 0;
  const F lr(*rate), momentum(static_cast<float>(c.f[0])), decay(static_cast<float>(c.f[1]));
  const F factor(scale ? *scale : 1.0f);
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
}

// `count` arrays x_i [sizes[i]] to sum [] = Σ x² over all.
void SquareSum(const Call& c, int64_t count, const int64_t* sizes) {
  std::vector<int64_t> first(count + 1);  // part of each array
  for (int64_t i = 0; i < count; ++i) first[i + 1] = first[i] + (sizes[i] + kGrain - 1) / kGrain;
  Scratch memory(2 * std::max<int64_t>(first[count], 1));
  double* partial = memory.As<double>();
  ParallelFor(first[count], 1, [&](int64_t part, int64_t) {
    const int64_t array = std::upper_bound(first.begin(), first.end(), part) - first.begin() - 1;
    const int64_t begin = (part - first[array]) * kGrain, end = std::min(sizes[array], begin + kGrain);
    const float* x = c.In<float>(static_cast<int>(array));
    constexpr int kChains = 16;  // independent sums, so that the compiler may use vectors
    double sum[kChains] = {};
    int64_t i = begin;
    for (; i + kChains <= end; i += kChains)
      for (int j = 0; j < kChains; ++j) sum[j] += static_cast<double>(x[i + j]) * x[i + j];
    for (; i < end; ++i) sum[0] += static_cast<double>(x[i]) * x[i];
    double total = 0;
    for (int j = 0; j < kChains; ++j) total += sum[j];
    partial[part] = total;
  });
  double total = 0;
  for (int64_t p = 0; p < first[count]; ++p) total += partial[p];
  *c.Out<float>(0) = static_cast<float>(total);
}

/// Part of a step: elements begin to end - 1 of its arrays, whose length is the call's first number.
using Step = void (*)(const Call&, int64_t begin, int64_t end);

template <Step step>
void One(const Call& c) {
  ParallelFor(c.n[0], kGrain, [&](int64_t begin, int64_t end) { step(c, begin, end); });
}

// n[0] steps of one kind: the inputs of each in turn, then the outputs, ints and floats of each.
template <Step step>
void All(const Call& c) {
  const int count = static_cast<int>(c.n[0]);
  const int inputs = c.inputs / count, outputs = c.outputs / count, ints = (c.ints - 1) / count, floats = c.floats / count;
  std::vector<Call> calls;
  std::vector<int64_t> first{0};  // part of each step
  for (int i = 0; i < count; ++i) {
    calls.push_back({c.in + i * inputs, c.out + i * outputs, c.n + 1 + i * ints, c.f + i * floats, inputs, outputs, ints, floats, c.error});
    first.push_back(first.back() + (calls.back().n[0] + kGrain - 1) / kGrain);
  }
  ParallelFor(first.back(), 1, [&](int64_t part, int64_t) {
    const int64_t i = std::upper_bound(first.begin(), first.end(), part) - first.begin() - 1, begin = (part - first[i]) * kGrain;
    step(calls[i], begin, std::min(calls[i].n[0], begin + kGrain));
  });
}

}  // namespace

LAB_KERNEL("AdamW", One<AdamW>);
LAB_KERNEL("AdamWAll", All<AdamW>);
LAB_KERNEL("Sgd", One<Sgd>);
LAB_KERNEL("SgdAll", All<Sgd>);
LAB_KERNEL("SquareSum", [](const Call& c) { SquareSum(c, 1, c.n); });
LAB_KERNEL("SquareSumAll", [](const Call& c) { SquareSum(c, c.n[0], c.n + 1); });
