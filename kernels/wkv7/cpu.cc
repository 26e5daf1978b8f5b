// The generalised delta rule of RWKV-7 (arXiv 2503.14456) over all tokens: see rule.h.
#include "rule.h"

namespace {

using namespace lab;
using namespace lab::wkv7;

struct Sizes {
  int64_t rows, T, N, segments, P;
  explicit Sizes(const Call& c) : rows(c.n[0]), T(c.n[1]), N(c.n[2]), segments((T + kSegment - 1) / kSegment), P((N + W - 1) / W * W) {}
};

// The inputs of one segment, [tokens, N] each, into `to`. `next`: the segment to be read after this one.
Segment Read(const Sizes& s, const Call& c, int64_t row, int64_t segment, int64_t next, Padded& to) {
  const int64_t first = row * s.T + segment * kSegment, tokens = std::min(kSegment, s.T - segment * kSegment);
  const float *r = c.In<float>(0), *w = c.In<float>(1), *k = c.In<float>(2), *a = c.In<float>(4), *b = c.In<float>(5);
  if (next >= 0 && next < s.segments)
    for (const float* u : {r, w, k, c.In<float>(3), a, b}) Soon(u + (row * s.T + next * kSegment) * s.N, std::min(kSegment, s.T - next * kSegment) * s.N);
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t j = 0; j < s.P; j += W) {
      const int64_t from = (first + t) * s.N + j, at = t * s.P + j, left = s.N - j;
      Store(to.r + at, LoadUpTo(r + from, left));
      Store(to.decay + at, Exp(LoadUpTo(w + from, left)));
      Store(to.k + at, LoadUpTo(k + from, left));
      Store(to.a + at, LoadUpTo(a + from, left));
      Store(to.b + at, LoadUpTo(b + from, left));
    }
  return to.Of(s.N, s.P, tokens);
}

void Wkv7(const Call& c) {
  const Sizes s(c);
  const float* v = c.In<float>(3);
  float *y = c.Out<float>(0), *states = c.Out<float>(1);
  const int64_t blocks = Block::Count(s.P);
  ParallelFor(s.rows * blocks, 1, [&](int64_t begin, int64_t end) {
    Scratch state(s.N * kVectors * W);
    Padded x(s.P);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t row = task / blocks;
      const Block block(s.P, task % blocks);
      std::fill_n(state.data(), s.N * kVectors * W, 0.0f);
      for (int64_t segment = 0; segment < s.segments; ++segment) {
        const int64_t at = (row * s.T + segment * kSegment) * s.N;
        block.Keep(s.N, state, states + (row * s.segments + segment) * s.N * s.N);
        block.Run(Read(s, c, row, segment, segment + 1, x), {v + at, s.N}, state, {y + at, s.N}, {nullptr, 0});
      }
    }
  });
}

void Wkv7Grad(const Call& c) {
  const Sizes s(c);
  const float *v = c.In<float>(3), *states = c.In<float>(6), *dy = c.In<float>(7);
  ParallelFor(s.rows, 1, [&](int64_t begin, int64_t end) {
    Padded x(s.P);
    Backward backward(s.N, s.P);
    for (int64_t row = begin; row < end; ++row) {
      backward.Begin();
      for (int64_t segment = s.segments - 1; segment >= 0; --segment) {
        const int64_t at = (row * s.T + segment * kSegment) * s.N;
        const auto to = [&](int i) { return c.Out<float>(i) + at; };
        backward.Run(Read(s, c, row, segment, segment - 1, x), states + (row * s.segments + segment) * s.N * s.N, {v + at, s.N}, {dy + at, s.N}, {nullptr, 0},
                     {to(0), to(1), to(2), to(3), to(4), to(5), s.N});
      }
    }
  });
}

}  // namespace

LAB_KERNEL("Wkv7", Wkv7);
LAB_KERNEL("Wkv7Grad", Wkv7Grad);
