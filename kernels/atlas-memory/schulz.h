// The orthogonalised step: Muon's quintic a x + b x³ + c x⁵ of each singular value of a matrix [s, rp], r <= s, and its gradient.
//
// Each step multiplies the singular values near zero, and with them all rounding, by up to a = 3.44, so the sums are doubles. Under bfloat16, which rounds
// 65,536 times as much elsewhere, the last steps are sums of floats, twice as many at once.
#ifndef LAB_ATLAS_SCHULZ_H
#define LAB_ATLAS_SCHULZ_H

#include <cmath>

#include "small.h"

namespace lab::atlas {

constexpr double kA = 3.4445, kB = -4.775, kC = 2.0315, kEpsilon = 1e-7, kTiny = 1e-30;
constexpr int64_t kRough = 5;  // last steps of floats under bfloat16: they strengthen rounding 485 times

/// Doubles of scratch memory, all zero.
struct Zeros {
  Scratch memory;
  explicit Zeros(int64_t n) : memory(2 * std::max<int64_t>(1, n)) { std::fill_n(memory.As<double>(), n, 0.0); }
  operator double*() { return memory.As<double>(); }
};

/// Some steps in numbers of type T: before each Y [s, rp], of each A = Yᵀ Y and Q = a + b A + c A² [rp, rp]; after it Y Q.
template <class T>
struct Steps {
  int64_t r = 0, s = 0, rp = 0, count = 0;
  T *Y = nullptr, *A = nullptr, *Q = nullptr;

  void Set(int64_t smaller, int64_t larger, int64_t steps) { r = smaller, s = larger, rp = Whole<T>(r), count = steps; }
  int64_t Size() const { return s * rp; }
  /// Numbers that the steps and what comes after them take, all of which must be zero at first.
  int64_t Kept() const { return (count + 1) * Size() + 2 * count * rp * rp; }
  void Lay(T* memory) { Y = memory, A = Y + (count + 1) * Size(), Q = A + count * rp * rp; }
  T* After() const { return Y + count * Size(); }

  /// From Y of the first step on.
  void Run() { rp == 16 ? RunAs<16>() : RunAs<0>(); }
  template <int LD>
  void RunAs() {
    for (int64_t step = 0; step < count; ++step) {
      T *y = Y + step * Size(), *a = A + step * rp * rp, *q = Q + step * rp * rp;
      MultiplySymmetric<T, Lie<LD, 1>>(rp, {{y, 1, rp, y, rp, s}}, a);
      MultiplySymmetric<T, Lie<LD>>(rp, {{a, rp, 1, a, rp, r}}, q, {a, T(kC), T(kB)});
      for (int64_t i = 0; i < r; ++i) q[i * rp + i] += T(kA);
      Multiply<T, 1, Lie<LD>>(s, rp, {{y, rp, 1, q, rp, r}}, y + Size(), rp);
    }
  }

  /// The slope of the first Y from that of the last, d: both in `d` [s, rp]. `other` [s, rp] and the squares [rp, rp] are scratch memory, the squares
  /// with zeros behind the first r rows.
  void Back(T* d, T* other, T* square, T* both) const { rp == 16 ? BackAs<16>(d, other, square, both) : BackAs<0>(d, other, square, both); }
  template <int LD>
  void BackAs(T* d, T* other, T* square, T* both) const {
    T* given = d;
    for (int64_t step = count - 1; step >= 0; --step) {
      const T *y = Y + step * Size(), *a = A + step * rp * rp, *q = Q + step * rp * rp;
      Multiply<T, 1, Lie<LD, 1>>(r, rp, {{y, 1, rp, d, rp, s}}, both, rp);
      AddTurned<T>(rp, both, 1, 0, nullptr, both);  // dQ + dQᵀ
      Multiply<T, 1, Lie<LD>>(r, rp, {{a, rp, 1, both, rp, r}}, square, rp);
      AddTurned<T>(rp, square, T(kC), T(kB), both, both);  // dA + dAᵀ
      Multiply<T, 2, Lie<LD>>(s, rp, {{d, rp, 1, q, rp, r}, {y, rp, 1, both, rp, r}}, other, rp);
      std::swap(d, other);
    }
    if (d != given) std::copy_n(d, Size(), given);
  }
};

/// One orthogonalisation with what its gradient needs: exact steps, then rough ones.
struct Trace {
  double norm = 0, scale = 0;
  Steps<double> exact;
  Steps<float> rough;

  void Set(int64_t r, int64_t s, int64_t steps) {
    rough.Set(r, s, Bfloat16() ? std::min(steps, kRough) : 0);
    exact.Set(r, s, steps - rough.count);
  }
  bool Empty() const { return exact.count + rough.count == 0; }
  /// Doubles that it takes, all zero at first.
  int64_t Size() const { return Empty() ? 0 : exact.Kept() + (rough.count > 0 ? (rough.Kept() + 1) / 2 : 0); }
  void Lay(double* memory) {
    exact.Lay(memory);
    rough.Lay(reinterpret_cast<float*>(memory + exact.Kept()));
  }

  /// X = NS(S), both [s, rp].
  void Orthogonalise(const double* S, double* X) {
    const int64_t size = exact.Size();
    if (Empty()) {
      std::copy_n(S, size, X);
      return;
    }
    norm = std::sqrt(Dot(size, S, S) + kTiny);
    scale = 1.0 / (norm + kEpsilon);
    Blend(size, scale, S, 0.0, S, exact.Y);
    exact.Run();
    if (rough.count > 0) {
      Convert(rough.s, rough.r, exact.After(), exact.rp, rough.Y, rough.rp);
      rough.Run();
    }
    Result(X);
  }
  /// X once more.
  void Result(double* X) const {
    if (rough.count > 0)
      Convert(rough.s, rough.r, rough.After(), rough.rp, X, exact.rp);
    else
      std::copy_n(exact.After(), exact.Size(), X);
  }
};

/// Scratch memory of a matrix's gradients.
struct Bench {
  int64_t wide, square;
  Zeros memory;
  explicit Bench(const Trace& t)
      : wide(std::max(t.exact.Size(), t.rough.Size())), square(std::max(t.exact.rp * t.exact.rp, t.rough.rp * t.rough.rp)), memory(2 * wide + 3 * square) {}

  /// dS from dX, [s, rp] both; dX is overwritten.
  void Back(const Trace& t, const double* S, double* dX, double* dS) {
    const int64_t size = t.exact.Size();
    if (t.Empty()) {
      std::copy_n(dX, size, dS);
      return;
    }
    double *other = memory, *squares = other + 2 * wide;
    if (t.rough.count > 0) {
      float *d = reinterpret_cast<float*>(other + wide), *square0 = reinterpret_cast<float*>(squares + 2 * square);
      Convert(t.rough.s, t.rough.r, dX, t.exact.rp, d, t.rough.rp);
      t.rough.Back(d, d + wide, square0, square0 + square);
      Convert(t.rough.s, t.rough.r, d, t.rough.rp, dX, t.exact.rp);
    }
    t.exact.Back(dX, other, squares, squares + square);
    Blend(size, t.scale, dX, -Dot(size, dX, S) * t.scale * t.scale / t.norm, S, dS);
  }
};

}  // namespace lab::atlas

#endif
