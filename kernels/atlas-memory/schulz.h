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
constexpr int kMatrices = 2;  // of a memory, at most
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

  static constexpr int kStages = 3;
  /// A part of a step: A, Q, or the next Y.
  void Stage(int64_t step, int stage) { rp == 16 ? StageAs<16>(step, stage) : StageAs<0>(step, stage); }

  /// What goes backwards: the slope d [s, rp] and room for the next one, two squares [rp, rp] with zeros behind the first r rows.
  struct Way {
    T *d, *other, *square, *both;
  };
  /// A part of a step backwards, from the slope of its next Y to that of its Y: dQ + dQᵀ, dA + dAᵀ, or the slope.
  void StageBack(int64_t step, int stage, Way& way) const { rp == 16 ? StageBackAs<16>(step, stage, way) : StageBackAs<0>(step, stage, way); }

 private:
  template <int LD>
  void StageAs(int64_t step, int stage) {
    T *y = Y + step * Size(), *a = A + step * rp * rp, *q = Q + step * rp * rp;
    if (stage == 0) return MultiplySymmetric<T, Lie<LD, 1>>(rp, {{y, 1, rp, y, rp, s}}, a);
    if (stage == 2) return Multiply<T, 1, Lie<LD>>(s, rp, {{y, rp, 1, q, rp, r}}, y + Size(), rp);
    MultiplySymmetric<T, Lie<LD>>(rp, {{a, rp, 1, a, rp, r}}, q, {a, T(kC), T(kB)});
    for (int64_t i = 0; i < r; ++i) q[i * rp + i] += T(kA);
  }
  template <int LD>
  void StageBackAs(int64_t step, int stage, Way& way) const {
    const T *y = Y + step * Size(), *a = A + step * rp * rp, *q = Q + step * rp * rp;
    if (stage == 0) {
      Multiply<T, 1, Lie<LD, 1>>(r, rp, {{y, 1, rp, way.d, rp, s}}, way.both, rp);
      AddTurned<T>(rp, way.both, 1, 0, nullptr, way.both);
    } else if (stage == 1) {
      Multiply<T, 1, Lie<LD>>(r, rp, {{a, rp, 1, way.both, rp, r}}, way.square, rp);
      AddTurned<T>(rp, way.square, T(kC), T(kB), way.both, way.both);
    } else {
      Multiply<T, 2, Lie<LD>>(s, rp, {{way.d, rp, 1, q, rp, r}, {y, rp, 1, way.both, rp, r}}, way.other, rp);
      std::swap(way.d, way.other);
    }
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

  void Begin(const double* S) {
    norm = std::sqrt(Dot(exact.Size(), S, S) + kTiny);
    scale = 1.0 / (norm + kEpsilon);
    Blend(exact.Size(), scale, S, 0.0, S, exact.Y);
  }
  /// X once more.
  void Result(double* X) const {
    if (rough.count > 0)
      Convert(rough.s, rough.r, rough.After(), rough.rp, X, exact.rp);
    else
      std::copy_n(exact.After(), exact.Size(), X);
  }
};

/// X = NS(S) of n matrices, [s, rp] all. Each waits for its own last product, so those of several take turns.
inline void Orthogonalise(int n, Trace* const* t, const double* const* S, double* const* X) {
  if (t[0]->Empty()) {
    for (int i = 0; i < n; ++i) std::copy_n(S[i], t[i]->exact.Size(), X[i]);
    return;
  }
  for (int i = 0; i < n; ++i) t[i]->Begin(S[i]);
  const auto run = [&](auto steps) {
    for (int64_t step = 0; step < (t[0]->*steps).count; ++step)
      for (int stage = 0; stage < (t[0]->*steps).kStages; ++stage)
        for (int i = 0; i < n; ++i) (t[i]->*steps).Stage(step, stage);
  };
  run(&Trace::exact);
  if (t[0]->rough.count > 0) {
    for (int i = 0; i < n; ++i) Convert(t[i]->rough.s, t[i]->rough.r, t[i]->exact.After(), t[i]->exact.rp, t[i]->rough.Y, t[i]->rough.rp);
    run(&Trace::rough);
  }
  for (int i = 0; i < n; ++i) t[i]->Result(X[i]);
}

/// Scratch memory of a matrix's gradients.
struct Bench {
  int64_t wide, square;
  Zeros memory;
  explicit Bench(const Trace& t)
      : wide(std::max(t.exact.Size(), t.rough.Size())), square(std::max(t.exact.rp * t.exact.rp, t.rough.rp * t.rough.rp)), memory(2 * wide + 3 * square) {}
  Steps<double>::Way Exact(double* d) {
    double* squares = memory + 2 * wide;
    return {d, memory, squares, squares + square};
  }
  Steps<float>::Way Rough() {
    float *d = reinterpret_cast<float*>(memory + wide), *squares = reinterpret_cast<float*>(memory + 2 * wide + 2 * square);
    return {d, d + wide, squares, squares + square};
  }
};

/// dS from dX of n matrices, [s, rp] all; dX is overwritten.
inline void OrthogonaliseBack(int n, const Trace* const* t, Bench* const* bench, const double* const* S, double* const* dX, double* const* dS) {
  if (t[0]->Empty()) {
    for (int i = 0; i < n; ++i) std::copy_n(dX[i], t[i]->exact.Size(), dS[i]);
    return;
  }
  const auto run = [&](auto steps, auto* ways) {
    for (int64_t step = (t[0]->*steps).count - 1; step >= 0; --step)
      for (int stage = 0; stage < (t[0]->*steps).kStages; ++stage)
        for (int i = 0; i < n; ++i) (t[i]->*steps).StageBack(step, stage, ways[i]);
  };
  if (t[0]->rough.count > 0) {
    Steps<float>::Way ways[kMatrices];
    for (int i = 0; i < n; ++i) {
      ways[i] = bench[i]->Rough();
      Convert(t[i]->rough.s, t[i]->rough.r, dX[i], t[i]->exact.rp, ways[i].d, t[i]->rough.rp);
    }
    run(&Trace::rough, ways);
    for (int i = 0; i < n; ++i) Convert(t[i]->rough.s, t[i]->rough.r, ways[i].d, t[i]->rough.rp, dX[i], t[i]->exact.rp);
  }
  Steps<double>::Way ways[kMatrices];
  for (int i = 0; i < n; ++i) ways[i] = bench[i]->Exact(dX[i]);
  run(&Trace::exact, ways);
  for (int i = 0; i < n; ++i) {
    const Trace& one = *t[i];
    const int64_t size = one.exact.Size();
    Blend(size, one.scale, ways[i].d, -Dot(size, ways[i].d, S[i]) * one.scale * one.scale / one.norm, S[i], dS[i]);
  }
}

}  // namespace lab::atlas

#endif
