// Functions of one array, element by element.
#include <cmath>

#include "../core/rows.h"

namespace lab {
namespace {

template <class Op>
void Map(const Call& c, Op op) {
  const float* x = c.In<float>(0);
  float* y = c.Out<float>(0);
  ParallelFor(c.n[0], 32768, [&](int64_t begin, int64_t end) {
    int64_t i = begin;
    for (; i + W <= end; i += W) Store(y + i, op(Load(x + i)));
    if (i < end) StorePart(y + i, op(LoadPart(x + i, end - i)), end - i);
  });
}

template <class Op>
void MapEach(const Call& c, Op op) {
  const float* x = c.In<float>(0);
  float* y = c.Out<float>(0);
  ParallelFor(c.n[0], 4096, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = op(x[i]);
  });
}

/// The error function by Abramowitz and Stegun 7.1.26 (absolute error 1.5e-7), as TF.js has it.
F Erf(F x) {
  const F a = Abs(x), t = F(1.0f) / Fma(F(0.3275911f), a, F(1.0f));
  F p = F(1.061405429f);
  p = Fma(p, t, F(-1.453152027f));
  p = Fma(p, t, F(1.421413741f));
  p = Fma(p, t, F(-0.284496736f));
  p = Fma(p, t, F(0.254829592f));
  return CopySign(F(1.0f) - p * t * Exp(Neg(a * a)), x);
}

#define LAB_UNARY(name, ...) LAB_KERNEL(name, [](const Call& c) { Map(c, [](F x) { return __VA_ARGS__; }); })
// n: count.
LAB_UNARY("Abs", Abs(x));
LAB_UNARY("Neg", Neg(x));
LAB_UNARY("Exp", Exp(x));
LAB_UNARY("Expm1", Expm1(x));
LAB_UNARY("Log", Log(x));
LAB_UNARY("Log1p", Log1p(x));
LAB_UNARY("Sqrt", Sqrt(x));
LAB_UNARY("Rsqrt", F(1.0f) / Sqrt(x));
LAB_UNARY("Reciprocal", F(1.0f) / x);
LAB_UNARY("Square", x * x);
LAB_UNARY("Sigmoid", Sigmoid(x));
LAB_UNARY("Tanh", Tanh(x));
LAB_UNARY("Softplus", Softplus(x));
LAB_UNARY("Erf", Erf(x));
LAB_UNARY("Relu", Max(F(0.0f), x));  // Max gives its second argument where either is NaN
LAB_UNARY("Relu6", Min(F(6.0f), Max(F(0.0f), x)));
LAB_UNARY("Elu", Select(Lt(x, F(0.0f)), Expm1(x), x));
#undef LAB_UNARY

LAB_KERNEL("Sin", [](const Call& c) { MapEach(c, [](float x) { return std::sin(x); }); });
LAB_KERNEL("Cos", [](const Call& c) { MapEach(c, [](float x) { return std::cos(x); }); });

// f: slope below zero.
LAB_KERNEL("LeakyRelu", [](const Call& c) {
  const F alpha(static_cast<float>(c.f[0]));
  Map(c, [=](F x) { return Select(Lt(x, F(0.0f)), alpha * x, x); });
});
// 1 above zero, f[0] elsewhere, NaN for NaN.
LAB_KERNEL("Step", [](const Call& c) {
  const F alpha(static_cast<float>(c.f[0]));
  Map(c, [=](F x) { return Select(Lt(F(0.0f), x), F(1.0f), Select(Eq(x, x), alpha, x)); });
});
// f: lowest, highest.
LAB_KERNEL("ClipByValue", [](const Call& c) {
  const F low(static_cast<float>(c.f[0])), high(static_cast<float>(c.f[1]));
  Map(c, [=](F x) { return Min(high, Max(low, x)); });
});

template <class From, class To, class Op>
void Convert(const Call& c, Op op) {
  const From* x = c.In<From>(0);
  To* y = c.Out<To>(0);
  ParallelFor(c.n[0], 32768, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = op(x[i]);
  });
}
// As JavaScript's ToInt32 within its range; what lies outside (and NaN) becomes 0.
LAB_KERNEL("CastFloatToInt", [](const Call& c) {
  Convert<float, int32_t>(c, [](float x) { return x > -2147483904.0f && x < 2147483648.0f ? static_cast<int32_t>(x) : 0; });
});
LAB_KERNEL("CastIntToFloat", [](const Call& c) { Convert<int32_t, float>(c, [](int32_t x) { return static_cast<float>(x); }); });
LAB_KERNEL("CastBoolToFloat", [](const Call& c) { Convert<uint8_t, float>(c, [](uint8_t x) { return static_cast<float>(x); }); });
LAB_KERNEL("CastBoolToInt", [](const Call& c) { Convert<uint8_t, int32_t>(c, [](uint8_t x) { return static_cast<int32_t>(x); }); });

}  // namespace
}  // namespace lab
