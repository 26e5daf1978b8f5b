// Walking rows of floats whose length is no multiple of the vector, and sums over rows that come out the same for any number of threads.
#ifndef LAB_ROWS_H
#define LAB_ROWS_H

#include "lab.h"

namespace lab {

/// As Load and Store, but of the first `k` floats (or halves) where fewer than W are left; the missing lanes are 0.
template <class T>
LAB_INLINE F LoadUpTo(const T* p, int64_t k) {
  return k >= W ? Load(p) : LoadPart(p, k);
}
template <class T>
LAB_INLINE void StoreUpTo(T* p, F a, int64_t k) {
  if (k >= W)
    Store(p, a);
  else
    StorePart(p, a, k);
}

/// Sum of at(j, left) for j = 0, W, 2W .. below n, where left = n - j is the number of valid lanes (W or more: all). Four chains hide the latency.
template <class At>
LAB_INLINE float SumOver(int64_t n, At&& at) {
  F s[4] = {F(0.0f), F(0.0f), F(0.0f), F(0.0f)};
  int64_t j = 0;
  for (; j + 4 * W <= n; j += 4 * W)
    for (int i = 0; i < 4; ++i) s[i] += at(j + i * W, int64_t{W});
  for (; j < n; j += W) s[0] += at(j, n - j);
  return Sum((s[0] + s[1]) + (s[2] + s[3]));
}

/// The largest of n numbers, n from 1; NaN among them is passed over.
inline float MaxOver(int64_t n, const float* z) {
  F most(-std::numeric_limits<float>::infinity());
  for (int64_t j = 0; j < n; j += W) {
    const int64_t left = n - j;
    // Missing lanes repeat the row's first number.
    most = Max(left >= W ? Load(z + j) : Select(Lt(Iota(), F(static_cast<float>(left))), LoadPart(z + j, left), F(z[0])), most);
  }
  return MaxOf(most);
}

/// e^(z - less) of the first `left` lanes, 0 in the others.
LAB_INLINE F ExpFrom(const float* z, float less, int64_t left) {
  const F e = Exp(LoadUpTo(z, left) - F(less));
  return left >= W ? e : Select(Lt(Iota(), F(static_cast<float>(left))), e, F(0.0f));
}

/// Σ mask, or the number of rows without one.
inline double Graded(int64_t rows, const float* mask) {
  if (!mask) return static_cast<double>(rows);
  double sum = 0;
  for (int64_t r = 0; r < rows; ++r) sum += mask[r];
  return sum;
}

/// How to cut `rows` into parts that each keep a partial sum: at least `least` rows a part, at most 64 parts.
struct Parts {
  int64_t grain, count;
  Parts(int64_t rows, int64_t least) {
    const int64_t even = (rows + 63) / 64;
    grain = even > least ? even : least;
    if (grain < 1) grain = 1;
    count = rows > 0 ? (rows + grain - 1) / grain : 0;
  }
};

/// out[j] = Σ partial[p][j] over the parts in order, for j < width; partial rows lie `stride` floats apart.
inline void SumParts(const float* partial, int64_t parts, int64_t stride, int64_t width, float* out) {
  ParallelFor((width + W - 1) / W, Grain(parts * W), [&](int64_t begin, int64_t end) {
    for (int64_t v = begin; v < end; ++v) {
      const int64_t j = v * W, left = width - j;
      F sum(0.0f);
      for (int64_t p = 0; p < parts; ++p) sum += LoadUpTo(partial + p * stride + j, left);
      StoreUpTo(out + j, sum, left);
    }
  });
}

}  // namespace lab

#endif
