// Scans of short sequences over packed values and maps, by their kernels' names: Mamba-2's, and Hydra's quasiseparable mixer. As in packed.cc, without
// states. Heads are worked on in memory of their own, since rows of a tensor may lie some power of two apart and share few places in the cache.
#include "../core/narrow.h"
#include "backward.h"
#include "whole_backward.h"

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

// A head's rows of a tensor, dense: [T, P].
struct HeadRows {
  const ssd::Sizes& s;
  Rows X(const float* mixed, int64_t b, int64_t h) const { return {mixed + b * s.T * s.xStep + h * s.P, s.xStep}; }
  Rows Y(const float* y, int64_t b, int64_t h) const { return {y + (b * s.T * s.H + h) * s.P, s.H * s.P}; }
  // What the head behind h of a task needs.
  ssd::Wanted Next(Rows of, const Task& on, int64_t h, bool written) const { return {of.p + s.P, h + 1 < on.h1 ? s.T : 0, of.ld, s.P, written}; }
};
Out Writable(Rows r) { return {const_cast<float*>(r.p), r.ld}; }

// Dense rows [T, P] in the order of a scan, from that whose inputs or, of a late scan, outputs come first.
template <class R, class P>
R InOrder(const ssd::Sizes& s, P dense, bool outputs) {
  const int64_t late = outputs && s.late ? s.P : 0;
  return s.backwards ? R{dense + (s.T - 1) * s.P - late, -s.P} : R{dense + late, s.P};
}

// Calls with(b0, b1) for as many batch rows as are worked on together.
template <class With>
void InRounds(const ssd::Whole& w, With&& with) {
  for (int64_t b = 0; b < w.s.B; b += w.Together()) with(b, std::min(w.s.B, b + w.Together()));
}
// Calls with(task, index) for the tasks of batch rows b0 .. b1-1 on all threads, each with a room of its own.
template <class Room, class Make, class With>
void EachTask(const ssd::Whole& w, int64_t b0, int64_t b1, Make&& make, With&& with) {
  const int64_t perRow = w.s.G * w.s.slices;
  ParallelFor((b1 - b0) * perRow, 1, [&](int64_t begin, int64_t end) {
    Room room = make();
    for (int64_t i = begin; i < end; ++i) with(Task(w.s, b0 * perRow + i), i, room);
  });
}

struct ForwardRoom {
  ssd::WeightsRoom weights;
  Scratch x, y;
  explicit ForwardRoom(const ssd::Sizes& s) : x(s.T * s.P), y(s.T * s.P) {}
};
struct BackwardRoom {
  ssd::WholeBackwardRoom work;
  Scratch x, dy, dx;
  explicit BackwardRoom(const ssd::Whole& w) : work(w), x(w.s.T * w.s.P), dy(w.s.T * w.s.P), dx(w.s.T * w.s.P) {}
};

void WholeScan(const Call& c) {
  const Packed p(c, false, false, 2, 0, c.In<float>(0), c.In<float>(1), c.In<float>(2), c.In<float>(3));
  const ssd::Whole& w = p.w;
  const ssd::Sizes& s = w.s;
  const HeadRows of{s};
  float* y = c.Out<float>(0);
  Scratch grams(std::min(s.B, w.Together()) * s.G * w.Matrix());
  InRounds(w, [&](int64_t b0, int64_t b1) {
    ssd::Grams(w, b0, b1, grams);
    EachTask<ForwardRoom>(w, b0, b1, [&] { return ForwardRoom(s); }, [&](const Task& on, int64_t, ForwardRoom& room) {
      const float* gram = grams + ((on.b - b0) * s.G + on.g) * w.Matrix();
      for (int64_t h = on.h0; h < on.h1; ++h) {
        const Rows x = of.X(w.in.x, on.b, h), ys = of.Y(y, on.b, h);
        const ssd::Wanted nextX = of.Next(x, on, h, false), nextY = of.Next(ys, on, h, true);
        ssd::CopyRows(s.T, s.P, x, {room.x, s.P});
        ssd::WholeForward{w}.Head(on.b, h, gram, {room.x, s.P}, {room.y, s.P}, false, room.weights, [&](int64_t part, int64_t parts) {
          nextX.Ask(part, parts);
          nextY.Ask(part, parts);
        });
        ssd::CopyRows(s.T, s.P, {room.y, s.P}, Writable(ys));
      }
    });
  });
}

void WholeScanGrad(const Call& c) {
  const Packed p(c, false, false, 2, 0, c.In<float>(0), c.In<float>(1), c.In<float>(2), c.In<float>(3));
  const ssd::Whole& w = p.w;
  const ssd::Sizes& s = w.s;
  const HeadRows of{s};
  const float* dy = c.In<float>(4);
  float* dMixed = c.Out<float>(0);
  std::vector<double> sums(static_cast<size_t>(2 * s.B * s.H));
  double *dA = sums.data(), *dD = dA + s.B * s.H;
  const ssd::WholeBackward back{w, c.Out<float>(1), dMixed + p.b, dMixed + p.c, dA, dD};
  const int64_t together = std::min(s.B, w.Together());
  Scratch grams(together * s.G * w.Matrix()), dGrams(together * s.G * s.slices * w.Matrix());
  InRounds(w, [&](int64_t b0, int64_t b1) {
    ssd::Grams(w, b0, b1, grams);
    EachTask<BackwardRoom>(w, b0, b1, [&] { return BackwardRoom(w); }, [&](const Task& on, int64_t task, BackwardRoom& room) {
      const float* gram = grams + ((on.b - b0) * s.G + on.g) * w.Matrix();
      float* dGram = dGrams + task * w.Matrix();
      std::fill_n(dGram, w.Matrix(), 0.0f);
      for (int64_t h = on.h0; h < on.h1; ++h) {
        const Rows x = of.X(w.in.x, on.b, h), dys = of.Y(dy, on.b, h), dx = of.X(dMixed, on.b, h);
        const ssd::Wanted nextX = of.Next(x, on, h, false), nextDy = of.Next(dys, on, h, false), nextDx = of.Next(dx, on, h, true);
        ssd::CopyRows(s.T, s.P, x, {room.x, s.P});
        ssd::CopyRows(s.T, s.P, dys, {room.dy, s.P});
        back.Head(on.b, h, gram, {room.x, s.P}, {room.dy, s.P}, {room.dx, s.P}, false, dGram, room.work, [&](int64_t part, int64_t parts) {
          nextX.Ask(part, parts);
          nextDy.Ask(part, parts);
          nextDx.Ask(part, parts);
        });
        ssd::CopyRows(s.T, s.P, {room.dx, s.P}, Writable(dx));
      }
    });
    back.Maps(b0, b1, dGrams);
  });
  ssd::SumOfHeads(s, dA, c.Out<float>(2));
  ssd::SumOfHeads(s, dD, c.Out<float>(3));
}

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
  const HeadRows of{s};
  const float* D = c.In<float>(4);
  float *y = c.Out<float>(0), *own = c.Out<float>(1);
  NarrowMap(q.Maps(c), s.B * s.T, &q.mixed, s.xStep, [&](int64_t t, int64_t h, float sum) { own[t * s.H + h] = D[h] + sum; });
  const int64_t size = std::min(s.B, ahead.Together()) * s.G * ahead.Matrix();
  Scratch gramsAhead(size), gramsBack(size);
  InRounds(ahead, [&](int64_t b0, int64_t b1) {
    ssd::Grams(ahead, b0, b1, gramsAhead);
    ssd::Grams(back, b0, b1, gramsBack);
    EachTask<ForwardRoom>(ahead, b0, b1, [&] { return ForwardRoom(s); }, [&](const Task& on, int64_t, ForwardRoom& room) {
      const int64_t matrix = ((on.b - b0) * s.G + on.g) * ahead.Matrix();
      for (int64_t h = on.h0; h < on.h1; ++h) {
        const Rows x = of.X(q.mixed, on.b, h), ys = of.Y(y, on.b, h);
        const ssd::Wanted nextX = of.Next(x, on, h, false), nextY = of.Next(ys, on, h, true);
        ssd::CopyRows(s.T, s.P, x, {room.x, s.P});
        for (int64_t t = 0; t < s.T; ++t) ssd::ScaleRows(1, s.P, own + (on.b * s.T + t) * s.H + h, {room.x + t * s.P, 0}, {room.y + t * s.P, 0});
        for (const ssd::Whole* w : {&ahead, &back}) {
          const auto wanted = [&](int64_t part, int64_t parts) { (w == &ahead ? nextX : nextY).Ask(part, parts); };
          ssd::WholeForward{*w}.Head(on.b, h, (w == &ahead ? gramsAhead : gramsBack) + matrix, InOrder<Rows>(w->s, room.x.data(), false),
                                     InOrder<Out>(w->s, room.y.data(), true), true, room.weights, wanted);
        }
        ssd::CopyRows(s.T, s.P, {room.y, s.P}, Writable(ys));
      }
    });
  });
}

void WholeQuasiseparableGrad(const Call& c) {
  const Both q(c);
  const ssd::Whole &ahead = q.ahead.w, &back = q.back.w;
  const ssd::Sizes& s = q.Sizes();
  const HeadRows of{s};
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
  InRounds(ahead, [&](int64_t b0, int64_t b1) {
    ssd::Grams(ahead, b0, b1, grams);
    ssd::Grams(back, b0, b1, gramsBack);
    EachTask<BackwardRoom>(ahead, b0, b1, [&] { return BackwardRoom(ahead); }, [&](const Task& on, int64_t task, BackwardRoom& room) {
      const int64_t matrix = ((on.b - b0) * s.G + on.g) * ahead.Matrix(), slopes = task * ahead.Matrix();
      std::fill_n(dGrams + slopes, ahead.Matrix(), 0.0f);
      std::fill_n(dGramsBack + slopes, ahead.Matrix(), 0.0f);
      for (int64_t h = on.h0; h < on.h1; ++h) {
        const Rows x = of.X(q.mixed, on.b, h), dys = of.Y(dy, on.b, h), dx = of.X(dMixed, on.b, h);
        const ssd::Wanted nextX = of.Next(x, on, h, false), nextDy = of.Next(dys, on, h, false), nextDx = of.Next(dx, on, h, true);
        ssd::CopyRows(s.T, s.P, x, {room.x, s.P});
        ssd::CopyRows(s.T, s.P, dys, {room.dy, s.P});
        for (int64_t t = 0; t < s.T; ++t) {
          const int64_t at = (on.b * s.T + t) * s.H + h;
          ssd::ScaleRows(1, s.P, own + at, {room.dy + t * s.P, 0}, {room.dx + t * s.P, 0});
          dOwn[at] = ssd::Dot(s.P, room.dy + t * s.P, room.x + t * s.P);
        }
        const auto turn = [&](const ssd::WholeBackward& direction, const float* gram, float* dGram, const ssd::Wanted& one, const ssd::Wanted* two) {
          const ssd::Sizes& order = direction.w.s;
          direction.Head(on.b, h, gram + matrix, InOrder<Rows>(order, room.x.data(), false), InOrder<Rows>(order, room.dy.data(), true),
                         InOrder<Out>(order, room.dx.data(), false), true, dGram + slopes, room.work, [&](int64_t part, int64_t parts) {
                           one.Ask(part, parts);
                           if (two) two->Ask(part, parts);
                         });
        };
        turn(slopesAhead, grams, dGrams, nextX, nullptr);
        turn(slopesBack, gramsBack, dGramsBack, nextDy, &nextDx);
        ssd::CopyRows(s.T, s.P, {room.dx, s.P}, Writable(dx));
      }
    });
    slopesAhead.Maps(b0, b1, dGrams);
    slopesBack.Maps(b0, b1, dGramsBack);
  });
  for (int64_t i = 0; i < s.B * s.H; ++i) dA[i] += dABack[i];
  ssd::SumOfHeads(s, dA, c.Out<float>(3));
  const int64_t inner = s.H * s.P;
  Scratch narrow(std::max<int64_t>(1, s.H * (inner + 1)));
  NarrowGrad(maps, s.B * s.T, &q.mixed, &dMixed, s.xStep, [&](int64_t t, int64_t h) { return dOwn[t * s.H + h]; }, narrow);
  std::copy_n(narrow + s.H * inner, s.H, c.Out<float>(4));
  Turn(s.H, inner, {narrow, inner}, {c.Out<float>(5), s.H});
}

}  // namespace

LAB_KERNEL("WholeScan", WholeScan);
LAB_KERNEL("WholeScanGrad", WholeScanGrad);
LAB_KERNEL("WholeQuasiseparable", WholeQuasiseparable);
LAB_KERNEL("WholeQuasiseparableGrad", WholeQuasiseparableGrad);
