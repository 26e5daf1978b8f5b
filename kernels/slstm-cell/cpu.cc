// The scalar memory of xLSTM (arXiv 2405.04517, section 2.2): one task runs all tokens of one head for a few rows of the batch.
//
//   a = gates + bias + h R,   l = logsigmoid(a_f) + m,   m' = max(a_i, l),   I = exp(a_i - m'),   F = exp(l - m')
//   n' = F n + I,   r' = r + I / n' (tanh(a_z) - r),   h' = sigmoid(a_o) r'
// r is the published c / n: the mean of the inputs so far. At the first token there is nothing to keep: m' = a_i and F = 0. The rows of a task
// share the loads of R, which stays in cache.
//
// The gradient carries dc and e = dn + dc r, the slope of a common factor of c and n. By them no slope is a difference of two that nearly agree:
//   da_i = I (e + dc (F n / n') (z - r)),   da_f = F n sigmoid(-a_f) (e - dc (I / n') (z - r))   (n, r: before the token)
#include <algorithm>
#include <type_traits>

#include "../core/lab.h"
#include "../core/rows.h"
#include "../core/soon.h"
#include "../core/tile.h"

namespace {

using namespace lab;

constexpr int64_t kRows = 4;  // rows of the batch that a task runs together
constexpr int64_t kKept = 7;  // see KEPT of kernel.ts
enum Kept { kWrite, kKeep, kInput, kOutput, kOpen, kMean, kCount };

struct Sizes {
  int64_t B, T, H, d, D, tiles;
  explicit Sizes(const Call& c) : B(c.n[0]), T(c.n[1]), H(c.n[2]), d(c.n[3]), D(H * d), tiles((B + kRows - 1) / kRows) {}
  int64_t Weights() const { return 4 * H * d * d; }
};

// Head h and rows b0 .. b0 + rows - 1.
struct Task {
  int64_t h, tile, b0, rows;
  Task(const Sizes& s, int64_t task) : h(task % s.H), tile(task / s.H), b0(tile * kRows), rows(std::min(kRows, s.B - b0)) {}
};

// 1 / a, 1 / b and 1 / c by one division; none of them or their product may be 0 or infinite.
struct Inverses {
  F a, b, c;
  LAB_INLINE Inverses(F x, F y, F z) {
    const F xy = x * y, all = F(1.0f) / (xy * z), ofXy = all * z;
    a = ofXy * y, b = ofXy * x, c = all * xy;
  }
};

// Calls `body(full, j)` for j = 0, W .. below n; `full`, a constant, says that no lane is past the end.
template <class Body>
LAB_INLINE void EachVector(int64_t n, Body&& body) {
  int64_t j = 0;
  for (; j + W <= n; j += W) body(std::true_type(), j);
  if (j < n) body(std::false_type(), j);
}

void SlstmCell(const Call& c) {
  const Sizes s(c);
  const float *gates[4] = {c.In<float>(0), c.In<float>(1), c.In<float>(2), c.In<float>(3)}, *r = c.In<float>(4), *bias = c.In<float>(5);
  float *y = c.Out<float>(0), *kept = c.Out<float>(1);
  ParallelFor(s.H * s.tiles, 1, [&](int64_t begin, int64_t end) {
    // side: R of the four gates side by side, [d, 4 d]. mixed: h R, [rows, 4 d]. m: the stabilisers, [rows, d].
    Scratch side(4 * s.d * s.d), mixed(kRows * 4 * s.d), stabiliser(kRows * s.d);
    for (int64_t task = begin; task < end; ++task) {
      const Task at(s, task);
      for (int64_t g = 0; g < 4; ++g)
        for (int64_t from = 0; from < s.d; ++from)
          std::copy_n(r + ((g * s.H + at.h) * s.d + from) * s.d, s.d, side + (from * 4 + g) * s.d);
      std::fill_n(mixed.data(), kRows * 4 * s.d, 0.0f);
      for (int64_t t = 0; t < s.T; ++t) {
        if (t > 0)
          Product(at.rows, 4 * s.d, s.d, {y + (at.b0 * s.T + t - 1) * s.D + at.h * s.d, s.T * s.D, 1}, {side, 4 * s.d}, {mixed, 4 * s.d}, false);
        for (int64_t row = 0; row < at.rows; ++row) {
          const int64_t token = (at.b0 + row) * s.T + t, offset = token * s.D + at.h * s.d;
          float* keep = kept + token * kKept * s.D + at.h * s.d;
          const float* before = keep - kKept * s.D;
          if (t + 1 < s.T) {
            for (const float* gate : gates) Soon(gate + offset + s.D, s.d);
            for (int64_t which = 0; which < kKept; ++which) Soon(keep + (kKept + which) * s.D, s.d);
          }
          EachVector(s.d, [&](auto full, int64_t j) {
            const int64_t left = decltype(full)::value ? W : s.d - j;
            F a[4];
            for (int64_t g = 0; g < 4; ++g)
              a[g] = LoadUpTo(gates[g] + offset + j, left) + LoadUpTo(bias + g * s.D + at.h * s.d + j, left) +
                     LoadUpTo(mixed + (row * 4 + g) * s.d + j, left);
            // exp(-|a|): what sigmoids and tanh are made of lies between 1 and 2, so one division does for the three.
            const F fade = Exp(Neg(Abs(a[1]))), small = Exp(Abs(a[2]) * F(-2.0f)), tail = Exp(Neg(Abs(a[3])));
            const F base = F(1.0f) + fade;
            const Inverses one(base, F(1.0f) + small, F(1.0f) + tail);
            const F open = Select(Lt(a[1], F(0.0f)), one.a, fade * one.a);  // 1 - sigmoid(a_f)
            F m = a[0], write(1.0f), forget(0.0f), mean(0.0f), count(0.0f);
            if (t > 0) {
              const F softly = Fma(fade - (base - F(1.0f)), one.a, Log(base));  // ln(1 + fade), what rounding took from the sum made up for
              const Exponent remembered = Plus(Min(a[1], F(0.0f)) - softly, LoadUpTo(stabiliser + row * s.d + j, left));
              // One of the two exponents is that of 0.
              const F ahead = a[0] - remembered.sum, less = Exp(Neg(Abs(ahead)));
              const Mask behind = Lt(ahead, F(0.0f));
              m = Max(a[0], remembered.sum);
              write = Select(behind, less, write);
              forget = Select(behind, F(1.0f), less) * remembered.rest;
              mean = LoadUpTo(before + kMean * s.D + j, left);
              count = forget * LoadUpTo(before + kCount * s.D + j, left);
            }
            count = count + write;
            mean = Fma(write / count, TanhOr(a[2], (F(1.0f) - small) * one.b) - mean, mean);
            StoreUpTo(stabiliser + row * s.d + j, m, left);
            StoreUpTo(y + offset + j, Select(Lt(a[3], F(0.0f)), tail * one.c, one.c) * mean, left);
            StoreUpTo(keep + kWrite * s.D + j, write, left);
            StoreUpTo(keep + kKeep * s.D + j, forget, left);
            StoreUpTo(keep + kInput * s.D + j, a[2], left);
            StoreUpTo(keep + kOutput * s.D + j, a[3], left);
            StoreUpTo(keep + kOpen * s.D + j, open, left);
            StoreUpTo(keep + kMean * s.D + j, mean, left);
            StoreUpTo(keep + kCount * s.D + j, count, left);
          });
        }
      }
    }
  });
}

void SlstmCellGrad(const Call& c) {
  const Sizes s(c);
  const float *r = c.In<float>(0), *y = c.In<float>(1), *kept = c.In<float>(2), *dy = c.In<float>(3);
  float* slopes[4] = {c.Out<float>(0), c.Out<float>(1), c.Out<float>(2), c.Out<float>(3)};
  const int64_t partial = s.Weights() + 4 * s.D;  // dr and db of one tile
  Scratch own(std::max<int64_t>(1, s.tiles * partial));
  ParallelFor(s.H * s.tiles, 1, [&](int64_t begin, int64_t end) {
    // turned: R with channels in and out exchanged, [4 d, d]. da: slopes of the preactivations, [rows, 4 d]. The others [rows, d].
    Scratch turned(4 * s.d * s.d), da(kRows * 4 * s.d), dh(kRows * s.d), dcell(kRows * s.d), dscale(kRows * s.d);
    for (int64_t task = begin; task < end; ++task) {
      const Task at(s, task);
      float *dr = own + at.tile * partial, *db = dr + s.Weights() + at.h * s.d;
      for (int64_t g = 0; g < 4; ++g) {
        Transpose(s.d, s.d, {r + (g * s.H + at.h) * s.d * s.d, s.d}, {turned + g * s.d * s.d, s.d});
        std::fill_n(db + g * s.D, s.d, 0.0f);
      }
      for (float* carried : {dh.data(), dcell.data(), dscale.data()}) std::fill_n(carried, kRows * s.d, 0.0f);
      for (int64_t t = s.T - 1; t >= 0; --t) {
        for (int64_t row = 0; row < at.rows; ++row) {
          const int64_t token = (at.b0 + row) * s.T + t, offset = token * s.D + at.h * s.d;
          const float *keep = kept + token * kKept * s.D + at.h * s.d, *before = keep - kKept * s.D;
          if (t > 1) {
            Soon(dy + offset - s.D, s.d);
            for (int64_t which = 0; which < kKept; ++which) Soon(before + (which - kKept) * s.D, s.d);
          }
          EachVector(s.d, [&](auto full, int64_t j) {
            const int64_t left = decltype(full)::value ? W : s.d - j;
            const auto read = [&](Kept which) { return LoadUpTo(keep + which * s.D + j, left); };
            const F write = read(kWrite), forget = read(kKeep), input = read(kInput), output = read(kOutput);
            F mean(0.0f), remembered(0.0f);  // r and F n, before the token
            if (t > 0) mean = LoadUpTo(before + kMean * s.D + j, left), remembered = forget * LoadUpTo(before + kCount * s.D + j, left);
            // exp(-|a|) of tanh's and of the sigmoid's argument: 1 - tanh² and 1 - sigmoid are no differences by them.
            const F small = Exp(Abs(input) * F(-2.0f)), tail = Exp(Neg(Abs(output)));
            // Lanes past the end must not divide by 0.
            const Inverses one(F(1.0f) + small, F(1.0f) + tail, Select(Lt(Iota(), F(static_cast<float>(left))), read(kCount), F(1.0f)));
            const F bend = one.a, whole = one.b, share = one.c;
            const F g = LoadUpTo(dh + row * s.d + j, left) + LoadUpTo(dy + offset + j, left);
            const F gate = Select(Lt(output, F(0.0f)), tail * whole, whole), step = TanhOr(input, (F(1.0f) - small) * bend) - mean;
            const F dc = LoadUpTo(dcell + row * s.d + j, left) + g * gate * share, e = LoadUpTo(dscale + row * s.d + j, left);
            const F pull = dc * step * share;
            const F through = e - pull * write;
            const F slope[4] = {Fma(pull, remembered, e) * write, through * remembered * read(kOpen), dc * write * F(4.0f) * small * bend * bend,
                                g * read(kMean) * tail * whole * whole};
            for (int64_t k = 0; k < 4; ++k) {
              StoreUpTo(slopes[k] + offset + j, slope[k], left);
              StoreUpTo(da + (row * 4 + k) * s.d + j, slope[k], left);
              StoreUpTo(db + k * s.D + j, LoadUpTo(db + k * s.D + j, left) + slope[k], left);
            }
            StoreUpTo(dcell + row * s.d + j, dc * forget, left);
            StoreUpTo(dscale + row * s.d + j, through * forget, left);
          });
        }
        if (t > 0) Product(at.rows, s.d, 4 * s.d, {da, 4 * s.d, 1}, {turned, s.d}, {dh, s.d}, false);
      }
      for (int64_t g = 0; g < 4; ++g)
        for (int64_t row = 0; row < at.rows; ++row) {
          const int64_t first = (at.b0 + row) * s.T * s.D + at.h * s.d;
          Gemm(true, false, s.d, s.d, std::max<int64_t>(0, s.T - 1), 1.0f, y + first, s.D, slopes[g] + first + s.D, s.D, row == 0 ? 0.0f : 1.0f,
               dr + (g * s.H + at.h) * s.d * s.d, s.d);
        }
    }
  });
  SumParts(own, s.tiles, partial, s.Weights(), c.Out<float>(4));
  SumParts(own + s.Weights(), s.tiles, partial, 4 * s.D, c.Out<float>(5));
}

}  // namespace

LAB_KERNEL("SlstmCell", SlstmCell);
LAB_KERNEL("SlstmCellGrad", SlstmCellGrad);
