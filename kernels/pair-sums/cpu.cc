// Sums over channels between all pairs of tokens: a row of the matrix at a time, with a vector of columns in registers over all channels.
#include <algorithm>
#include <cmath>

#include "../core/lab.h"
#include "../core/rows.h"
#include "../core/tile.h"

namespace {

using namespace lab;

struct Sizes {
  int64_t n, T, d;
  explicit Sizes(const Call& c) : n(c.n[0]), T(c.n[1]), d(c.n[2]) {}
};

// x without its nearest whole number, for |x| < 2^51.
LAB_INLINE double Fraction(double x) {
  const double magic = 6755399441055744.0;  // 1.5 2^52
  const double shifted = x + magic;
  return x - (shifted - magic);
}

// sin(pi x) for |x| <= 1/2, by its Taylor series up to x^13.
LAB_INLINE F SinPi(F x) {
  const F z = x * x;
  F p = F(0.000466302805767612570f);
  p = Fma(p, z, F(-0.00737043094571435077f));
  p = Fma(p, z, F(0.0821458866111282326f));
  p = Fma(p, z, F(-0.599264529320792105f));
  p = Fma(p, z, F(2.55016403987734552f));
  p = Fma(p, z, F(-5.16771278004997026f));
  return Fma(p * z, x, F(3.14159265358979312f) * x);
}

// Phases of one token: turns times j without whole turns. Products are doubles, in which they are exact, at the start of each vector; within a vector
// the few steps are added to it.
class Phases {
 public:
  explicit Phases(int64_t d) : d_(d), steps_(std::max<int64_t>(1, d * W)), turns_(2 * std::max<int64_t>(1, d)) {}
  void Take(const float* turns) {
    for (int64_t c = 0; c < d_; ++c) {
      const double whole = turns[c], part = whole - std::nearbyint(whole);  // j is whole, so whole turns drop out
      Turns()[c] = part;
      for (int l = 0; l < W; ++l) steps_[c * W + l] = static_cast<float>(Fraction(part * l));
    }
  }
  // Of channel c at j .. j + W - 1, in [-1/2, 1/2].
  LAB_INLINE F At(int64_t c, int64_t j) {
    const F x = F(static_cast<float>(Fraction(Turns()[c] * static_cast<double>(j)))) + Load(steps_ + c * W);
    return x - Round(x);
  }

 private:
  double* Turns() { return turns_.As<double>(); }
  int64_t d_;
  Scratch steps_, turns_;
};

void WaveSums(const Call& c) {
  const Sizes s(c);
  const float* turns = c.In<float>(0);
  float* sums = c.Out<float>(0);
  ParallelFor(s.n * s.T, Grain(s.T * s.d), [&](int64_t begin, int64_t end) {
    Phases phases(s.d);
    for (int64_t row = begin; row < end; ++row) {
      phases.Take(turns + row * s.d);
      for (int64_t j = 0; j < s.T; j += W) {
        F sum(0.0f);
        for (int64_t k = 0; k < s.d; ++k) {
          const F wave = SinPi(phases.At(k, j));
          sum = Fma(wave, wave, sum);
        }
        StoreUpTo(sums + row * s.T + j, sum, s.T - j);
      }
    }
  });
}

void WaveSumsGrad(const Call& c) {
  const Sizes s(c);
  const float *turns = c.In<float>(0), *dsums = c.In<float>(1);
  float* dturns = c.Out<float>(0);
  constexpr float pi = 3.14159265358979312f;
  ParallelFor(s.n * s.T, Grain(s.T * s.d), [&](int64_t begin, int64_t end) {
    Phases phases(s.d);
    Scratch weighted((s.T + W - 1) / W * W);  // slopes times pi j
    for (int64_t row = begin; row < end; ++row) {
      phases.Take(turns + row * s.d);
      for (int64_t j = 0; j < s.T; j += W)
        Store(weighted + j, LoadUpTo(dsums + row * s.T + j, s.T - j) * F(pi) * (Iota() + F(static_cast<float>(j))));
      for (int64_t k = 0; k < s.d; ++k) {
        F sum(0.0f);
        for (int64_t j = 0; j < s.T; j += W) {
          const F phase = phases.At(k, j), near = Min(Abs(phase), F(0.5f) - Abs(phase));  // sin(2 pi x) repeats itself backwards from 1/4 on
          sum = Fma(Load(weighted + j), SinPi(CopySign(near + near, phase)), sum);
        }
        dturns[row * s.d + k] = Sum(sum);
      }
    }
  });
}

// Calls `body` with `columns` of each matrix turned over to [d, P], P whole vectors; behind the last column stand ones, so that nothing divides by 0.
template <class Body>
void EachMatrix(const Sizes& s, const float* columns, Body&& body) {
  const int64_t P = (s.T + W - 1) / W * W;
  ParallelFor(s.n, 1, [&](int64_t begin, int64_t end) {
    Scratch turned(std::max<int64_t>(1, s.d * P));
    for (int64_t m = begin; m < end; ++m) {
      std::fill_n(turned.data(), s.d * P, 1.0f);
      Transpose(s.T, s.d, {columns + m * s.T * s.d, s.d}, {turned, P});
      body(m, turned.data(), P);
    }
  });
}

void ReciprocalSums(const Call& c) {
  const Sizes s(c);
  const float *rows = c.In<float>(0), *columns = c.In<float>(1);
  float* sums = c.Out<float>(0);
  EachMatrix(s, columns, [&](int64_t m, const float* turned, int64_t P) {
    for (int64_t row = m * s.T; row < (m + 1) * s.T; ++row)
      for (int64_t j = 0; j < P; j += W) {
        F sum(0.0f);
        for (int64_t k = 0; k < s.d; ++k) sum += F(1.0f) / (F(rows[row * s.d + k]) + Load(turned + k * P + j));
        StoreUpTo(sums + row * s.T + j, sum, s.T - j);
      }
  });
}

void ReciprocalSumsGrad(const Call& c) {
  const Sizes s(c);
  const float *rows = c.In<float>(0), *columns = c.In<float>(1), *dsums = c.In<float>(2);
  float *drows = c.Out<float>(0), *dcolumns = c.Out<float>(1);
  EachMatrix(s, columns, [&](int64_t m, const float* turned, int64_t P) {
    Scratch falls(std::max<int64_t>(1, s.d * P));
    std::fill_n(falls.data(), s.d * P, 0.0f);
    for (int64_t row = m * s.T; row < (m + 1) * s.T; ++row)
      for (int64_t k = 0; k < s.d; ++k) {
        const F own(rows[row * s.d + k]);
        F sum(0.0f);
        for (int64_t j = 0; j < P; j += W) {
          const F inverse = F(1.0f) / (own + Load(turned + k * P + j));
          const F fall = LoadUpTo(dsums + row * s.T + j, s.T - j) * inverse * inverse;
          sum += fall;
          Store(falls + k * P + j, Load(falls + k * P + j) - fall);
        }
        drows[row * s.d + k] = -Sum(sum);
      }
    Transpose(s.d, s.T, {falls, P}, {dcolumns + m * s.T * s.d, s.d});
  });
}

}  // namespace

LAB_KERNEL("WaveSums", WaveSums);
LAB_KERNEL("WaveSumsGrad", WaveSumsGrad);
LAB_KERNEL("ReciprocalSums", ReciprocalSums);
LAB_KERNEL("ReciprocalSumsGrad", ReciprocalSumsGrad);
