// Preactivations of the memory's gates: linear maps of queries, keys and values of all channels, some numbers a token. Nothing of the three is copied
// side by side, and their slopes are added to where those of the memory already stand.
#ifndef LAB_MLSTM_MAPS_H
#define LAB_MLSTM_MAPS_H

#include "cell.h"

namespace lab {
namespace mlstm {

// The maps of both gates, w_i and w_f [3 E, H], turned: rows [2 H, 3 E], rounded where products round.
struct Maps {
  int64_t E, H, width;  // width: 3 E
  Scratch rows;
  Maps(int64_t E, int64_t H, const float* w_i, const float* w_f) : E(E), H(H), width(3 * E), rows(2 * H * 3 * E) {
    Turn(width, H, {w_i, H}, {rows, width});
    Turn(width, H, {w_f, H}, {rows + H * width, width});
    if (Bfloat16())
      for (int64_t j = 0; j < 2 * H * width; j += W) StoreUpTo(rows + j, RoundBf16(LoadUpTo(rows + j, 2 * H * width - j)), 2 * H * width - j);
  }
};

// Sums that one block keeps in registers: tokens by gates.
constexpr int kTokens = 3;
#if LAB_AVX512 || LAB_NEON
constexpr int kGates = 8;
#else
constexpr int kGates = 4;
#endif

// sums[r * G + g] = Σ over channels of the three tensors at [r * E] and the row g of `maps`, for R tokens and G gates.
template <int R, int G>
void Dots(const Maps& m, const float* const* from, const float* maps, bool round, float* sums) {
  F sum[R][G];
  LAB_UNROLL for (int r = 0; r < R; ++r)
    LAB_UNROLL for (int g = 0; g < G; ++g) sum[r][g] = F(0.0f);
  for (int part = 0; part < 3; ++part)
    for (int64_t e = 0; e < m.E; e += W) {
      const int64_t left = m.E - e;
      F x[R];
      LAB_UNROLL for (int r = 0; r < R; ++r) {
        x[r] = LoadUpTo(from[part] + r * m.E + e, left);
        if (round) x[r] = RoundBf16(x[r]);
      }
      LAB_UNROLL for (int g = 0; g < G; ++g) {
        const F w = LoadUpTo(maps + g * m.width + part * m.E + e, left);
        LAB_UNROLL for (int r = 0; r < R; ++r) sum[r][g] = Fma(x[r], w, sum[r][g]);
      }
    }
  LAB_UNROLL for (int r = 0; r < R; ++r)
    LAB_UNROLL for (int g = 0; g < G; ++g) sums[r * G + g] = Sum(sum[r][g]);
}

// q, k, v [tokens, E], b_i and b_f [H] to i and f [tokens, H].
inline void Preactivations(const Maps& m, int64_t tokens, const float* q, const float* k, const float* v, const float* b_i, const float* b_f, float* i,
                           float* f) {
  const bool round = Bfloat16();
  const auto block = [&](auto R, auto G, int64_t t, int64_t gate) {
    const float* from[3] = {q + t * m.E, k + t * m.E, v + t * m.E};
    float sums[R * G];
    Dots<R, G>(m, from, m.rows.data() + gate * m.width, round, sums);
    for (int r = 0; r < R; ++r)
      for (int g = 0; g < G; ++g) {
        const int64_t to = gate + g;
        (to < m.H ? i[(t + r) * m.H + to] : f[(t + r) * m.H + to - m.H]) = sums[r * G + g] + (to < m.H ? b_i[to] : b_f[to - m.H]);
      }
  };
  ParallelFor(tokens, Grain(2 * m.H * m.width / W, 8192), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end;) {
      const bool several = end - t >= kTokens;
      for (int64_t gate = 0; gate < 2 * m.H;) {
        constexpr std::integral_constant<int, kTokens> tokensAtOnce{};
        constexpr std::integral_constant<int, kGates> gatesAtOnce{};
        constexpr std::integral_constant<int, 1> one{};
        const bool wide = 2 * m.H - gate >= kGates;
        if (several && wide)
          block(tokensAtOnce, gatesAtOnce, t, gate);
        else if (several)
          block(tokensAtOnce, one, t, gate);
        else if (wide)
          block(one, gatesAtOnce, t, gate);
        else
          block(one, one, t, gate);
        gate += wide ? kGates : 1;
      }
      t += several ? kTokens : 1;
    }
  });
}

// R tokens of one of the three tensors, x [R, E]: dx += slopes · maps, and sums += slopesᵀ x, for slopes [R, 2 H] and rows of maps and sums 3 E apart.
template <int R>
void SlopesOf(const Maps& m, const float* x, const float* maps, const float* slopes, bool round, float* dx, float* sums) {
  for (int64_t e = 0; e < m.E; e += W) {
    const int64_t left = m.E - e;
    F from[R], to[R];
    LAB_UNROLL for (int r = 0; r < R; ++r) {
      from[r] = LoadUpTo(x + r * m.E + e, left);
      if (round) from[r] = RoundBf16(from[r]);
      to[r] = LoadUpTo(dx + r * m.E + e, left);
    }
    for (int64_t g = 0; g < 2 * m.H; ++g) {
      const F w = LoadUpTo(maps + g * m.width + e, left);
      F sum = LoadUpTo(sums + g * m.width + e, left);
      LAB_UNROLL for (int r = 0; r < R; ++r) {
        const F slope(slopes[r * 2 * m.H + g]);
        sum = Fma(slope, from[r], sum);
        to[r] = Fma(slope, w, to[r]);
      }
      StoreUpTo(sums + g * m.width + e, sum, left);
    }
    LAB_UNROLL for (int r = 0; r < R; ++r) StoreUpTo(dx + r * m.E + e, to[r], left);
  }
}

// From di and df [tokens, H] the slopes of the maps, dw_i and dw_f [3 E, H], of the biases [H], and what is added to dq, dk, dv [tokens, E].
inline void PreactivationsGrad(const Maps& m, int64_t tokens, const float* q, const float* k, const float* v, const float* di, const float* df,
                               float* dq, float* dk, float* dv, float* dw_i, float* dw_f, float* db_i, float* db_f) {
  constexpr int64_t several = 4;
  const bool round = Bfloat16();
  const float* const from[3] = {q, k, v};
  float* const to[3] = {dq, dk, dv};
  const Parts parts(tokens, 64);
  const int64_t gates = 2 * m.H, size = gates * (m.width + 1);  // a part: [2 H, 3 E] of the maps, then of the biases
  Scratch partial(std::max<int64_t>(parts.count, 1) * size);
  ParallelFor(tokens, parts.grain, [&](int64_t begin, int64_t end) {
    float *sums = partial + begin / parts.grain * size, *biases = sums + gates * m.width;
    std::fill_n(sums, size, 0.0f);
    Scratch held(several * gates);
    for (int64_t t = begin; t < end;) {
      const int64_t count = end - t >= several ? several : 1;
      for (int64_t r = 0; r < count; ++r)
        for (int64_t g = 0; g < gates; ++g) {
          const float slope = g < m.H ? di[(t + r) * m.H + g] : df[(t + r) * m.H + g - m.H];
          biases[g] += slope;
          held[r * gates + g] = slope;
        }
      if (round)
        for (int64_t j = 0; j < count * gates; j += W) StoreUpTo(held + j, RoundBf16(LoadUpTo(held + j, count * gates - j)), count * gates - j);
      for (int part = 0; part < 3; ++part)
        (count == several ? SlopesOf<several> : SlopesOf<1>)(m, from[part] + t * m.E, m.rows.data() + part * m.E, held, round, to[part] + t * m.E, sums + part * m.E);
      t += count;
    }
  });
  Scratch whole(size);
  SumParts(partial, parts.count, size, size, whole);
  Turn(m.H, m.width, {whole, m.width}, {dw_i, m.H});
  Turn(m.H, m.width, {whole + m.H * m.width, m.width}, {dw_f, m.H});
  std::copy_n(whole + gates * m.width, m.H, db_i);
  std::copy_n(whole + gates * m.width + m.H, m.H, db_f);
}

}  // namespace mlstm
}  // namespace lab

#endif
