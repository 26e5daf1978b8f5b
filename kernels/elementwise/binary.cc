// Functions of two arrays with broadcasting, sums of several arrays, and the choice between two.
#include <algorithm>
#include <cmath>

#include "../core/rows.h"

namespace lab {
namespace {

constexpr int kMaxRank = 8;

/// Output dimensions, and the step of each operand along each: 0 where it is broadcast. The last dimension is contiguous or broadcast.
/// n: rank, dimensions, steps of a, steps of b.
struct Broadcast {
  int rank;
  int64_t rows = 1, width;
  const int64_t *dims, *stepA, *stepB;
  explicit Broadcast(const int64_t* n) : rank(static_cast<int>(n[0])), dims(n + 1), stepA(dims + rank), stepB(stepA + rank) {
    for (int d = 0; d + 1 < rank; ++d) rows *= dims[d];
    width = dims[rank - 1];
  }
  /// Calls row(a's offset, b's offset, output's offset, count) for all rows; a single row is cut into pieces.
  template <class Row>
  void ForRows(Row&& row) const {
    const bool wideA = stepA[rank - 1] != 0, wideB = stepB[rank - 1] != 0;
    if (rows == 1) {
      ParallelFor(width, 32768, [&](int64_t begin, int64_t end) { row(wideA ? begin : 0, wideB ? begin : 0, begin, end - begin); });
      return;
    }
    ParallelFor(rows, Grain(width, 32768), [&](int64_t begin, int64_t end) {
      int64_t at[kMaxRank] = {}, a = 0, b = 0;
      int64_t rest = begin;
      for (int d = rank - 2; d >= 0; --d) {
        at[d] = rest % dims[d];
        rest /= dims[d];
        a += at[d] * stepA[d];
        b += at[d] * stepB[d];
      }
      for (int64_t r = begin; r < end; ++r) {
        row(a, b, r * width, width);
        for (int d = rank - 2; d >= 0; --d) {
          a += stepA[d];
          b += stepB[d];
          if (++at[d] < dims[d]) break;
          a -= at[d] * stepA[d];
          b -= at[d] * stepB[d];
          at[d] = 0;
        }
      }
    });
  }
};

template <class Op>
void Floats(const Call& c, Op op) {
  const Broadcast shape(c.n);
  const float *A = c.In<float>(0), *B = c.In<float>(1);
  float* Y = c.Out<float>(0);
  const bool wideA = shape.stepA[shape.rank - 1] != 0, wideB = shape.stepB[shape.rank - 1] != 0;
  const auto run = [&](auto loadA, auto loadB) {
    shape.ForRows([&](int64_t a, int64_t b, int64_t y, int64_t count) {
      int64_t i = 0;
      for (; i + W <= count; i += W) Store(Y + y + i, op(loadA(A + a, i, W), loadB(B + b, i, W)));
      if (i < count) StorePart(Y + y + i, op(loadA(A + a, i, count - i), loadB(B + b, i, count - i)), count - i);
    });
  };
  const auto wide = [](const float* p, int64_t i, int64_t k) { return LoadUpTo(p + i, k); };
  const auto same = [](const float* p, int64_t, int64_t) { return F(*p); };
  if (wideA && wideB) run(wide, wide);
  else if (wideA) run(wide, same);
  else if (wideB) run(same, wide);
  else run(same, same);
}

template <class T, class To, class Op>
void Scalars(const Call& c, Op op) {
  const Broadcast shape(c.n);
  const T *A = c.In<T>(0), *B = c.In<T>(1);
  To* Y = c.Out<To>(0);
  const int64_t stepA = shape.stepA[shape.rank - 1] != 0, stepB = shape.stepB[shape.rank - 1] != 0;
  shape.ForRows([&](int64_t a, int64_t b, int64_t y, int64_t count) {
    if (stepA && stepB) for (int64_t i = 0; i < count; ++i) Y[y + i] = op(A[a + i], B[b + i]);
    else for (int64_t i = 0; i < count; ++i) Y[y + i] = op(A[a + i * stepA], B[b + i * stepB]);
  });
}

#define LAB_BINARY(name, ...) LAB_KERNEL(name, [](const Call& c) { Floats(c, [](F a, F b) { return __VA_ARGS__; }); })
LAB_BINARY("Add", a + b);
LAB_BINARY("Sub", a - b);
LAB_BINARY("Multiply", a * b);
LAB_BINARY("RealDiv", a / b);
LAB_BINARY("SquaredDifference", (a - b) * (a - b));
LAB_BINARY("Maximum", Select(Eq(a, a), Max(a, b), a));  // NaN on either side gives NaN
LAB_BINARY("Minimum", Select(Eq(a, a), Min(a, b), a));
LAB_BINARY("EluGrad", Select(Lt(b, F(0.0f)), a * (b + F(1.0f)), a));
LAB_BINARY("Prelu", Select(Lt(a, F(0.0f)), a * b, a));
#undef LAB_BINARY
LAB_KERNEL("Pow", [](const Call& c) { Scalars<float, float>(c, [](float a, float b) { return std::pow(a, b); }); });

#define LAB_INT(name, ...) LAB_KERNEL(name, [](const Call& c) { Scalars<int32_t, int32_t>(c, [](int32_t a, int32_t b) { return __VA_ARGS__; }); })
// Sums and products wrap around, as in JavaScript's typed arrays.
LAB_INT("AddInt", static_cast<int32_t>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b)));
LAB_INT("SubInt", static_cast<int32_t>(static_cast<uint32_t>(a) - static_cast<uint32_t>(b)));
LAB_INT("MultiplyInt", static_cast<int32_t>(static_cast<uint32_t>(a) * static_cast<uint32_t>(b)));
LAB_INT("MaximumInt", std::max(a, b));
LAB_INT("MinimumInt", std::min(a, b));
#undef LAB_INT

#define LAB_COMPARE(name, sign)                                                                                                      \
  LAB_KERNEL(name, [](const Call& c) { Scalars<float, uint8_t>(c, [](float a, float b) { return static_cast<uint8_t>(a sign b); }); }); \
  LAB_KERNEL(name "Int", [](const Call& c) { Scalars<int32_t, uint8_t>(c, [](int32_t a, int32_t b) { return static_cast<uint8_t>(a sign b); }); })
LAB_COMPARE("Greater", >);
LAB_COMPARE("GreaterEqual", >=);
LAB_COMPARE("Less", <);
LAB_COMPARE("LessEqual", <=);
LAB_COMPARE("Equal", ==);
LAB_COMPARE("NotEqual", !=);
#undef LAB_COMPARE
LAB_KERNEL("LogicalAnd", [](const Call& c) { Scalars<uint8_t, uint8_t>(c, [](uint8_t a, uint8_t b) { return static_cast<uint8_t>(a && b); }); });
LAB_KERNEL("LogicalOr", [](const Call& c) { Scalars<uint8_t, uint8_t>(c, [](uint8_t a, uint8_t b) { return static_cast<uint8_t>(a || b); }); });

/// The sum of all inputs, in their order. n: count.
void AddN(const Call& c) {
  float* y = c.Out<float>(0);
  ParallelFor(c.n[0], 32768, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += W) {
      const int64_t left = end - i;
      F sum = LoadUpTo(c.In<float>(0) + i, left);
      for (int k = 1; k < c.inputs; ++k) sum += LoadUpTo(c.In<float>(k) + i, left);
      StoreUpTo(y + i, sum, left);
    }
  });
}
LAB_KERNEL("AddN", AddN);

/// y = condition ? a : b, 4-byte elements of any kind. n: count, elements that one condition decides.
void Choose(const Call& c) {
  const uint8_t* condition = c.In<uint8_t>(0);
  const uint32_t *a = c.In<uint32_t>(1), *b = c.In<uint32_t>(2);
  uint32_t* y = c.Out<uint32_t>(0);
  const int64_t each = c.n[1];
  ParallelFor(c.n[0], 32768, [&](int64_t begin, int64_t end) {
    if (each == 1) for (int64_t i = begin; i < end; ++i) y[i] = condition[i] ? a[i] : b[i];
    else for (int64_t i = begin; i < end; ++i) y[i] = condition[i / each] ? a[i] : b[i];
  });
}
LAB_KERNEL("Choose", Choose);

}  // namespace
}  // namespace lab
