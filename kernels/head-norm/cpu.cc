// Layer normalisation of each head by itself, a skip and an output gate behind it; forward and gradient. A row at a time, head after head.
#include <algorithm>
#include <cmath>

#include "../core/lab.h"
#include "../core/rows.h"

namespace {

using namespace lab;

struct Sizes {
  int64_t rows, D, heads, d;
  explicit Sizes(const Call& c) : rows(c.n[0]), D(c.n[1]), heads(c.n[2]), d(c.n[1] / c.n[2]) {}
};

struct Inputs {
  const float *x, *weight, *bias, *skip, *side, *gate;
  explicit Inputs(const Call& c)
      : x(c.In<float>(0)), weight(c.In<float>(1)), bias(c.In<float>(2)), skip(c.In<float>(3)), side(c.In<float>(4)), gate(c.In<float>(5)) {}
  // Before the gate: number i of the row-major tensors, channel j of the row.
  LAB_INLINE F Ungated(F normed, int64_t i, int64_t j, int64_t left) const {
    F u = normed * LoadUpTo(weight + j, left);
    if (bias) u += LoadUpTo(bias + j, left);
    if (skip) u = Fma(LoadUpTo(skip + j, left), LoadUpTo(side + i, left), u);
    return u;
  }
};

void HeadNorm(const Call& c) {
  const Sizes s(c);
  const Inputs in(c);
  const float epsilon = static_cast<float>(c.f[0]), share = 1.0f / static_cast<float>(s.d);
  const Room y = c.Result(0);
  float *means = c.Out<float>(1), *rstds = c.Out<float>(2);
  ParallelFor(s.rows * s.heads, Grain(2 * s.d), [&](int64_t begin, int64_t end) {
    for (int64_t g = begin; g < end; ++g) {
      const int64_t at = g * s.d, first = g % s.heads * s.d;
      const float mean = share * SumOver(s.d, [&](int64_t j, int64_t left) { return LoadUpTo(in.x + at + j, left); });
      const float square = SumOver(s.d, [&](int64_t j, int64_t left) {
        const F u = Select(Lt(Iota(), F(static_cast<float>(left))), LoadUpTo(in.x + at + j, left) - F(mean), F(0.0f));
        return u * u;
      });
      const float rstd = 1.0f / std::sqrt(square * share + epsilon);
      means[g] = mean;
      rstds[g] = rstd;
      for (int64_t j = 0; j < s.d; j += W) {
        const int64_t left = s.d - j;
        F u = in.Ungated((LoadUpTo(in.x + at + j, left) - F(mean)) * F(rstd), at + j, first + j, left);
        if (in.gate) u *= Silu(LoadUpTo(in.gate + at + j, left));
        y.Put(at + j, u, left);
      }
    }
  });
}

void HeadNormGrad(const Call& c) {
  const Sizes s(c);
  const Inputs in(c);
  const float *means = c.In<float>(6), *rstds = c.In<float>(7), *dy = c.In<float>(8);
  float *dx = c.Out<float>(0), *dside = c.Out<float>(4);
  const Room dgate = c.Result(5);
  const Parts parts(s.rows, Grain(s.D, 4096));
  Scratch partial(std::max<int64_t>(parts.count, 1) * 3 * s.D);  // of weight, bias and skip
  const float share = 1.0f / static_cast<float>(s.d);
  ParallelFor(s.rows, parts.grain, [&](int64_t begin, int64_t end) {
    float* sums = partial + begin / parts.grain * 3 * s.D;
    std::fill_n(sums, 3 * s.D, 0.0f);
    const auto gather = [&](int64_t which, int64_t j, F by, int64_t left) {
      float* to = sums + which * s.D + j;
      StoreUpTo(to, LoadUpTo(to, left) + by, left);
    };
    for (int64_t g = begin * s.heads; g < end * s.heads; ++g) {
      const int64_t at = g * s.d, first = g % s.heads * s.d;
      const F mean(means[g]), rstd(rstds[g]);
      F total(0.0f), along(0.0f);
      for (int64_t j = 0; j < s.d; j += W) {
        const int64_t left = s.d - j;
        const F normed = (LoadUpTo(in.x + at + j, left) - mean) * rstd;
        F slope = LoadUpTo(dy + at + j, left);  // 0 in lanes past the end, and so is all that it multiplies
        if (in.gate) {
          const F z = LoadUpTo(in.gate + at + j, left), open = Sigmoid(z), silu = z * open;
          dgate.Put(at + j, slope * in.Ungated(normed, at + j, first + j, left) * Fma(silu, F(1.0f) - open, open), left);
          slope *= silu;
        }
        gather(0, first + j, slope * normed, left);
        if (in.bias) gather(1, first + j, slope, left);
        if (in.skip) {
          gather(2, first + j, slope * LoadUpTo(in.side + at + j, left), left);
          StoreUpTo(dside + at + j, slope * LoadUpTo(in.skip + first + j, left), left);
        }
        const F dn = slope * LoadUpTo(in.weight + first + j, left);
        StoreUpTo(dx + at + j, dn, left);
        total += dn;
        along = Fma(dn, normed, along);
      }
      const F mean1(Sum(total) * share), mean2(Sum(along) * share);
      for (int64_t j = 0; j < s.d; j += W) {
        const int64_t left = s.d - j;
        const F normed = (LoadUpTo(in.x + at + j, left) - mean) * rstd;
        StoreUpTo(dx + at + j, rstd * (LoadUpTo(dx + at + j, left) - mean1 - normed * mean2), left);
      }
    }
  });
  SumParts(partial, parts.count, 3 * s.D, s.D, c.Out<float>(1));
  if (in.bias) SumParts(partial + s.D, parts.count, 3 * s.D, s.D, c.Out<float>(2));
  if (in.skip) SumParts(partial + 2 * s.D, parts.count, 3 * s.D, s.D, c.Out<float>(3));
}

// May be halves: y; the gate's slopes.
uint64_t Halved(const Call& c) { return c.OutBit(0); }
uint64_t GradHalved(const Call& c) { return c.OutBit(5); }

}  // namespace

LAB_KERNEL("HeadNorm", HeadNorm, Halved);
LAB_KERNEL("HeadNormGrad", HeadNormGrad, GradHalved);
