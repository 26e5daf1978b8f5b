// RMSNorm over channels or groups of channels, plain or with a SiLU gate before or after it; forward and gradient.
#include <algorithm>
#include <cmath>
#include <type_traits>

#include "../core/lab.h"
#include "../core/rows.h"

namespace {

using namespace lab;

enum class Gate { kNone, kAfter, kBefore };

struct Sizes {
  int64_t rows, width, groups, size;  // `size` channels a group
  explicit Sizes(const Call& c) : rows(c.n[0]), width(c.n[1]), groups(c.n[2]), size(c.n[1] / c.n[2]) {}
};

// x [rows, width], gate alike, weight [width] to y like x, of float or Half, and rstd [rows, groups].
template <Gate gated, class Y>
void Forward(const Sizes& s, float epsilon, const float* x, const float* gate, const float* weight, Y* y, float* rstd) {
  ParallelFor(s.rows * s.groups, Grain(s.size), [&](int64_t begin, int64_t end) {
    Scratch gatedRow(gated == Gate::kBefore ? s.size : 1);
    for (int64_t g = begin; g < end; ++g) {
      const float* xs = x + g * s.size;
      const float* zs = gated == Gate::kNone ? nullptr : gate + g * s.size;
      const float* ws = weight + (g % s.groups) * s.size;
      Y* ys = y + g * s.size;
      const float square = SumOver(s.size, [&](int64_t j, int64_t left) {
        F u = LoadUpTo(xs + j, left);
        if (gated == Gate::kBefore) {
          u *= Silu(LoadUpTo(zs + j, left));
          StoreUpTo(gatedRow + j, u, left);
        }
        return u * u;
      });
      const float r = 1.0f / std::sqrt(square / static_cast<float>(s.size) + epsilon);
      rstd[g] = r;
      for (int64_t j = 0; j < s.size; j += W) {
        const int64_t left = s.size - j;
        F u = LoadUpTo((gated == Gate::kBefore ? gatedRow.data() : xs) + j, left) * F(r) * LoadUpTo(ws + j, left);
        if (gated == Gate::kAfter) u *= Silu(LoadUpTo(zs + j, left));
        StoreUpTo(ys + j, u, left);
      }
    }
  });
}

// With u what is normalised (x, or x silu(z)) and a the gradient of u · rstd:  du = rstd (a - u rstd² mean(a u)).
// `pass`, if there, is a gradient that reaches x by another way: it is added to dx. dx and dgate are of float or Half.
template <Gate gated, class X, class Z>
void Backward(const Sizes& s, const float* x, const float* gate, const float* weight, const float* rstd, const float* dy, X* dx, Z* dgate,
              float* dweight, const float* pass = nullptr) {
  const Parts parts(s.rows, Grain(s.width, 4096));
  Scratch partial(std::max<int64_t>(parts.count, 1) * s.width);
  ParallelFor(s.rows, parts.grain, [&](int64_t begin, int64_t end) {
    float* dw = partial + begin / parts.grain * s.width;
    std::fill_n(dw, s.width, 0.0f);
    Scratch opened(gated == Gate::kNone ? 1 : s.size);
    for (int64_t g = begin * s.groups; g < end * s.groups; ++g) {
      const int64_t at = g * s.size, first = (g % s.groups) * s.size;
      const float r = rstd[g];
      const float dot = SumOver(s.size, [&](int64_t j, int64_t left) {
        F product = LoadUpTo(x + at + j, left) * LoadUpTo(weight + first + j, left) * LoadUpTo(dy + at + j, left);
        if (gated != Gate::kNone) {
          const F z = LoadUpTo(gate + at + j, left), open = Sigmoid(z);
          StoreUpTo(opened + j, open, left);  // kept for the second pass
          product *= z * open;
        }
        return product;
      });
      const F pull(dot * r * r / static_cast<float>(s.size));
      for (int64_t j = 0; j < s.size; j += W) {
        const int64_t left = s.size - j;
        const F xs = LoadUpTo(x + at + j, left), ws = LoadUpTo(weight + first + j, left), g0 = LoadUpTo(dy + at + j, left);
        F sum = LoadUpTo(dw + first + j, left);
        if (gated == Gate::kNone) {
          const F own = F(r) * (g0 * ws - xs * pull);
          StoreUpTo(dx + at + j, pass ? LoadUpTo(pass + at + j, left) + own : own, left);
          sum = Fma(g0, xs * F(r), sum);
        } else {
          const F z = LoadUpTo(gate + at + j, left), open = LoadUpTo(opened + j, left);
          const F silu = z * open, slope = Fma(silu, F(1.0f) - open, open);
          if (gated == Gate::kAfter) {
            StoreUpTo(dx + at + j, F(r) * (g0 * silu * ws - xs * pull), left);
            StoreUpTo(dgate + at + j, slope * g0 * ws * xs * F(r), left);
          } else {
            const F du = F(r) * (g0 * ws - xs * silu * pull);
            StoreUpTo(dx + at + j, du * silu, left);
            StoreUpTo(dgate + at + j, slope * du * xs, left);
          }
          sum = Fma(g0 * silu, xs * F(r), sum);
        }
        StoreUpTo(dw + first + j, sum, left);
      }
    }
  });
  SumParts(partial, parts.count, s.width, s.width, dweight);
}

void RmsNorm(const Call& c) {
  c.Result(0).With([&](auto* y) {
    Forward<Gate::kNone>(Sizes(c), static_cast<float>(c.f[0]), c.In<float>(0), nullptr, c.In<float>(1), y, c.Out<float>(1));
  });
}

void RmsNormGrad(const Call& c) {
  c.Result(0).With([&](auto* dx) {
    Backward<Gate::kNone>(Sizes(c), c.In<float>(0), nullptr, c.In<float>(1), c.In<float>(2), c.In<float>(3), dx, c.Out<float>(0), c.Out<float>(1));
  });
}

// x and y [rows, width], weight [width] to sum = x + y, its norm like it, and rstd [rows, groups].
void AddRmsNorm(const Call& c) {
  const Sizes s(c);
  const float *x = c.In<float>(0), *y = c.In<float>(1);
  float* sum = c.Out<float>(0);
  // A few rows at a time, so that the norm finds them in cache.
  c.Result(1).With([&](auto* norm) {
    ParallelFor(s.rows, Grain(s.width), [&](int64_t begin, int64_t end) {
      const int64_t from = begin * s.width, past = end * s.width;
      for (int64_t j = from; j < past; j += W) StoreUpTo(sum + j, LoadUpTo(x + j, past - j) + LoadUpTo(y + j, past - j), past - j);
      Sizes some = s;
      some.rows = end - begin;
      Forward<Gate::kNone>(some, static_cast<float>(c.f[0]), sum + from, nullptr, c.In<float>(2), norm + from, c.Out<float>(2) + begin * s.groups);
    });
  });
}

// weight, sum, rstd, and the gradients of sum and of its norm, to the gradient of x, which is y's too, and dweight.
void AddRmsNormGrad(const Call& c) {
  c.Result(0).With([&](auto* dx) {
    Backward<Gate::kNone>(Sizes(c), c.In<float>(1), nullptr, c.In<float>(0), c.In<float>(2), c.In<float>(4), dx, c.Out<float>(0), c.Out<float>(1),
                          c.In<float>(3));
  });
}

void GatedRmsNorm(const Call& c) {
  c.Result(0).With([&](auto* y) {
    using Y = std::remove_pointer_t<decltype(y)>;
    const auto run = c.n[3] ? Forward<Gate::kBefore, Y> : Forward<Gate::kAfter, Y>;
    run(Sizes(c), static_cast<float>(c.f[0]), c.In<float>(0), c.In<float>(1), c.In<float>(2), y, c.Out<float>(1));
  });
}

void GatedRmsNormGrad(const Call& c) {
  c.Result(0).With([&](auto* dx) {
    c.Result(1).With([&](auto* dgate) {
      using X = std::remove_pointer_t<decltype(dx)>;
      using Z = std::remove_pointer_t<decltype(dgate)>;
      const auto run = c.n[3] ? Backward<Gate::kBefore, X, Z> : Backward<Gate::kAfter, X, Z>;
      run(Sizes(c), c.In<float>(0), c.In<float>(1), c.In<float>(2), c.In<float>(3), c.In<float>(4), dx, dgate, c.Out<float>(2), nullptr);
    });
  });
}

// What may be halves.
uint64_t First(const Call& c) { return c.OutBit(0); }
uint64_t Second(const Call& c) { return c.OutBit(1); }
uint64_t FirstTwo(const Call& c) { return c.OutBits(0, 2); }

}  // namespace

LAB_KERNEL("RmsNorm", RmsNorm, First);
LAB_KERNEL("RmsNormGrad", RmsNormGrad, First);
LAB_KERNEL("AddRmsNorm", AddRmsNorm, Second);
LAB_KERNEL("AddRmsNormGrad", AddRmsNormGrad, First);
LAB_KERNEL("GatedRmsNorm", GatedRmsNorm, First);
LAB_KERNEL("GatedRmsNormGrad", GatedRmsNormGrad, FirstTwo);
