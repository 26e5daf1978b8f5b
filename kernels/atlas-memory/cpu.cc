// The memory of ATLAS (arXiv 2505.23735): one task reads all tokens of one head of one sequence, in doubles (see memory.h).
#include "memory.h"

namespace {

using namespace lab;
using namespace lab::atlas;

/// Reads tokens; W, S and anchor hold the memory. `y`: [T, d]. `at(t)` is called before token t is read.
template <class At>
void ReadTokens(const Sizes& s, const Tokens& in, double* W, double* S, double* anchor, float* y, At&& at) {
  Lessons lessons(s);
  Answer answer(s);
  Trace trace[kMatrices], *const traces[] = {&trace[0], &trace[1]};
  for (int i = 0; i < s.matrices; ++i) trace[i].Set(s.m[i].r, s.m[i].s, s.steps);
  Zeros X(s.total), memory(trace[0].Size() + trace[1].Size());
  trace[0].Lay(memory);
  trace[1].Lay(memory + trace[0].Size());
  const Pieces pieces{s, 0, s.T};
  for (int64_t t = 0; t < s.T;) {
    const Piece piece = pieces.At(t);
    if ((s.position + t) % s.chunk == 0) std::copy_n(W, s.total, anchor);
    lessons.Take(in, piece.rows0, s.behind + piece.t1 - piece.rows0, anchor);
    for (; t < piece.t1; ++t) {
      at(t);
      const int64_t to = s.behind + t + 1, from = std::max<int64_t>(0, to - s.window);
      for (int i = 0; i < s.matrices; ++i) lessons.Gather(i, from - piece.rows0, to - piece.rows0, in.theta[t], S + s.m[i].at);
      Orthogonalise(s.matrices, traces, Apart(s, S).p, Apart(s, X).p);
      Blend(s.total, in.alpha[t], W, -static_cast<double>(in.eta[t]), X, W);
      answer.Give(s, in, t, W);
      for (int64_t j = 0; j < s.d; ++j) y[t * s.d + j] = static_cast<float>(answer.out[j]);
    }
  }
}

void AtlasMemory(const Call& c) {
  const Sizes s(c);
  const Segments segments(s);
  const float* start[2] = {c.In<float>(9), c.In<float>(10)};
  float *y = c.Out<float>(0), *states = c.Out<float>(1);
  const int64_t count = segments.Count();
  ParallelFor(s.R, 1, [&](int64_t begin, int64_t end) {
    Zeros W(s.total), S(s.total), anchor(s.total);
    for (int64_t row = begin; row < end; ++row) {
      for (int i = 0; i < s.matrices; ++i) Read(s.m[i], start[i] + row % s.H * s.m[i].in * s.m[i].out, nullptr, W + s.m[i].at);
      std::fill_n(static_cast<double*>(S), s.total, 0.0);
      int64_t next = 0;
      ReadTokens(s, Tokens(c, s, row), W, S, anchor, y + row * s.T * s.d, [&](int64_t t) {
        if (next == count || t != segments.Start(next)) return;
        float* to = states + (row * count + next) * 4 * s.outside;
        for (int i = 0; i < s.matrices; ++i) {
          const Matrix& m = s.m[i];
          Write(m, W + m.at, to + m.outside, to + s.outside + m.outside);
          Write(m, S + m.at, to + 2 * s.outside + m.outside, to + 3 * s.outside + m.outside);
        }
        ++next;
      });
    }
  });
}

void AtlasMemoryStep(const Call& c) {
  const Sizes s(c);
  float* y = c.Out<float>(0);
  ParallelFor(s.R, 1, [&](int64_t begin, int64_t end) {
    Zeros W(s.total), S(s.total), anchor(s.total);
    for (int64_t row = begin; row < end; ++row) {
      const auto read = [&](int input, int i, double* to) {
        const int64_t size = s.m[i].in * s.m[i].out;
        if (c.in[input]) Read(s.m[i], c.In<float>(input) + row * size, nullptr, to + s.m[i].at);
      };
      for (int i = 0; i < s.matrices; ++i) read(9 + i, i, W), read(11 + i, i, S), read(13 + i, i, anchor);
      ReadTokens(s, Tokens(c, s, row), W, S, anchor, y + row * s.T * s.d, [](int64_t) {});
      for (int i = 0; i < s.matrices; ++i) {
        const int64_t size = s.m[i].in * s.m[i].out;
        Write(s.m[i], W + s.m[i].at, c.Out<float>(1 + 2 * i) + row * size, nullptr);
        Write(s.m[i], S + s.m[i].at, c.Out<float>(2 + 2 * i) + row * size, nullptr);
      }
    }
  });
}

}  // namespace

LAB_KERNEL("AtlasMemory", AtlasMemory);
LAB_KERNEL("AtlasMemoryStep", AtlasMemoryStep);
