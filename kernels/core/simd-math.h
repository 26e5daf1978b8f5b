// Exp and Log over F within 1 unit in the last place, their kin within 4; NaN passes, infinities come out right.
#ifndef LAB_SIMD_MATH_H
#define LAB_SIMD_MATH_H

#include "simd.h"

namespace lab {

/// e^x: x = n ln 2 + r, a polynomial of r (minimax on |r| <= ln 2 / 2), times 2^n.
LAB_INLINE F Exp(F x) {
  // Max(a, b) is b where either is NaN, so x stands second. e^-104 rounds to 0, e^89 to infinity.
  const F y = Min(F(89.0f), Max(F(-104.0f), x));
  const F n = Round(y * F(1.44269504088896341f));
  F r = Fma(n, F(-0.693359375f), y);
  r = Fma(n, F(2.12194440e-4f), r);
  F p = F(1.9875691500e-4f);
  p = Fma(p, r, F(1.3981999507e-3f));
  p = Fma(p, r, F(8.3334519073e-3f));
  p = Fma(p, r, F(4.1665795894e-2f));
  p = Fma(p, r, F(1.6666665459e-1f));
  p = Fma(p, r, F(5.0000001201e-1f));
  return Scale2(Fma(p * r, r, r) + F(1.0f), n);
}

/// ln x: x = m 2^e with m in [sqrt(1/2), sqrt 2), a polynomial of m - 1, plus e ln 2. Negative x gives NaN, 0 gives -infinity.
LAB_INLINE F Log(F x) {
  const float infinity = std::numeric_limits<float>::infinity();
  F e;
  F m = Fraction(x, &e);
  const Mask low = Lt(m, F(0.707106781186547524f));
  e = e - Select(low, F(1.0f), F(0.0f));
  m = m - F(1.0f) + Select(low, m, F(0.0f));
  const F z = m * m;
  F p = F(7.0376836292e-2f);
  p = Fma(p, m, F(-1.1514610310e-1f));
  p = Fma(p, m, F(1.1676998740e-1f));
  p = Fma(p, m, F(-1.2420140846e-1f));
  p = Fma(p, m, F(1.4249322787e-1f));
  p = Fma(p, m, F(-1.6668057665e-1f));
  p = Fma(p, m, F(2.0000714765e-1f));
  p = Fma(p, m, F(-2.4999993993e-1f));
  p = Fma(p, m, F(3.3333331174e-1f));
  F y = p * m * z;
  y = Fma(e, F(-2.12194440e-4f), y);
  y = Fma(z, F(-0.5f), y);
  y = Fma(e, F(0.693359375f), m + y);
  y = Select(Lt(x, F(infinity)), y, x);                                            // infinity and NaN stay
  y = Select(Le(x, F(0.0f)), Select(Lt(x, F(0.0f)), F(std::numeric_limits<float>::quiet_NaN()), F(-infinity)), y);
  return y;
}

/// ln(1 + x), exact for small x: the rounding of 1 + x is made up for.
LAB_INLINE F Log1p(F x) {
  const F u = F(1.0f) + x;
  const F d = u - F(1.0f);
  const F y = Log(u) * (x / d);
  return Select(Eq(d, F(0.0f)), x, Select(Lt(u, F(std::numeric_limits<float>::infinity())), y, u));
}

/// e^x - 1, exact for small x.
LAB_INLINE F Expm1(F x) {
  F p = F(1.0f / 5040.0f);
  p = Fma(p, x, F(1.0f / 720.0f));
  p = Fma(p, x, F(1.0f / 120.0f));
  p = Fma(p, x, F(1.0f / 24.0f));
  p = Fma(p, x, F(1.0f / 6.0f));
  p = Fma(p, x, F(0.5f));
  return Select(Lt(Abs(x), F(0.35f)), Fma(p * x, x, x), Exp(x) - F(1.0f));
}

LAB_INLINE F Sigmoid(F x) { return F(1.0f) / (F(1.0f) + Exp(Neg(x))); }

/// tanh x where |x| < 0.625, and elsewhere `large` with the sign of x.
LAB_INLINE F TanhOr(F x, F large) {
  const F z = x * x;
  F p = F(-5.70498872745e-3f);
  p = Fma(p, z, F(2.06390887954e-2f));
  p = Fma(p, z, F(-5.37397155531e-2f));
  p = Fma(p, z, F(1.33314422036e-1f));
  p = Fma(p, z, F(-3.33332819422e-1f));
  return Select(Lt(Abs(x), F(0.625f)), Fma(p * z, x, x), CopySign(large, x));
}

LAB_INLINE F Tanh(F x) {
  const F a = Abs(x);
  return TanhOr(x, F(1.0f) - F(2.0f) / (Exp(a + a) + F(1.0f)));
}

/// x sigmoid(x).
LAB_INLINE F Silu(F x) { return x / (F(1.0f) + Exp(Neg(x))); }

/// ln(1 + e^x).
LAB_INLINE F Softplus(F x) { return Max(F(0.0f), x) + Log1p(Exp(Neg(Abs(x)))); }

/// A sum of two exponents: e^sum, where the caller subtracts a maximum first, times `rest`, 1 + what rounding took from the sum.
struct Exponent {
  F sum, rest;
};
LAB_INLINE Exponent Plus(F a, F b) {
  const F sum = a + b, of = sum - a;
  return {sum, F(1.0f) + ((a - (sum - of)) + (b - of))};
}

// One number at a time, by the same formulas.
LAB_INLINE float First(F x) {
  float t[W];
  Store(t, x);
  return t[0];
}
LAB_INLINE float Exp1(float x) { return First(Exp(F(x))); }
LAB_INLINE float Log1(float x) { return First(Log(F(x))); }
LAB_INLINE float Sigmoid1(float x) { return First(Sigmoid(F(x))); }
LAB_INLINE float Softplus1(float x) { return First(Softplus(F(x))); }
LAB_INLINE float Tanh1(float x) { return First(Tanh(F(x))); }

}  // namespace lab

#endif
