// One token of a linear recurrence: the state is read and written once, and read out on the way.
#include <algorithm>
#include <type_traits>

#include "../core/rows.h"
#include "../core/soon.h"
#include "../core/simd-math.h"
#include "../core/sums.h"

namespace lab {
namespace {

#if LAB_AVX512 || LAB_NEON
constexpr int kVectors = 8;  // of values and of what is read, in registers at once
#else
constexpr int kVectors = 4;
#endif
constexpr int64_t kColumns = 128;  // values that a task takes
constexpr int64_t kAhead = 1024;   // floats by which the state is asked for before it is read

struct Outer {
  int64_t d, e, kept;
  const float *s, *k, *keep;
  float* to;
};

/// L vectors of columns, whose last has `lanes`: s = keep s + k vᵀ, and y = qᵀ s.
template <int L>
void OuterColumns(const Outer& x, const float* q, const float* v, int64_t j, int64_t lanes, float* y) {
  F value[L], sum[L];
  LAB_UNROLL
  for (int l = 0; l < L; ++l) {
    value[l] = LoadUpTo(v + j + l * W, l + 1 < L ? W : lanes);
    sum[l] = F(0.0f);
  }
  for (int64_t i = 0; i < x.d; ++i) {
    const F key(x.k[i]), query(q[i]), keep(x.kept == 0 ? 1.0f : x.keep[x.kept == 1 ? 0 : i]);
    const float* from = x.s + i * x.e + j;
    float* to = x.to + i * x.e + j;
    LAB_UNROLL
    for (int l = 0; l < L; ++l) {
      const int64_t count = l + 1 < L ? W : lanes;
      if (W >= kLine || l * W % kLine == 0) SoonLine(from + l * W, kAhead);
      const F next = Fma(keep, LoadUpTo(from + l * W, count), key * value[l]);
      StoreUpTo(to + l * W, next, count);
      sum[l] = Fma(query, next, sum[l]);
    }
  }
  LAB_UNROLL
  for (int l = 0; l < L; ++l) StoreUpTo(y + j + l * W, sum[l], l + 1 < L ? W : lanes);
}

/// Columns [j, end) of one group's state and of what its first head reads.
void OuterPart(const Outer& x, const float* q, const float* v, int64_t j, int64_t end, float* y) {
  while (j < end) {
    const int64_t left = (end - j + W - 1) / W;
    const auto columns = [&](auto l) {
      OuterColumns<l>(x, q, v, j, std::min<int64_t>(W, end - j - (l - 1) * W), y);
      j += l * W;
    };
    if (left >= kVectors) columns(std::integral_constant<int, kVectors>());
    else if (left >= 4 && kVectors > 4) columns(std::integral_constant<int, 4>());
    else if (left >= 2) columns(std::integral_constant<int, 2>());
    else columns(std::integral_constant<int, 1>());
  }
}

/// As kernel.ts says; n: B, G, H, d, e, numbers of keep a group.
void OuterStep(const Call& c) {
  const int64_t B = c.n[0], G = c.n[1], heads = c.n[2] / std::max<int64_t>(1, G), d = c.n[3], e = c.n[4], kept = c.n[5];
  const float *s = c.In<float>(0), *q = c.In<float>(1), *k = c.In<float>(2), *v = c.In<float>(3), *keep = c.In<float>(4);
  float *to = c.Out<float>(0), *y = c.Out<float>(1);
  const int64_t cuts = (e + kColumns - 1) / kColumns;
  ParallelFor(B * G * cuts, Grain(d * std::min(e, kColumns), 16384), [&](int64_t task, int64_t end) {
    for (; task < end; ++task) {
      const int64_t r = task / cuts, j = task % cuts * kColumns, until = std::min(e, j + kColumns);
      const Outer x{d, e, kept, s + r * d * e, k + r * d, keep + r * kept, to + r * d * e};
      OuterPart(x, q + r * heads * d, v + r * e, j, until, y + r * heads * e);
      for (int64_t h = r * heads + 1; h < (r + 1) * heads; ++h)  // the others read what stands there now
        for (int64_t at = j; at < until; at += W) {
          const int64_t lanes = until - at;
          F sum(0.0f);
          for (int64_t i = 0; i < d; ++i) sum = Fma(F(q[h * d + i]), LoadUpTo(x.to + i * e + at, lanes), sum);
          StoreUpTo(y + h * e + at, sum, lanes);
        }
    }
  });
}
LAB_KERNEL("OuterStep", OuterStep);

constexpr int kRows = 4;  // of a state at once, so that none of their sums waits for itself

struct Space {
  int64_t N;
  float keep;
  const float *B, *C;
};

/// s = keep s + scaled Bᵀ for R rows, in vectors of partial sums of s C.
template <int R>
LAB_INLINE void SpaceRows(const Space& x, const float* s, const float* scaled, float* to, F* sum) {
  for (int r = 0; r < R; ++r) sum[r] = F(0.0f);
  for (int64_t n = 0; n < x.N; n += W) {
    const int64_t lanes = x.N - n;
    const F b = LoadUpTo(x.B + n, lanes), c = LoadUpTo(x.C + n, lanes);
    LAB_UNROLL
    for (int r = 0; r < R; ++r) {
      const int64_t at = r * x.N + n;
      if (W >= kLine || n % kLine == 0) SoonLine(s + at, kAhead);
      const F next = Fma(F(x.keep), LoadUpTo(s + at, lanes), F(scaled[r]) * b);
      StoreUpTo(to + at, next, lanes);
      sum[r] = Fma(next, c, sum[r]);
    }
  }
}

/// As kernel.ts says; n: b, G, H, P, N.
void SsdStep(const Call& c) {
  const int64_t b = c.n[0], G = c.n[1], H = c.n[2], P = c.n[3], N = c.n[4];
  const float *s = c.In<float>(0), *x = c.In<float>(1), *dt = c.In<float>(2), *A = c.In<float>(3), *B = c.In<float>(4), *C = c.In<float>(5),
              *D = c.In<float>(6);
  float *to = c.Out<float>(0), *y = c.Out<float>(1);
  ParallelFor(b * H, Grain(P * N, 16384), [&](int64_t r, int64_t end) {
    Scratch scaled(P + W), sums(P + W);
    for (; r < end; ++r) {
      const int64_t h = r % H, group = (r / H * G + h * G / H) * N;
      const Space space{N, Exp1(dt[r] * A[h]), B + group, C + group};
      const float *from = s + r * P * N, *u = x + r * P;
      float* next = to + r * P * N;
      for (int64_t p = 0; p < P; p += W) Store(scaled + p, F(dt[r]) * LoadUpTo(u + p, P - p));
      for (int64_t p = 0; p < P; p += W) {
        F partial[W];
        const int64_t rows = std::min<int64_t>(W, P - p);
        int64_t i = 0;
        for (; i + kRows <= rows; i += kRows) SpaceRows<kRows>(space, from + (p + i) * N, scaled + p + i, next + (p + i) * N, partial + i);
        for (; i < rows; ++i) SpaceRows<1>(space, from + (p + i) * N, scaled + p + i, next + (p + i) * N, partial + i);
        for (; i < W; ++i) partial[i] = F(0.0f);
        Store(sums + p, SumEach(partial));
      }
      const F skip(D ? D[h] : 0.0f);
      for (int64_t p = 0; p < P; p += W) {
        const int64_t lanes = P - p;
        StoreUpTo(y + r * P + p, D ? Fma(skip, LoadUpTo(u + p, lanes), Load(sums + p)) : Load(sums + p), lanes);
      }
    }
  });
}
LAB_KERNEL("SsdStep", SsdStep);

}  // namespace
}  // namespace lab
