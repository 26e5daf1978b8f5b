// The weighted mean of RWKV-4 (arXiv 2305.13048, section 3): one task runs all tokens of a few neighbouring channels of one row.
//
// State: numerator p, denominator q at the scale e^-o, so that no exponent below is above 0.
//   s = max(o, u + k);   y = (e^(o-s) p + e^(u+k-s) v) / (e^(o-s) q + e^(u+k-s))
//   s = max(o + w, k);   p = e^(o+w-s) p + e^(k-s) v;   q = e^(o+w-s) q + e^(k-s);   o = s
// The gradient carries the like sums (P, Q, O) over what comes after a token.
#include <algorithm>

#include "../core/lab.h"
#include "../core/rows.h"

namespace {

using namespace lab;

constexpr int64_t kSegment = 64;   // see segment of kernel.ts
constexpr int64_t kChannels = 64;  // a task's: 4 cache lines a token, a multiple of W
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

struct Sums {
  F p, q, o;
};

// Sums before the next token.
LAB_INLINE Sums Next(const Sums& past, F k, F v, F w) {
  const F aged = past.o + w, s = Max(aged, k);
  const F keep = Exp(aged - s), own = Exp(k - s);
  return {Fma(keep, past.p, own * v), Fma(keep, past.q, own), s};
}

void Wkv4(const Call& c) {
  const Sizes s(c);
  const float *k = c.In<float>(0), *v = c.In<float>(1), *w = c.In<float>(2), *u = c.In<float>(3);
  float *y = c.Out<float>(0), *sums = c.Out<float>(1);
  ParallelFor(s.B * s.groups, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const Task at(s, task);
      Sums past[kChannels / W];
      for (Sums& x : past) x = {F(0.0f), F(0.0f), F(kNothing)};
      for (int64_t t = 0; t < s.T; ++t) {
        const int64_t row = (at.b * s.T + t) * s.C + at.c0;
        for (int64_t j = 0; j < at.width; j += W) {
          const int64_t left = at.width - j;
          Sums& x = past[j / W];
          if (t % kSegment == 0) {
            float* to = sums + (at.b * s.segments + t / kSegment) * 3 * s.C + at.c0 + j;
            StoreUpTo(to, x.p, left);
            StoreUpTo(to + s.C, x.q, left);
            StoreUpTo(to + 2 * s.C, x.o, left);
          }
          const F key = LoadUpTo(k + row + j, left), value = LoadUpTo(v + row + j, left);
          const F now = key + LoadUpTo(u + at.c0 + j, left), top = Max(x.o, now);
          const F before = Exp(x.o - top), own = Exp(now - top);
          StoreUpTo(y + row + j, Fma(before, x.p, own * value) / Fma(before, x.q, own), left);
          x = Next(x, key, value, LoadUpTo(w + at.c0 + j, left));
        }
      }
    }
  });
}

void Wkv4Grad(const Call& c) {
  const Sizes s(c);
  const float *k = c.In<float>(0), *v = c.In<float>(1), *w = c.In<float>(2), *u = c.In<float>(3), *sums = c.In<float>(4), *dy = c.In<float>(5);
  float *dk = c.Out<float>(0), *dv = c.Out<float>(1);
  Scratch own(std::max<int64_t>(1, 2 * s.B * s.C));  // dw and du of each row
  ParallelFor(s.B * s.groups, 1, [&](int64_t begin, int64_t end) {
    Scratch held(3 * kSegment * W);  // sums before each token of a segment
    for (int64_t task = begin; task < end; ++task) {
      const Task at(s, task);
      for (int64_t j = 0; j < at.width; j += W) {  // a vector at a time: its segment stays in L1
        const int64_t left = at.width - j;
        const F decay = LoadUpTo(w + at.c0 + j, left), bonus = LoadUpTo(u + at.c0 + j, left);
        Sums after{F(0.0f), F(0.0f), F(kNothing)};
        F dw(0.0f), du(0.0f);
        for (int64_t segment = s.segments - 1; segment >= 0; --segment) {
          const int64_t first = segment * kSegment, tokens = std::min(kSegment, s.T - first);
          const int64_t start = (at.b * s.T + first) * s.C + at.c0 + j;
          const float* from = sums + (at.b * s.segments + segment) * 3 * s.C + at.c0 + j;
          Sums past{LoadUpTo(from, left), LoadUpTo(from + s.C, left), LoadUpTo(from + 2 * s.C, left)};
          for (int64_t t = 0; t < tokens; ++t) {
            Store(held + (3 * t) * W, past.p);
            Store(held + (3 * t + 1) * W, past.q);
            Store(held + (3 * t + 2) * W, past.o);
            past = Next(past, LoadUpTo(k + start + t * s.C, left), LoadUpTo(v + start + t * s.C, left), decay);
          }
          F dwSegment(0.0f), duSegment(0.0f);
          for (int64_t t = tokens - 1; t >= 0; --t) {
            const int64_t row = start + t * s.C;
            const F key = LoadUpTo(k + row, left), value = LoadUpTo(v + row, left);
            const F p = Load(held + 3 * t * W), q = Load(held + (3 * t + 1) * W), o = Load(held + (3 * t + 2) * W);
            const F now = key + bonus, top = Max(o, now);
            const F before = Exp(o - top), share = Exp(now - top);
            const F scale = F(1.0f) / Fma(before, q, share);
            const F mean = Fma(before, p, share * value) * scale, pull = LoadUpTo(dy + row, left) * scale;
            const F current = pull * share, currentKey = current * (value - mean), later = Exp(key + after.o);
            StoreUpTo(dv + row, Fma(later, after.p, current), left);
            StoreUpTo(dk + row, Fma(later, Fma(after.p, value, after.q), currentKey), left);
            duSegment += currentKey;
            dwSegment = Fma(Exp(decay + after.o + o), Fma(after.p, p, after.q * q), dwSegment);
            const F aged = after.o + decay, n = Max(aged, Neg(top));
            const F keep = Exp(aged - n), add = Exp(Neg(top) - n) * pull;
            after = {Fma(keep, after.p, add), keep * after.q - add * mean, n};
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

}  // namespace

LAB_KERNEL("Wkv4", Wkv4);
LAB_KERNEL("Wkv4Grad", Wkv4Grad);
