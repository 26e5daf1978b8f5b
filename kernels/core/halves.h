// bfloat16 in memory: numbers that all readers round anyway take half the bytes in a captured step (`Call::halves` in lab.h).
#ifndef LAB_HALVES_H
#define LAB_HALVES_H

#include "pairs.h"

namespace lab {

/// The upper half of a float32.
struct Half {
  uint16_t bits;
  LAB_INLINE operator float() const {
    const uint32_t u = static_cast<uint32_t>(bits) << 16;
    float x;
    std::memcpy(&x, &u, 4);
    return x;
  }
};

// Stores round to nearest even as products do: on processors with pairs, numbers below the normal range count as zero.
#if LAB_AVX512
LAB_INLINE F Widened(__m256i halves) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16)); }
LAB_INLINE __m256i Narrowed(F a) {
#if defined(__AVX512BF16__)
  return (__m256i)_mm512_cvtneps_pbh(a.v);
#else
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_castps_si512(RoundBf16(a).v), 16));
#endif
}
LAB_INLINE __m256i Bits(const Half* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
LAB_INLINE __m256i BitsOf(const Half* p, int64_t k) { return _mm256_maskz_loadu_epi16(FirstLanes(k), p); }
LAB_INLINE F Load(const Half* p) { return Widened(Bits(p)); }
LAB_INLINE F LoadPart(const Half* p, int64_t k) { return Widened(BitsOf(p, k)); }
LAB_INLINE void Store(Half* p, F a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), Narrowed(a)); }
LAB_INLINE void StorePart(Half* p, F a, int64_t k) { _mm256_mask_storeu_epi16(p, FirstLanes(k), Narrowed(a)); }
#else
LAB_INLINE F LoadPart(const Half* p, int64_t k) {
  float x[W] = {};
  for (int64_t i = 0; i < W && i < k; ++i) x[i] = p[i];
  return Load(x);
}
LAB_INLINE void StorePart(Half* p, F a, int64_t k) {
  float x[W];
  Store(x, RoundBf16(a));
  for (int64_t i = 0; i < W && i < k; ++i) {
    uint32_t u;
    std::memcpy(&u, x + i, 4);
    p[i].bits = static_cast<uint16_t>(u >> 16);
  }
}
#if LAB_NEON
LAB_INLINE F Load(const Half* p) { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(&p->bits), 16)); }
LAB_INLINE void Store(Half* p, F a) { vst1_u16(&p->bits, vshrn_n_u32(vreinterpretq_u32_f32(RoundBf16(a).v), 16)); }
#elif LAB_AVX2
LAB_INLINE F Load(const Half* p) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))), 16));
}
LAB_INLINE void Store(Half* p, F a) {
  const __m256i u = _mm256_srli_epi32(_mm256_castps_si256(RoundBf16(a).v), 16);
  const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(u, u), 0x08);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(packed));
}
#else
LAB_INLINE F Load(const Half* p) { return LoadPart(p, W); }
LAB_INLINE void Store(Half* p, F a) { StorePart(p, a, W); }
#endif
#endif

// ---------------------------------------------------------------- pairs (pairs.h) of what lies in either form

/// Lane j: (low[j], high[j]) of the first `left` lanes; high may be null for zeros.
LAB_INLINE F PairsBelow(const float* low, const float* high, int64_t left) {
  if (left >= W) return PairLanes(Load(low), high ? Load(high) : F(0.0f));
  return PairLanes(LoadPart(low, left), high ? LoadPart(high, left) : F(0.0f));
}
LAB_INLINE F PairsBelow(const Half* low, const Half* high, int64_t left) {
#if defined(__AVX512BF16__)
  const __m256i zero = _mm256_setzero_si256();
  const __m256i first = left >= W ? Bits(low) : BitsOf(low, left), second = !high ? zero : left >= W ? Bits(high) : BitsOf(high, left);
  return _mm512_castsi512_ps(_mm512_permutexvar_epi16(PairOrder(), _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1)));
#else
  return PairLanes(LoadPart(low, left), high ? LoadPart(high, left) : F(0.0f));
#endif
}

/// 2 W neighbours in a row as W pairs.
LAB_INLINE F PairsBeside(const float* p) { return PairNeighbours(Load(p), Load(p + W)); }
LAB_INLINE F PairsBeside(const Half* p) {
  float pairs[W];
  std::memcpy(pairs, p, sizeof pairs);
  return Load(pairs);
}
/// to[0 : (count + 1) / 2] = the pairs of from[0 : count]; an odd last one pairs with zero.
LAB_INLINE void PairRow(const Half* from, int64_t count, float* to) {
  std::memcpy(to, from, static_cast<size_t>(count) * sizeof(Half));
  if (count % 2) std::memset(reinterpret_cast<Half*>(to) + count, 0, sizeof(Half));
}

/// An array to be written, as it lies in memory.
struct Room {
  void* p = nullptr;
  bool half = false;

  /// From its `count`-th number on.
  Room Past(int64_t count) const { return {static_cast<char*>(p) + count * static_cast<int64_t>(half ? sizeof(Half) : sizeof(float)), half}; }
  /// Writes the first `left` lanes (all, where W or more are left) from number `at` on.
  LAB_INLINE void Put(int64_t at, F a, int64_t left) const {
    if (half)
      left >= W ? Store(static_cast<Half*>(p) + at, a) : StorePart(static_cast<Half*>(p) + at, a, left);
    else
      left >= W ? Store(static_cast<float*>(p) + at, a) : StorePart(static_cast<float*>(p) + at, a, left);
  }
  /// run(pointer) with its type.
  template <class Run>
  void With(Run&& run) const {
    if (half) return run(static_cast<Half*>(p));
    run(static_cast<float*>(p));
  }
};
/// An array as it lies in memory.
struct Stored {
  const void* p = nullptr;
  bool half = false;

  Stored() = default;
  Stored(const float* floats) : p(floats) {}
  Stored(const void* array, bool asHalves) : p(array), half(asHalves) {}
  /// From its `count`-th number on.
  Stored Past(int64_t count) const { return half ? Stored(Halves() + count, true) : Stored(Floats() + count); }
  const float* Floats() const { return static_cast<const float*>(p); }
  const Half* Halves() const { return static_cast<const Half*>(p); }
};

}  // namespace lab

#endif
