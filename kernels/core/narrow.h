// Linear maps to a few numbers a token, such as gates: of one tensor or of several as if they lay side by side. Nothing is copied, and slopes are added
// to where others already stand.
#ifndef LAB_NARROW_H
#define LAB_NARROW_H

#include <algorithm>
#include <type_traits>

#include "lab.h"
#include "rows.h"
#include "turn.h"

namespace lab {

/// `parts` tensors of `width` channels to `outputs` numbers. rows [outputs, parts · width]: the weights turned, rounded where products round.
struct Narrow {
  static constexpr int kMostParts = 3;
  int64_t parts, width, outputs;
  Scratch rows;
  /// Weights [parts · width, each] of `each` outputs apiece, in order.
  template <int Count>
  Narrow(int64_t parts, int64_t width, int64_t each, const float* const (&weights)[Count])
      : parts(parts), width(width), outputs(Count * each), rows(std::max<int64_t>(1, Count * each * parts * width)) {
    const int64_t size = outputs * Row();
    for (int i = 0; i < Count; ++i) Turn(Row(), each, {weights[i], each}, {rows + i * each * Row(), Row()});
    if (Bfloat16())
      for (int64_t j = 0; j < size; j += W) StoreUpTo(rows + j, RoundBf16(LoadUpTo(rows + j, size - j)), size - j);
  }
  int64_t Row() const { return parts * width; }
};

// Sums that one block keeps in registers: tokens by outputs.
constexpr int kNarrowTokens = 3;
#if LAB_AVX512 || LAB_NEON
constexpr int kNarrowOutputs = 8;
#else
constexpr int kNarrowOutputs = 4;
#endif

/// sums[r * G + g] of R tokens, `ld` floats apart in each tensor, and G outputs from the row `map` on.
template <int R, int G>
void NarrowBlock(const Narrow& m, const float* const* from, int64_t ld, const float* map, bool round, float* sums) {
  F sum[R][G];
  LAB_UNROLL for (int r = 0; r < R; ++r)
    LAB_UNROLL for (int g = 0; g < G; ++g) sum[r][g] = F(0.0f);
  for (int64_t part = 0; part < m.parts; ++part)
    for (int64_t e = 0; e < m.width; e += W) {
      const int64_t left = m.width - e;
      F x[R];
      LAB_UNROLL for (int r = 0; r < R; ++r) {
        x[r] = LoadUpTo(from[part] + r * ld + e, left);
        if (round) x[r] = RoundBf16(x[r]);
      }
      LAB_UNROLL for (int g = 0; g < G; ++g) {
        const F w = LoadUpTo(map + g * m.Row() + part * m.width + e, left);
        LAB_UNROLL for (int r = 0; r < R; ++r) sum[r][g] = Fma(x[r], w, sum[r][g]);
      }
    }
  LAB_UNROLL for (int r = 0; r < R; ++r)
    LAB_UNROLL for (int g = 0; g < G; ++g) sums[r * G + g] = Sum(sum[r][g]);
}

/// Calls put(token, output, sum) for all of them; from: where each tensor begins, its tokens `ld` floats apart.
template <class Put>
void NarrowMap(const Narrow& m, int64_t tokens, const float* const* from, int64_t ld, Put&& put) {
  const bool round = Bfloat16();
  const auto block = [&](auto R, auto G, int64_t t, int64_t output) {
    const float* at[Narrow::kMostParts];
    for (int64_t part = 0; part < m.parts; ++part) at[part] = from[part] + t * ld;
    float sums[R * G];
    NarrowBlock<R, G>(m, at, ld, m.rows.data() + output * m.Row(), round, sums);
    for (int r = 0; r < R; ++r)
      for (int g = 0; g < G; ++g) put(t + r, output + g, sums[r * G + g]);
  };
  constexpr std::integral_constant<int, kNarrowTokens> someTokens{};
  constexpr std::integral_constant<int, kNarrowOutputs> someOutputs{};
  constexpr std::integral_constant<int, 1> one{};
  ParallelFor(tokens, Grain(m.outputs * m.Row() / W, 8192), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end;) {
      const bool several = end - t >= kNarrowTokens;
      for (int64_t output = 0; output < m.outputs;) {
        const bool wide = m.outputs - output >= kNarrowOutputs;
        if (several && wide)
          block(someTokens, someOutputs, t, output);
        else if (several)
          block(someTokens, one, t, output);
        else if (wide)
          block(one, someOutputs, t, output);
        else
          block(one, one, t, output);
        output += wide ? kNarrowOutputs : 1;
      }
      t += several ? kNarrowTokens : 1;
    }
  });
}

/// R tokens of one tensor: dx += slopes · map, and sums += slopesᵀ x, for slopes [R, outputs] and rows of map and sums as far apart as the whole map's.
template <int R>
void NarrowSlopes(const Narrow& m, const float* x, const float* map, const float* slopes, int64_t ld, bool round, float* dx, float* sums) {
  for (int64_t e = 0; e < m.width; e += W) {
    const int64_t left = m.width - e;
    F from[R], to[R];
    LAB_UNROLL for (int r = 0; r < R; ++r) {
      from[r] = LoadUpTo(x + r * ld + e, left);
      if (round) from[r] = RoundBf16(from[r]);
      to[r] = LoadUpTo(dx + r * ld + e, left);
    }
    for (int64_t g = 0; g < m.outputs; ++g) {
      const F w = LoadUpTo(map + g * m.Row() + e, left);
      F sum = LoadUpTo(sums + g * m.Row() + e, left);
      LAB_UNROLL for (int r = 0; r < R; ++r) {
        const F slope(slopes[r * m.outputs + g]);
        sum = Fma(slope, from[r], sum);
        to[r] = Fma(slope, w, to[r]);
      }
      StoreUpTo(sums + g * m.Row() + e, sum, left);
    }
    LAB_UNROLL for (int r = 0; r < R; ++r) StoreUpTo(dx + r * ld + e, to[r], left);
  }
}

/// The gradient of NarrowMap, from slope(token, output): adds to each tensor's slopes at to[part], and writes those of the weights and of biases,
/// sums [outputs, parts · width] and then [outputs].
template <class Slope>
void NarrowGrad(const Narrow& m, int64_t tokens, const float* const* from, float* const* to, int64_t ld, Slope&& slope, float* sums) {
  constexpr int64_t several = 4;
  const bool round = Bfloat16();
  const Parts parts(tokens, 64);
  const int64_t size = m.outputs * (m.Row() + 1);
  Scratch partial(std::max<int64_t>(1, parts.count * size));
  ParallelFor(tokens, parts.grain, [&](int64_t begin, int64_t end) {
    float *own = partial + begin / parts.grain * size, *biases = own + m.outputs * m.Row();
    std::fill_n(own, size, 0.0f);
    Scratch held(several * m.outputs);
    for (int64_t t = begin; t < end;) {
      const int64_t count = end - t >= several ? several : 1, numbers = count * m.outputs;
      for (int64_t i = 0; i < numbers; ++i) {
        held[i] = slope(t + i / m.outputs, i % m.outputs);
        biases[i % m.outputs] += held[i];
      }
      if (round)
        for (int64_t j = 0; j < numbers; j += W) StoreUpTo(held + j, RoundBf16(LoadUpTo(held + j, numbers - j)), numbers - j);
      for (int64_t part = 0; part < m.parts; ++part)
        (count == several ? NarrowSlopes<several> : NarrowSlopes<1>)(m, from[part] + t * ld, m.rows.data() + part * m.width, held, ld, round, to[part] + t * ld,
                                                                     own + part * m.width);
      t += count;
    }
  });
  SumParts(partial, parts.count, size, size, sums);
}

}  // namespace lab

#endif
