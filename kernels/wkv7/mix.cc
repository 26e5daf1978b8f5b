// RWKV-7's rule with all that stands around it in its layer (see mix.ts): a task reads all tokens of one head of one sequence, a segment at a time.
#include <cmath>
#include <initializer_list>

#include "../core/simd-math.h"
#include "../core/sums.h"
#include "rule.h"

namespace {

using namespace lab;
using namespace lab::wkv7;

constexpr float kStrongestDecay = -0.60653065971263342f;  // -e^-1/2
constexpr float kSmallestSquare = 1e-24f;
enum Map { kR, kDecay, kKey, kV, kRate, kGate, kFirst, kShare, kMaps };
enum Channels { kW0, kA0, kKk, kKa, kRk, kLnW, kLnB, kV0, kChannels };

struct Sizes {
  int64_t B, T, H, N, D, segments, P;
  float epsilon;
  explicit Sizes(const Call& c)
      : B(c.n[0]), T(c.n[1]), H(c.n[2]), N(c.n[3]), D(H * N), segments((T + kSegment - 1) / kSegment), P((N + W - 1) / W * W),
        epsilon(static_cast<float>(c.f[0])) {}
};

/// One head of one sequence: `at(t)` is where token t begins in the maps, [B, T, D].
struct Head {
  const Sizes& s;
  int64_t row, b, h;
  const float *map[kMaps], *channel[kChannels];  // first, share and v0 may be nullptr
  Head(const Sizes& sizes, const Call& c, int64_t r) : s(sizes), row(r), b(r / sizes.H), h(r % sizes.H) {
    for (int i = 0; i < kMaps; ++i) map[i] = c.In<float>(i);
    for (int i = 0; i < kChannels; ++i) channel[i] = c.In<float>(kMaps + i) ? c.In<float>(kMaps + i) + h * s.N : nullptr;
  }
  int64_t At(int64_t t) const { return (b * s.T + t) * s.D + h * s.N; }
  /// Asks for a segment's part of the maps, and of more that lie like them.
  void Ask(int64_t segment, std::initializer_list<const float*> more) const {
    if (segment < 0 || segment >= s.segments) return;
    const int64_t end = std::min(s.T, (segment + 1) * kSegment);
    for (int64_t t = segment * kSegment; t < end; ++t) {
      for (const float* from : map)
        if (from) Soon(from + At(t), s.N);
      for (const float* from : more) Soon(from + At(t), s.N);
    }
  }
  LAB_INLINE F Of(Map which, int64_t at, int64_t j) const { return LoadUpTo(map[which] + at + j, s.N - j); }
  LAB_INLINE F Of(Channels which, int64_t j) const { return LoadUpTo(channel[which] + j, s.N - j); }
};

/// What the rule takes, and what its making leaves for the gradient: rows of P numbers a token, zeros behind the N that count.
struct Inputs {
  Padded rule;
  Scratch v, rate, open, share, bonus, inverse;  // bonus: Σ r k r_k; inverse: 1 / |κ|; one a token
  explicit Inputs(const Sizes& s)
      : rule(s.P), v(kSegment * s.P), rate(kSegment * s.P), open(kSegment * s.P), share(kSegment * s.P), bonus(kSegment), inverse(kSegment) {}

  Segment Read(const Head& x, int64_t segment) {
    const Sizes& s = x.s;
    const int64_t first = segment * kSegment, tokens = std::min(kSegment, s.T - first);
    for (int64_t t = 0; t < tokens; ++t) {
      const int64_t at = x.At(first + t), to = t * s.P;
      F square(0.0f);
      for (int64_t j = 0; j < s.P; j += W) {
        const F u = x.Of(kKey, at, j) * x.Of(kKk, j);
        square = Fma(u, u, square);
      }
      const float length = std::max(Sum(square), kSmallestSquare);
      inverse[t] = 1.0f / std::sqrt(length);
      F sum(0.0f);
      for (int64_t j = 0; j < s.P; j += W) {
        const F key = x.Of(kKey, at, j), r = x.Of(kR, at, j), a = Sigmoid(x.Of(kRate, at, j) + x.Of(kA0, j));
        const F fades = Sigmoid(x.Of(kDecay, at, j) + x.Of(kW0, j));
        const F k = key * Fma(a - F(1.0f), x.Of(kKa, j), F(1.0f)), unit = key * x.Of(kKk, j) * F(inverse[t]);
        F value = x.Of(kV, at, j);
        if (x.map[kFirst]) {
          const F part = Sigmoid(x.Of(kShare, at, j) + x.Of(kV0, j));
          value = Fma(x.Of(kFirst, at, j) - value, part, value);
          Store(share + to + j, part);
        }
        sum = Fma(r * k, x.Of(kRk, j), sum);
        Store(rule.r + to + j, r);
        Store(rule.decay + to + j, Exp(F(kStrongestDecay) * fades));
        Store(rule.k + to + j, k);
        Store(rule.a + to + j, Neg(unit));
        Store(rule.b + to + j, unit * a);
        Store(v + to + j, value);
        Store(rate + to + j, a);
        Store(open + to + j, fades);
      }
      bonus[t] = Sum(sum);
    }
    return rule.Of(s.N, s.P, tokens);
  }
};

/// Mean and 1 / deviation of the N numbers at o.
struct Norm {
  float mean, rstd;
  Norm(const Sizes& s, const float* o) {
    const float share = 1.0f / static_cast<float>(s.N);
    mean = share * SumOver(s.N, [&](int64_t j, int64_t left) { return LoadUpTo(o + j, left); });
    const float square = SumOver(s.N, [&](int64_t j, int64_t left) {
      const F u = Select(Lt(Iota(), F(static_cast<float>(left))), LoadUpTo(o + j, left) - F(mean), F(0.0f));
      return u * u;
    });
    rstd = 1.0f / std::sqrt(square * share + s.epsilon);
  }
};

/// Norm, bonus and gate of token t of a segment: from the rule's output o [N] to y, where the token begins at `at`.
void Finish(const Head& x, Inputs& in, int64_t t, const float* o, int64_t at, Room y) {
  const Sizes& s = x.s;
  const Norm norm(s, o);
  for (int64_t j = 0; j < s.N; j += W) {
    const int64_t left = s.N - j;
    const F normed = (LoadUpTo(o + j, left) - F(norm.mean)) * F(norm.rstd);
    const F whole = Fma(Load(in.v + t * s.P + j), F(in.bonus[t]), Fma(normed, x.Of(kLnW, j), x.Of(kLnB, j)));
    y.Put(at + j, whole * x.Of(kGate, at, j), left);
  }
}

void Rwkv7Mix(const Call& c) {
  const Sizes s(c);
  const Room y = c.Result(0);
  float *o = c.Out<float>(1), *out = c.Out<float>(2), *states = c.Out<float>(3);
  const int64_t blocks = Block::Count(s.P);
  ParallelFor(s.B * s.H, 1, [&](int64_t begin, int64_t end) {
    Scratch state(s.N * s.P);  // of one block after the other, [N, V W] each
    Inputs in(s);
    for (int64_t row = begin; row < end; ++row) {
      const Head x(s, c, row);
      std::fill_n(state.data(), s.N * s.P, 0.0f);
      for (int64_t segment = 0; segment < s.segments; ++segment) {
        const Segment tokens = in.Read(x, segment);
        x.Ask(segment + 1, {});
        const int64_t first = x.At(segment * kSegment);
        for (int64_t i = 0; i < blocks; ++i) {
          const Block block(s.P, i);
          float* own = state + s.N * block.from;
          block.Keep(s.N, own, states + (row * s.segments + segment) * s.N * s.N);
          block.Run(tokens, {in.v, s.P}, own, {o + first, s.D}, {out + first, s.D});
        }
        for (int64_t t = 0; t < tokens.tokens; ++t) Finish(x, in, t, o + first + t * s.D, first + t * s.D, y);
      }
    }
  });
}

/// Row after row of a state: what it holds along a, W rows at once, then what it becomes and what is read of it.
void StepRows(const Segment& x, const float* value, const float* from, float* to, int64_t rows, float* read) {
  F sums[W];
  for (int64_t n = 0; n < W; ++n) {
    sums[n] = F(0.0f);
    for (int64_t j = 0; n < rows && j < x.N; j += W) sums[n] = Fma(LoadUpTo(from + n * x.N + j, x.N - j), Load(x.a + j), sums[n]);
  }
  alignas(64) float taken[W];
  Store(taken, SumEach(sums));
  for (int64_t n = 0; n < rows; ++n) {
    const F out(taken[n]), v(value[n]);
    sums[n] = F(0.0f);
    for (int64_t j = 0; j < x.N; j += W) {
      const int64_t left = x.N - j;
      const F now = Fma(v, Load(x.k + j), Fma(out, Load(x.b + j), LoadUpTo(from + n * x.N + j, left) * Load(x.decay + j)));
      StoreUpTo(to + n * x.N + j, now, left);
      sums[n] = Fma(now, Load(x.r + j), sums[n]);
    }
  }
  StoreUpTo(read, SumEach(sums), rows);
}

void Rwkv7MixStep(const Call& c) {
  const Sizes s(c);
  const float* state = c.In<float>(kMaps + kChannels);
  float *next = c.Out<float>(0), *y = c.Out<float>(1);
  ParallelFor(s.B * s.H, Grain(s.N * s.N, 4096), [&](int64_t begin, int64_t end) {
    Inputs in(s);
    Scratch o(s.P);
    for (int64_t row = begin; row < end; ++row) {
      const Head x(s, c, row);
      Soon(state + row * s.N * s.N, s.N * s.N);
      const Segment token = in.Read(x, 0);
      for (int64_t i = 0; i < s.N; i += W) {
        const int64_t at = (row * s.N + i) * s.N;
        StepRows(token, in.v + i, state + at, next + at, std::min<int64_t>(W, s.N - i), o + i);
      }
      Finish(x, in, 0, o, x.At(0), {y, false});
    }
  });
}

/// Sums over the tokens of one head, [channels, N].
struct Sums {
  float* sums;
  int64_t N;
  LAB_INLINE void Add(Channels which, int64_t j, F by) const {
    float* to = sums + which * N + j;
    StoreUpTo(to, LoadUpTo(to, N - j) + by, N - j);
  }
};

/// Through the gate, the bonus and the norm of token t of a segment: the slopes of the rule's output, `slope` [P], and of all behind it, `behind` [P].
/// @return the slope of the bonus
float BackFromOutput(const Head& x, Inputs& in, int64_t t, int64_t at, const float* o, const float* dy, Room dgate, float* slope, float* behind,
                     const Sums& sums) {
  const Sizes& s = x.s;
  const Norm norm(s, o + at);
  const float share = 1.0f / static_cast<float>(s.N);
  F total(0.0f), along(0.0f), pull(0.0f);
  for (int64_t j = 0; j < s.P; j += W) {
    const int64_t left = s.N - j;
    const F g = LoadUpTo(dy + at + j, left), normed = (LoadUpTo(o + at + j, left) - F(norm.mean)) * F(norm.rstd), v = Load(in.v + t * s.P + j);
    const F e = g * x.Of(kGate, at, j);  // 0 in lanes past the end, and so is all that it multiplies
    dgate.Put(at + j, g * Fma(v, F(in.bonus[t]), Fma(normed, x.Of(kLnW, j), x.Of(kLnB, j))), left);
    sums.Add(kLnW, j, e * normed);
    sums.Add(kLnB, j, e);
    const F dn = e * x.Of(kLnW, j);
    total += dn;
    along = Fma(dn, normed, along);
    pull = Fma(e, v, pull);
    Store(behind + j, e);
    Store(slope + j, dn);
  }
  const F mean1(Sum(total) * share), mean2(Sum(along) * share);
  for (int64_t j = 0; j < s.P; j += W) {
    const F normed = (LoadUpTo(o + at + j, s.N - j) - F(norm.mean)) * F(norm.rstd);
    Store(slope + j, F(norm.rstd) * (Load(slope + j) - mean1 - normed * mean2));
  }
  return Sum(pull);
}

/// Rows of slopes of a segment, [tokens, P], and `pull`, the slope of each token's bonus.
struct Rest {
  Scratch slope, behind, r, w, k, v, a, b, pull;
  explicit Rest(int64_t P)
      : slope(kSegment * P), behind(kSegment * P), r(kSegment * P), w(kSegment * P), k(kSegment * P), v(kSegment * P), a(kSegment * P), b(kSegment * P),
        pull(kSegment) {}
};

/// From the slopes of what the rule takes to those of the maps.
void BackToMaps(const Head& x, Inputs& in, Rest& d, int64_t t, int64_t at, const Room* to, const Sums& sums) {
  const Sizes& s = x.s;
  const int64_t from = t * s.P;
  const F pull(d.pull[t]), inverse(in.inverse[t]);
  const auto direction = [&](int64_t j) {  // slope of κ
    const int64_t left = s.N - j;
    return Fma(LoadUpTo(d.b + from + j, left), Load(in.rate + from + j), Neg(LoadUpTo(d.a + from + j, left)));
  };
  float dot = 0.0f;
  // A length that is held up does not move.
  if (in.inverse[t] < 1.0f / std::sqrt(kSmallestSquare))
    dot = SumOver(s.N, [&](int64_t j, int64_t) { return direction(j) * Neg(Load(in.rule.a + from + j)); });
  for (int64_t j = 0; j < s.N; j += W) {
    const int64_t left = s.N - j;
    const F one(1.0f), r = Load(in.rule.r + from + j), k = Load(in.rule.k + from + j), unit = Neg(Load(in.rule.a + from + j));
    const F a = Load(in.rate + from + j), fades = Load(in.open + from + j), key = x.Of(kKey, at, j), bonus = x.Of(kRk, j);
    const F dk = Fma(pull * r, bonus, LoadUpTo(d.k + from + j, left)), db = LoadUpTo(d.b + from + j, left);
    to[kR].Put(at + j, Fma(pull * k, bonus, LoadUpTo(d.r + from + j, left)), left);
    sums.Add(kRk, j, pull * r * k);
    const F du = inverse * (direction(j) - unit * F(dot)), lessened = a - one;
    to[kKey].Put(at + j, Fma(dk, Fma(lessened, x.Of(kKa, j), one), du * x.Of(kKk, j)), left);
    sums.Add(kKk, j, du * key);
    sums.Add(kKa, j, dk * key * lessened);
    const F drate = Fma(dk * key, x.Of(kKa, j), db * unit) * a * (one - a);
    to[kRate].Put(at + j, drate, left);
    sums.Add(kA0, j, drate);
    const F ddecay = LoadUpTo(d.w + from + j, left) * F(kStrongestDecay) * fades * (one - fades);
    to[kDecay].Put(at + j, ddecay, left);
    sums.Add(kW0, j, ddecay);
    F dv = Fma(Load(d.behind + from + j), F(in.bonus[t]), LoadUpTo(d.v + from + j, left));
    if (x.map[kFirst]) {
      const F part = Load(in.share + from + j), dfirst = dv * part;
      const F dshare = dfirst * (one - part) * (x.Of(kFirst, at, j) - x.Of(kV, at, j));
      to[kFirst].Put(at + j, dfirst, left);
      to[kShare].Put(at + j, dshare, left);
      sums.Add(kV0, j, dshare);
      dv = dv - dfirst;
    }
    to[kV].Put(at + j, dv, left);
  }
}

void Rwkv7MixGrad(const Call& c) {
  const Sizes s(c);
  const int given = kMaps + kChannels;
  const float *o = c.In<float>(given), *out = c.In<float>(given + 1), *states = c.In<float>(given + 2), *dy = c.In<float>(given + 3);
  Room to[kMaps];
  for (int i = 0; i < kMaps; ++i) to[i] = c.Result(i);
  Scratch partial(std::max<int64_t>(1, s.B * s.H * kChannels * s.N));  // [B, H, channels, N]
  ParallelFor(s.B * s.H, 1, [&](int64_t begin, int64_t end) {
    Inputs in(s);
    Rest d(s.P);
    Backward backward(s.N, s.P);
    for (int64_t row = begin; row < end; ++row) {
      const Head x(s, c, row);
      const Sums sums{partial + row * kChannels * s.N, s.N};
      std::fill_n(sums.sums, kChannels * s.N, 0.0f);
      backward.Begin();
      for (int64_t segment = s.segments - 1; segment >= 0; --segment) {
        const Segment tokens = in.Read(x, segment);
        x.Ask(segment - 1, {o, out, dy});
        const int64_t first = x.At(segment * kSegment);
        for (int64_t t = 0; t < tokens.tokens; ++t)
          d.pull[t] = BackFromOutput(x, in, t, first + t * s.D, o, dy, to[kGate], d.slope + t * s.P, d.behind + t * s.P, sums);
        backward.Run(tokens, states + (row * s.segments + segment) * s.N * s.N, {in.v, s.P}, {d.slope, s.P}, {out + first, s.D},
                     {d.r, d.w, d.k, d.v, d.a, d.b, s.P});
        for (int64_t t = 0; t < tokens.tokens; ++t) BackToMaps(x, in, d, t, first + t * s.D, to, sums);
      }
    }
  });
  const int count = c.In<float>(kMaps + kV0) ? kChannels : kV0;
  for (int which = 0; which < count; ++which)
    for (int64_t h = 0; h < s.H; ++h)
      SumParts(partial + (h * kChannels + which) * s.N, s.B, s.H * kChannels * s.N, s.N, c.Out<float>(kMaps + which) + h * s.N);
}

// May be halves: y; the slopes of the maps.
uint64_t Halved(const Call& c) { return c.OutBit(0); }
uint64_t GradHalved(const Call& c) { return c.OutBits(0, kMaps); }

}  // namespace

LAB_KERNEL("Rwkv7Mix", Rwkv7Mix, Halved);
LAB_KERNEL("Rwkv7MixStep", Rwkv7MixStep);
LAB_KERNEL("Rwkv7MixGrad", Rwkv7MixGrad, GradHalved);
