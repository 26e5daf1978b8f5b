// The weighted mean of RWKV-4 (arXiv 2305.13048, section 3): one task runs all tokens of a few neighbouring channels of one row.
//
// State: mean m of the values so far and their weight q at the scale e^-o, so that no exponent below is above 0.
//   s = max(o, u + k);   share = e^(u+k-s) / (e^(o-s) q + e^(u+k-s));   y = m + share (v - m)
//   s = max(o + w, k);   own = e^(k-s);   q = e^(o+w-s) q + own;   m = m + own / q (v - m);   o = s
// The gradient carries sums (P, E, O) over what comes after a token: P of the slopes dy / weight, E of the same times (m - y) of their token, m
// being the mean here. As y and m are only moved by steps along v - m, no slope is a difference of two sums that nearly agree.
// What rounding takes from a sum of exponents, u + k or o + w, goes into the factor beside it: keys of 100 keep their digits.
#include <algorithm>

#include "../core/lab.h"
#include "../core/rows.h"
#include "../core/soon.h"

namespace {

using namespace lab;

constexpr int64_t kSegment = 64;   // see segment of kernel.ts
constexpr int64_t kChannels = 64;  // a task's: 4 cache lines a token, a multiple of W
constexpr int64_t kAhead = 8;      // tokens whose lines are asked for before they are read
constexpr float kNothing = -1e38f;  // exponent of an empty sum: finite, as -inf - (-inf) is not a number

struct Sizes {
  int64_t B, T, C, segments, groups;
  explicit Sizes(const Call& c)
      : B(c.n[0]), T(c.n[1]), C(c.n[2]), segments((T + kSegment - 1) / kSegment), groups((C + kChannels - 1) / kChannels) {}
};

// Channels c0 .. c0 + width - 1 of row b.
struct Task {
  int64_t b, c0, width;
  Task(const Sizes& s, int64_t task) : b(task / s.groups), c0(task % s.groups * kChannels), width(std::min(kChannels, s.C - c0)) {}
};

struct Past {
  F m, q, o;
};

// The share of a token in a mean and that of the past before it, which sum to 1; the smaller one is no difference of larger ones.
struct Shares {
  F own, past;
};

// The past after one more token of key k whose value stands `step` from the mean.
LAB_INLINE Past Next(const Past& past, F k, F step, F w, Shares* of) {
  const Exponent aged = Plus(past.o, w);
  const F s = Max(aged.sum, k), own = Exp(k - s), before = Exp(aged.sum - s) * aged.rest * past.q, q = before + own, unit = F(1.0f) / q;
  *of = {own * unit, before * unit};
  return {Fma(of->own, step, past.m), q, s};
}

// The mean that a token reads: shares, and one over all weights at the scale e^-top.
struct Reading {
  Shares of;
  F top, unit;
};
LAB_INLINE Reading Read(const Past& past, F k, F u) {
  const Exponent now = Plus(k, u);
  const F top = Max(past.o, now.sum), own = Exp(now.sum - top) * now.rest, before = Exp(past.o - top) * past.q, unit = F(1.0f) / (before + own);
  return {{own * unit, before * unit}, top, unit};
}

void Wkv4(const Call& c) {
  const Sizes s(c);
  const float *k = c.In<float>(0), *v = c.In<float>(1), *w = c.In<float>(2), *u = c.In<float>(3);
  float *y = c.Out<float>(0), *sums = c.Out<float>(1);
  ParallelFor(s.B * s.groups, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const Task at(s, task);
      Past pasts[kChannels / W];
      for (Past& x : pasts) x = {F(0.0f), F(0.0f), F(kNothing)};
      for (int64_t t = 0; t < s.T; ++t) {
        const int64_t row = (at.b * s.T + t) * s.C + at.c0;
        if (t + kAhead < s.T)
          for (const float* from : {k, v}) Soon(from + row + kAhead * s.C, at.width);
        for (int64_t j = 0; j < at.width; j += W) {
          const int64_t left = at.width - j;
          Past& past = pasts[j / W];
          if (t % kSegment == 0) {
            float* to = sums + (at.b * s.segments + t / kSegment) * 3 * s.C + at.c0 + j;
            StoreUpTo(to, past.m, left);
            StoreUpTo(to + s.C, past.q, left);
            StoreUpTo(to + 2 * s.C, past.o, left);
          }
          const F key = LoadUpTo(k + row + j, left), step = LoadUpTo(v + row + j, left) - past.m;
          StoreUpTo(y + row + j, Fma(Read(past, key, LoadUpTo(u + at.c0 + j, left)).of.own, step, past.m), left);
          Shares of;
          past = Next(past, key, step, LoadUpTo(w + at.c0 + j, left), &of);
        }
      }
    }
  });
}

void Wkv4Grad(const Call& c) {
  const Sizes s(c);
  const float *k = c.In<float>(0), *v = c.In<float>(1), *w = c.In<float>(2), *u = c.In<float>(3), *sums = c.In<float>(4), *dy = c.In<float>(5);
  const Room dk = c.Result(0), dv = c.Result(1);
  Scratch own(std::max<int64_t>(1, 2 * s.B * s.C));  // dw and du of each row
  ParallelFor(s.B * s.groups, 1, [&](int64_t begin, int64_t end) {
    Scratch held(5 * kSegment * W);  // of each token of a segment: the past before it, and both shares in the past after it
    for (int64_t task = begin; task < end; ++task) {
      const Task at(s, task);
      for (int64_t j = 0; j < at.width; j += W) {  // a vector at a time: its segment stays in L1
        const int64_t left = at.width - j;
        const F decay = LoadUpTo(w + at.c0 + j, left), bonus = LoadUpTo(u + at.c0 + j, left);
        F P(0.0f), E(0.0f), O(kNothing), dw(0.0f), du(0.0f);
        for (int64_t segment = s.segments - 1; segment >= 0; --segment) {
          const int64_t first = segment * kSegment, tokens = std::min(kSegment, s.T - first);
          const int64_t start = (at.b * s.T + first) * s.C + at.c0 + j;
          const float* from = sums + (at.b * s.segments + segment) * 3 * s.C + at.c0 + j;
          Past past{LoadUpTo(from, left), LoadUpTo(from + s.C, left), LoadUpTo(from + 2 * s.C, left)};
          for (int64_t t = 0; t < tokens; ++t) {
            float* to = held + 5 * t * W;
            for (const Room& slope : {dk, dv})
              slope.Past(start + t * s.C).With([&](const auto* row) { SoonWritten(row, std::min<int64_t>(W, left)); });
            Store(to, past.m);
            Store(to + W, past.q);
            Store(to + 2 * W, past.o);
            Shares of;
            past = Next(past, LoadUpTo(k + start + t * s.C, left), LoadUpTo(v + start + t * s.C, left) - past.m, decay, &of);
            Store(to + 3 * W, of.own);
            Store(to + 4 * W, of.past);
          }
          F dwSegment(0.0f), duSegment(0.0f);
          for (int64_t t = tokens - 1; t >= 0; --t) {
            const int64_t row = start + t * s.C;
            if (segment > 0)
              for (const float* from : {k, v, dy}) SoonLine(from + row - kSegment * s.C);
            const float* kept = held + 5 * t * W;
            const Past before{Load(kept), Load(kept + W), Load(kept + 2 * W)};
            const Shares after{Load(kept + 3 * W), Load(kept + 4 * W)};
            const F key = LoadUpTo(k + row, left), step = LoadUpTo(v + row, left) - before.m;
            const Reading now = Read(before, key, bonus);
            const F slope = LoadUpTo(dy + row, left), current = slope * now.of.own, ahead = step * now.of.past;
            // Through later tokens, whose sums hold this one with e^key.
            const Exponent reach = Plus(key, O);
            const F later = Exp(reach.sum) * reach.rest;
            dv.Put(row, Fma(later, P, current), left);
            dk.Put(row, Fma(later, Fma(P, step * after.past, E), current * ahead), left);
            duSegment = Fma(current, ahead, duSegment);
            // Pairs of an earlier and a later token, which decay once more here.
            const F mixed = E - P * (after.own * step);  // E at the mean before this token
            const Exponent aged = Plus(O, decay), across = Plus(aged.sum, before.o);
            dwSegment = Fma(Exp(across.sum) * across.rest * aged.rest, before.q * mixed, dwSegment);
            const F n = Max(aged.sum, Neg(now.top)), keep = Exp(aged.sum - n) * aged.rest, add = Exp(Neg(now.top) - n) * slope * now.unit;
            P = Fma(keep, P, add);
            E = keep * mixed - add * (now.of.own * step);
            O = n;
          }
          dw += dwSegment;
          du += duSegment;
        }
        StoreUpTo(own + 2 * at.b * s.C + at.c0 + j, dw, left);
        StoreUpTo(own + (2 * at.b + 1) * s.C + at.c0 + j, du, left);
      }
    }
  });
  SumParts(own, s.B, 2 * s.C, s.C, c.Out<float>(2));
  SumParts(own + s.C, s.B, 2 * s.C, s.C, c.Out<float>(3));
}

// May be halves: dk and dv.
uint64_t GradHalved(const Call& c) { return c.OutBits(0, 2); }

}  // namespace

LAB_KERNEL("Wkv4", Wkv4);
LAB_KERNEL("Wkv4Grad", Wkv4Grad, GradHalved);
