// How whole scans are shared out: rounds of batch rows, tasks of some heads, and rows of a head in memory of their own, since those of a tensor may lie some
// power of two apart and share few places in the cache.
#ifndef LAB_SSD_WHOLE_TASKS_H
#define LAB_SSD_WHOLE_TASKS_H

#include "whole_backward.h"

namespace lab {
namespace ssd {

// A head's rows of a tensor, dense: [T, P].
struct HeadRows {
  const Sizes& s;
  Rows X(const float* mixed, int64_t b, int64_t h) const { return {mixed + b * s.T * s.xStep + h * s.P, s.xStep}; }
  Rows Y(const float* y, int64_t b, int64_t h) const { return {y + (b * s.T * s.H + h) * s.P, s.H * s.P}; }
  // What the head behind h of a task reads, and what head h writes at its end.
  Wanted Next(Rows of, const Task& on, int64_t h) const { return {of.p + s.P, h + 1 < on.h1 ? s.T : 0, of.ld, s.P, false}; }
  Wanted AtEnd(Rows of) const { return {of.p, s.T, of.ld, s.P, true}; }
};
inline Out Writable(Rows r) { return {const_cast<float*>(r.p), r.ld}; }

// Dense rows [T, P] in the order of a scan, from that whose inputs or, of a late scan, outputs come first.
template <class R, class P>
R InOrder(const Sizes& s, P dense, bool outputs) {
  const int64_t late = outputs && s.late ? s.P : 0;
  return s.backwards ? R{dense + (s.T - 1) * s.P - late, -s.P} : R{dense + late, s.P};
}

// Calls with(b0, b1) for as many batch rows as are worked on together.
template <class With>
void InRounds(const Whole& w, With&& with) {
  for (int64_t b = 0; b < w.s.B; b += w.Together()) with(b, std::min(w.s.B, b + w.Together()));
}
// Calls with(task, index) for the tasks of batch rows b0 .. b1-1 on all threads, each with a room of its own.
template <class Room, class Make, class With>
void EachTask(const Whole& w, int64_t b0, int64_t b1, Make&& make, With&& with) {
  const int64_t perRow = w.s.G * w.s.slices;
  ParallelFor((b1 - b0) * perRow, 1, [&](int64_t begin, int64_t end) {
    Room room = make();
    for (int64_t i = begin; i < end; ++i) with(Task(w.s, b0 * perRow + i), i, room);
  });
}

// What a task needs: rows of one head, dense; `more` rows behind those of dx.
struct ForwardRoom {
  WeightsRoom weights;
  Scratch x, y;
  explicit ForwardRoom(const Sizes& s) : x(s.T * s.P), y(s.T * s.P) {}
};
struct BackwardRoom {
  WholeBackwardRoom work;
  Scratch x, dy, dx;
  explicit BackwardRoom(const Whole& w, int64_t more = 0) : work(w), x(w.s.T * w.s.P), dy(w.s.T * w.s.P), dx((w.s.T + more) * w.s.P) {}
};

// to[h] = Σ of parts [B, H] over B.
inline void SumRows(const Sizes& s, const double* parts, float* to) {
  for (int64_t h = 0; h < s.H; ++h) {
    double sum = 0;
    for (int64_t b = 0; b < s.B; ++b) sum += parts[b * s.H + h];
    to[h] = static_cast<float>(sum);
  }
}

}  // namespace ssd
}  // namespace lab

#endif
