// Hydra's quasiseparable mixer over short sequences: a late scan in each direction and a diagonal of its own, as in packed.cc but without states.
#include "../core/narrow.h"
#include "whole_tasks.h"

namespace {

using namespace lab;
using ssd::Task;

// mixed [B, T, H P + maps G N]: the values, then the maps.
struct Packed {
  int64_t b, c;  // where the maps of this direction begin
  ssd::Whole w;
  Packed(const Call& call, bool backwards, bool late, int64_t maps, int64_t first, const float* mixed, const float* dt, const float* A, const float* D)
      : b(call.n[2] * call.n[3] + first * call.n[4] * call.n[5]), c(b + call.n[4] * call.n[5]),
        w(SizesOf(call, backwards, late, maps), {mixed, dt, A, mixed + b, mixed + c, D}) {}
  static ssd::Sizes SizesOf(const Call& call, bool backwards, bool late, int64_t maps) {
    ssd::Sizes s(call.n, backwards, late);
    s.xStep = s.mapStep = s.H * s.P + maps * s.G * s.N;
    return s;
  }
};

// A scan in each direction and an own weight of each token and head, own[t] = D + x[t] · w_D.
struct Both {
  const float* mixed;
  Packed ahead, back;
  explicit Both(const Call& c)
      : mixed(c.In<float>(0)), ahead(c, false, true, 4, 0, mixed, c.In<float>(1), c.In<float>(3), nullptr),
        back(c, true, true, 4, 2, mixed, c.In<float>(2), c.In<float>(3), nullptr) {}
  const ssd::Sizes& Sizes() const { return ahead.w.s; }
  Narrow Maps(const Call& c) const { return {1, Sizes().H * Sizes().P, Sizes().H, {c.In<float>(5)}}; }
};

void WholeQuasiseparable(const Call& c) {
  const Both q(c);
  const ssd::Whole &ahead = q.ahead.w, &back = q.back.w;
  const ssd::Sizes& s = q.Sizes();
  const ssd::HeadRows of{s};
  const float* D = c.In<float>(4);
  float *y = c.Out<float>(0), *own = c.Out<float>(1);
  NarrowMap(q.Maps(c), s.B * s.T, &q.mixed, s.xStep, [&](int64_t t, int64_t h, float sum) { own[t * s.H + h] = D[h] + sum; });
  const int64_t size = std::min(s.B, ahead.Together()) * s.G * ahead.Matrix();
  Scratch gramsAhead(size), gramsBack(size);
  ssd::InRounds(ahead, [&](int64_t b0, int64_t b1) {
    ssd::Grams(ahead, b0, b1, gramsAhead);
    ssd::Grams(back, b0, b1, gramsBack);
    ssd::EachTask<ssd::ForwardRoom>(ahead, b0, b1, [&] { return ssd::ForwardRoom(s); }, [&](const Task& on, int64_t, ssd::ForwardRoom& room) {
      const int64_t matrix = ((on.b - b0) * s.G + on.g) * ahead.Matrix();
      for (int64_t h = on.h0; h < on.h1; ++h) {
        const Rows x = of.X(q.mixed, on.b, h), ys = of.Y(y, on.b, h);
        const ssd::Wanted nextX = of.Next(x, on, h), toY = of.AtEnd(ys);
        ssd::CopyRows(s.T, s.P, x, {room.x, s.P});
        for (int64_t t = 0; t < s.T; ++t) ssd::ScaleRows(1, s.P, own + (on.b * s.T + t) * s.H + h, {room.x + t * s.P, 0}, {room.y + t * s.P, 0});
        for (const ssd::Whole* w : {&ahead, &back}) {
          const auto wanted = [&](int64_t part, int64_t parts) { (w == &ahead ? nextX : toY).Ask(part, parts); };
          ssd::WholeForward{*w}.Head(on.b, h, (w == &ahead ? gramsAhead : gramsBack) + matrix, ssd::InOrder<Rows>(w->s, room.x.data(), false),
                                     ssd::InOrder<Out>(w->s, room.y.data(), true), true, room.weights, wanted);
        }
        ssd::CopyRows(s.T, s.P, {room.y, s.P}, ssd::Writable(ys));
      }
    });
  });
}

void WholeQuasiseparableGrad(const Call& c) {
  const Both q(c);
  const ssd::Whole &ahead = q.ahead.w, &back = q.back.w;
  const ssd::Sizes& s = q.Sizes();
  const ssd::HeadRows of{s};
  const Narrow maps = q.Maps(c);
  const float *own = c.In<float>(6), *dy = c.In<float>(7);
  float* dMixed = c.Out<float>(0);
  Scratch dOwn(s.B * s.T * s.H);
  std::vector<double> sums(static_cast<size_t>(2 * s.B * s.H));
  double *dA = sums.data(), *dABack = dA + s.B * s.H;
  const ssd::WholeBackward slopesAhead{ahead, c.Out<float>(1), dMixed + q.ahead.b, dMixed + q.ahead.c, dA, nullptr};
  const ssd::WholeBackward slopesBack{back, c.Out<float>(2), dMixed + q.back.b, dMixed + q.back.c, dABack, nullptr};
  const int64_t groups = std::min(s.B, ahead.Together()) * s.G, size = groups * ahead.Matrix();
  Scratch grams(2 * size), dGrams(2 * s.slices * size);
  float *gramsBack = grams + size, *dGramsBack = dGrams + s.slices * size;
  ssd::InRounds(ahead, [&](int64_t b0, int64_t b1) {
    ssd::Grams(ahead, b0, b1, grams);
    ssd::Grams(back, b0, b1, gramsBack);
    ssd::EachTask<ssd::BackwardRoom>(ahead, b0, b1, [&] { return ssd::BackwardRoom(ahead); }, [&](const Task& on, int64_t task, ssd::BackwardRoom& room) {
      const int64_t matrix = ((on.b - b0) * s.G + on.g) * ahead.Matrix(), slopes = task * ahead.Matrix();
      std::fill_n(dGrams + slopes, ahead.Matrix(), 0.0f);
      std::fill_n(dGramsBack + slopes, ahead.Matrix(), 0.0f);
      for (int64_t h = on.h0; h < on.h1; ++h) {
        const Rows x = of.X(q.mixed, on.b, h), dys = of.Y(dy, on.b, h), dx = of.X(dMixed, on.b, h);
        const ssd::Wanted nextX = of.Next(x, on, h), nextDy = of.Next(dys, on, h), toDx = of.AtEnd(dx);
        ssd::CopyRows(s.T, s.P, x, {room.x, s.P});
        ssd::CopyRows(s.T, s.P, dys, {room.dy, s.P});
        for (int64_t t = 0; t < s.T; ++t) {
          const int64_t at = (on.b * s.T + t) * s.H + h;
          ssd::ScaleRows(1, s.P, own + at, {room.dy + t * s.P, 0}, {room.dx + t * s.P, 0});
          dOwn[at] = ssd::Dot(s.P, room.dy + t * s.P, room.x + t * s.P);
        }
        const auto turn = [&](const ssd::WholeBackward& direction, const float* gram, float* dGram, const ssd::Wanted& one, const ssd::Wanted* two) {
          const ssd::Sizes& order = direction.w.s;
          direction.Head(on.b, h, gram + matrix, ssd::InOrder<Rows>(order, room.x.data(), false), ssd::InOrder<Rows>(order, room.dy.data(), true),
                         ssd::InOrder<Out>(order, room.dx.data(), false), true, dGram + slopes, room.work, [&](int64_t part, int64_t parts) {
                           one.Ask(part, parts);
                           if (two) two->Ask(part, parts);
                         });
        };
        turn(slopesAhead, grams, dGrams, nextX, nullptr);
        turn(slopesBack, gramsBack, dGramsBack, nextDy, &toDx);
        ssd::CopyRows(s.T, s.P, {room.dx, s.P}, ssd::Writable(dx));
      }
    });
    slopesAhead.Maps(b0, b1, dGrams);
    slopesBack.Maps(b0, b1, dGramsBack);
  });
  for (int64_t i = 0; i < s.B * s.H; ++i) dA[i] += dABack[i];
  ssd::SumRows(s, dA, c.Out<float>(3));
  const int64_t inner = s.H * s.P;
  Scratch narrow(std::max<int64_t>(1, s.H * (inner + 1)));
  NarrowGrad(maps, s.B * s.T, &q.mixed, &dMixed, s.xStep, [&](int64_t t, int64_t h) { return dOwn[t * s.H + h]; }, narrow);
  std::copy_n(narrow + s.H * inner, s.H, c.Out<float>(4));
  Turn(s.H, inner, {narrow, inner}, {c.Out<float>(5), s.H});
}

}  // namespace

LAB_KERNEL("WholeQuasiseparable", WholeQuasiseparable);
LAB_KERNEL("WholeQuasiseparableGrad", WholeQuasiseparableGrad);
