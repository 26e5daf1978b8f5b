// Several linear maps of one input: products with a common left factor; the input's gradient is one sum of products.
#include "../core/product.h"

namespace lab {
namespace {

// n: rows, inputs D, maps, columns N_i of each.
struct Maps {
  int64_t rows, width;
  int count;
  const int64_t* columns;
  int64_t all = 0;  // Σ N_i
  explicit Maps(const Call& c) : rows(c.n[0]), width(c.n[1]), count(static_cast<int>(c.n[2])), columns(c.n + 3) {
    for (int i = 0; i < count; ++i) all += columns[i];
  }
};

/// w(i): the weight of map i; ld(i): its row length; y(i): where its result goes.
template <class Weight, class Length, class Result>
void Forward(const Maps& s, Stored x, Weight&& w, Length&& ld, Result&& y) {
  Product p{s.rows, false, false, 1, s.count, {}, {}, {}};
  p.a[0] = {x, s.width, s.width};
  for (int i = 0; i < s.count; ++i) {
    p.b[0][i] = {w(i), ld(i)};
    p.c[i] = {y(i), s.columns[i], s.columns[i], {0.0f, y(i), 0}};
  }
  Multiply(p);
}

/// dx = Σ dy_i w_iᵀ, dw_i = xᵀ dy_i; dw lies as w does.
template <class Weight, class Length, class Slope, class Result>
void Backward(const Maps& s, Stored x, Weight&& w, Length&& ld, Slope&& dy, float* dx, Result&& dw) {
  Product sum{s.rows, false, true, s.count, 1, {}, {}, {}};
  Product each{s.width, true, false, 1, s.count, {}, {}, {}};
  sum.c[0] = {dx, s.width, s.width, {0.0f, dx, 0}};
  each.a[0] = {x, s.width, s.rows};
  for (int i = 0; i < s.count; ++i) {
    sum.a[i] = {dy(i), s.columns[i], s.columns[i]};
    sum.b[i][0] = {w(i), ld(i)};
    each.b[0][i] = {dy(i), s.columns[i]};
    each.c[i] = {dw(i), ld(i), s.columns[i], {0.0f, dw(i), 0}};
  }
  Multiply(sum);
  Multiply(each);
}

// x [rows, D], w_i [D, N_i] to y_i [rows, N_i].
void Linear(const Call& c) {
  const Maps s(c);
  Forward(s, c.Given(0), [&](int i) { return c.In<float>(1 + i); }, [&](int i) { return s.columns[i]; }, [&](int i) { return c.Out<float>(i); });
}

// x, w_i, dy_i to dx, dw_i.
void LinearGrad(const Call& c) {
  const Maps s(c);
  Backward(s, c.Given(0), [&](int i) { return c.In<float>(1 + i); }, [&](int i) { return s.columns[i]; },
           [&](int i) { return c.Given(1 + s.count + i); }, c.Out<float>(0), [&](int i) { return c.Out<float>(1 + i); });
}

/// Where map i begins in a row of the weight that all share.
int64_t Start(const Maps& s, int i) {
  int64_t at = 0;
  for (int j = 0; j < i; ++j) at += s.columns[j];
  return at;
}

// x [rows, D], w [D, Σ N_i] to y_i [rows, N_i].
void SplitLinear(const Call& c) {
  const Maps s(c);
  Forward(s, c.Given(0), [&](int i) { return c.In<float>(1) + Start(s, i); }, [&](int) { return s.all; }, [&](int i) { return c.Out<float>(i); });
}

// x, w, dy_i to dx, dw.
void SplitLinearGrad(const Call& c) {
  const Maps s(c);
  Backward(s, c.Given(0), [&](int i) { return c.In<float>(1) + Start(s, i); }, [&](int) { return s.all; },
           [&](int i) { return c.Given(2 + i); }, c.Out<float>(0), [&](int i) { return c.Out<float>(1) + Start(s, i); });
}

/// Whether all maps read halves, in products of `rows` rows.
bool Takes(const Maps& s, int64_t rows) {
  bool all = true;
  for (int i = 0; i < s.count; ++i) all = all && TakesHalves(rows, s.columns[i]);
  return all;
}
// x of the forward pass; x and dy_i of the gradient.
uint64_t Input(const Call& c) {
  const Maps s(c);
  return Takes(s, s.rows) ? Call::InBit(0) : 0;
}
uint64_t InputAndSlopes(const Call& c) {
  const Maps s(c);
  if (!Takes(s, s.width) || !TakesHalves(s.rows, s.width)) return 0;
  uint64_t bits = Call::InBit(0);
  for (int i = 0; i < s.count; ++i) bits |= Call::InBit(c.inputs - 1 - i);
  return bits;
}

LAB_KERNEL("Linear2", Linear, Input);
LAB_KERNEL("Linear2Grad", LinearGrad, InputAndSlopes);
LAB_KERNEL("Linear3", Linear, Input);
LAB_KERNEL("Linear3Grad", LinearGrad, InputAndSlopes);
LAB_KERNEL("Linear4", Linear, Input);
LAB_KERNEL("Linear4Grad", LinearGrad, InputAndSlopes);
LAB_KERNEL("SplitLinear2", SplitLinear, Input);
LAB_KERNEL("SplitLinear2Grad", SplitLinearGrad, InputAndSlopes);
LAB_KERNEL("SplitLinear3", SplitLinear, Input);
LAB_KERNEL("SplitLinear3Grad", SplitLinearGrad, InputAndSlopes);
LAB_KERNEL("SplitLinear4", SplitLinear, Input);
LAB_KERNEL("SplitLinear4Grad", SplitLinearGrad, InputAndSlopes);

}  // namespace
}  // namespace lab
