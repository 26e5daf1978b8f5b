// Vectors of floats of the width that the compiler was asked for: F, of W lanes, and Mask. Functions over them are in simd-math.h.
#ifndef LAB_SIMD_H
#define LAB_SIMD_H

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#if defined(__AVX512F__)
#include <immintrin.h>
#define LAB_AVX512 1
#elif defined(__AVX2__)
#include <immintrin.h>
#define LAB_AVX2 1
#elif defined(__SSE2__) || defined(_M_X64)
#include <emmintrin.h>
#define LAB_SSE2 1
#elif defined(__ARM_NEON) || defined(_M_ARM64)
#include <arm_neon.h>
#define LAB_NEON 1
#else
#define LAB_PLAIN 1
#endif

#if defined(_MSC_VER)
#define LAB_INLINE __forceinline
#define LAB_RESTRICT __restrict
#else
#define LAB_INLINE inline __attribute__((always_inline))
#define LAB_RESTRICT __restrict__
#endif

// For loops over registers, which have to vanish at any optimisation level.
#if defined(__GNUC__)
#define LAB_UNROLL _Pragma("GCC unroll 16")
#else
#define LAB_UNROLL
#endif

namespace lab {

#if LAB_AVX512

constexpr int W = 16;
struct Mask { __mmask16 v; };
struct F {
  __m512 v;
  F() = default;
  LAB_INLINE F(__m512 x) : v(x) {}
  LAB_INLINE F(float x) : v(_mm512_set1_ps(x)) {}
};
LAB_INLINE F Load(const float* p) { return _mm512_loadu_ps(p); }
LAB_INLINE void Store(float* p, F a) { _mm512_storeu_ps(p, a.v); }
LAB_INLINE __mmask16 FirstLanes(int64_t k) { return static_cast<__mmask16>(k >= 16 ? 0xffffu : (1u << k) - 1u); }
LAB_INLINE F LoadPart(const float* p, int64_t k) { return _mm512_maskz_loadu_ps(FirstLanes(k), p); }
LAB_INLINE void StorePart(float* p, F a, int64_t k) { _mm512_mask_storeu_ps(p, FirstLanes(k), a.v); }
LAB_INLINE F operator+(F a, F b) { return _mm512_add_ps(a.v, b.v); }
LAB_INLINE F operator-(F a, F b) { return _mm512_sub_ps(a.v, b.v); }
LAB_INLINE F operator*(F a, F b) { return _mm512_mul_ps(a.v, b.v); }
LAB_INLINE F operator/(F a, F b) { return _mm512_div_ps(a.v, b.v); }
LAB_INLINE F Fma(F a, F b, F c) { return _mm512_fmadd_ps(a.v, b.v, c.v); }
LAB_INLINE F Max(F a, F b) { return _mm512_max_ps(a.v, b.v); }
LAB_INLINE F Min(F a, F b) { return _mm512_min_ps(a.v, b.v); }
LAB_INLINE F Sqrt(F a) { return _mm512_sqrt_ps(a.v); }
LAB_INLINE F Abs(F a) { return _mm512_abs_ps(a.v); }
LAB_INLINE F Neg(F a) { return _mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(a.v), _mm512_set1_epi32(INT32_MIN))); }
LAB_INLINE F CopySign(F a, F sign) {
  const __m512i s = _mm512_set1_epi32(INT32_MIN);
  return _mm512_castsi512_ps(_mm512_or_si512(_mm512_andnot_si512(s, _mm512_castps_si512(a.v)), _mm512_and_si512(s, _mm512_castps_si512(sign.v))));
}
LAB_INLINE F Round(F a) { return _mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
LAB_INLINE Mask Lt(F a, F b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)}; }
LAB_INLINE Mask Le(F a, F b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LE_OQ)}; }
LAB_INLINE Mask Eq(F a, F b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ)}; }
LAB_INLINE Mask Not(Mask m) { return {static_cast<__mmask16>(~m.v)}; }
LAB_INLINE Mask And(Mask a, Mask b) { return {static_cast<__mmask16>(a.v & b.v)}; }
LAB_INLINE Mask Or(Mask a, Mask b) { return {static_cast<__mmask16>(a.v | b.v)}; }
LAB_INLINE F Select(Mask m, F yes, F no) { return _mm512_mask_blend_ps(m.v, no.v, yes.v); }
LAB_INLINE float Sum(F a) { return _mm512_reduce_add_ps(a.v); }
LAB_INLINE float MaxOf(F a) { return _mm512_reduce_max_ps(a.v); }
LAB_INLINE float MinOf(F a) { return _mm512_reduce_min_ps(a.v); }
/// a 2^n for integral n; overflows to infinity, underflows to zero.
LAB_INLINE F Scale2(F a, F n) { return _mm512_scalef_ps(a.v, n.v); }
/// m in [0.5, 1) and e with x = m 2^e, for finite x > 0.
LAB_INLINE F Fraction(F x, F* e) {
  *e = _mm512_add_ps(_mm512_getexp_ps(x.v), _mm512_set1_ps(1.0f));
  return _mm512_getmant_ps(x.v, _MM_MANT_NORM_p5_1, _MM_MANT_SIGN_src);
}
LAB_INLINE F RoundBf16(F a) {  // to nearest even; NaN stays NaN
  const __m512i u = _mm512_castps_si512(a.v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
  const __m512i r = _mm512_and_si512(_mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), _mm512_set1_epi32(static_cast<int>(0xffff0000u)));
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q), _mm512_castsi512_ps(r), a.v);
}

#elif LAB_AVX2

constexpr int W = 8;
struct Mask { __m256 v; };
struct F {
  __m256 v;
  F() = default;
  LAB_INLINE F(__m256 x) : v(x) {}
  LAB_INLINE F(float x) : v(_mm256_set1_ps(x)) {}
};
LAB_INLINE F Load(const float* p) { return _mm256_loadu_ps(p); }
LAB_INLINE void Store(float* p, F a) { _mm256_storeu_ps(p, a.v); }
LAB_INLINE __m256i FirstLanes(int64_t k) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(k)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
LAB_INLINE F LoadPart(const float* p, int64_t k) { return _mm256_maskload_ps(p, FirstLanes(k)); }
LAB_INLINE void StorePart(float* p, F a, int64_t k) { _mm256_maskstore_ps(p, FirstLanes(k), a.v); }
LAB_INLINE F operator+(F a, F b) { return _mm256_add_ps(a.v, b.v); }
LAB_INLINE F operator-(F a, F b) { return _mm256_sub_ps(a.v, b.v); }
LAB_INLINE F operator*(F a, F b) { return _mm256_mul_ps(a.v, b.v); }
LAB_INLINE F operator/(F a, F b) { return _mm256_div_ps(a.v, b.v); }
LAB_INLINE F Fma(F a, F b, F c) { return _mm256_fmadd_ps(a.v, b.v, c.v); }
LAB_INLINE F Max(F a, F b) { return _mm256_max_ps(a.v, b.v); }
LAB_INLINE F Min(F a, F b) { return _mm256_min_ps(a.v, b.v); }
LAB_INLINE F Sqrt(F a) { return _mm256_sqrt_ps(a.v); }
LAB_INLINE F Abs(F a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v); }
LAB_INLINE F Neg(F a) { return _mm256_xor_ps(_mm256_set1_ps(-0.0f), a.v); }
LAB_INLINE F CopySign(F a, F sign) {
  const __m256 s = _mm256_set1_ps(-0.0f);
  return _mm256_or_ps(_mm256_andnot_ps(s, a.v), _mm256_and_ps(s, sign.v));
}
LAB_INLINE F Round(F a) { return _mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
LAB_INLINE Mask Lt(F a, F b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ)}; }
LAB_INLINE Mask Le(F a, F b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_LE_OQ)}; }
LAB_INLINE Mask Eq(F a, F b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_EQ_OQ)}; }
LAB_INLINE Mask Not(Mask m) { return {_mm256_xor_ps(m.v, _mm256_castsi256_ps(_mm256_set1_epi32(-1)))}; }
LAB_INLINE Mask And(Mask a, Mask b) { return {_mm256_and_ps(a.v, b.v)}; }
LAB_INLINE Mask Or(Mask a, Mask b) { return {_mm256_or_ps(a.v, b.v)}; }
LAB_INLINE F Select(Mask m, F yes, F no) { return _mm256_blendv_ps(no.v, yes.v, m.v); }
LAB_INLINE float Sum(F a) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
}
LAB_INLINE float MaxOf(F a) {
  __m128 s = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  s = _mm_max_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_max_ss(s, _mm_shuffle_ps(s, s, 1)));
}
LAB_INLINE float MinOf(F a) {
  __m128 s = _mm_min_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  s = _mm_min_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_min_ss(s, _mm_shuffle_ps(s, s, 1)));
}
LAB_INLINE F Scale2(F a, F n) {  // in two halves, so that both ends of the range come out right
  const __m256i i = _mm256_cvtps_epi32(n.v);
  const __m256i h = _mm256_srai_epi32(i, 1);
  const __m256i bias = _mm256_set1_epi32(127);
  const __m256 p = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(h, bias), 23));
  const __m256 q = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(i, h), bias), 23));
  return _mm256_mul_ps(_mm256_mul_ps(a.v, p), q);
}
LAB_INLINE F Fraction(F x, F* e) {
  const __m256 small = _mm256_cmp_ps(x.v, _mm256_set1_ps(1.17549435e-38f), _CMP_LT_OQ);
  const __m256 y = _mm256_blendv_ps(x.v, _mm256_mul_ps(x.v, _mm256_set1_ps(8388608.0f)), small);
  const __m256i u = _mm256_castps_si256(y);
  const __m256i exponent = _mm256_sub_epi32(_mm256_and_si256(_mm256_srli_epi32(u, 23), _mm256_set1_epi32(255)), _mm256_set1_epi32(126));
  *e = _mm256_sub_ps(_mm256_cvtepi32_ps(exponent), _mm256_and_ps(small, _mm256_set1_ps(23.0f)));
  return _mm256_castsi256_ps(_mm256_or_si256(_mm256_and_si256(u, _mm256_set1_epi32(0x007fffff)), _mm256_set1_epi32(0x3f000000)));
}
LAB_INLINE F RoundBf16(F a) {
  const __m256i u = _mm256_castps_si256(a.v);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
  const __m256i r = _mm256_and_si256(_mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), _mm256_set1_epi32(static_cast<int>(0xffff0000u)));
  return _mm256_blendv_ps(_mm256_castsi256_ps(r), a.v, _mm256_cmp_ps(a.v, a.v, _CMP_UNORD_Q));
}

#elif LAB_SSE2

constexpr int W = 4;
struct Mask { __m128 v; };
struct F {
  __m128 v;
  F() = default;
  LAB_INLINE F(__m128 x) : v(x) {}
  LAB_INLINE F(float x) : v(_mm_set1_ps(x)) {}
};
LAB_INLINE F Load(const float* p) { return _mm_loadu_ps(p); }
LAB_INLINE void Store(float* p, F a) { _mm_storeu_ps(p, a.v); }
LAB_INLINE F LoadPart(const float* p, int64_t k) {
  float t[4] = {0, 0, 0, 0};
  for (int64_t i = 0; i < k && i < 4; ++i) t[i] = p[i];
  return _mm_loadu_ps(t);
}
LAB_INLINE void StorePart(float* p, F a, int64_t k) {
  float t[4];
  _mm_storeu_ps(t, a.v);
  for (int64_t i = 0; i < k && i < 4; ++i) p[i] = t[i];
}
LAB_INLINE F operator+(F a, F b) { return _mm_add_ps(a.v, b.v); }
LAB_INLINE F operator-(F a, F b) { return _mm_sub_ps(a.v, b.v); }
LAB_INLINE F operator*(F a, F b) { return _mm_mul_ps(a.v, b.v); }
LAB_INLINE F operator/(F a, F b) { return _mm_div_ps(a.v, b.v); }
LAB_INLINE F Fma(F a, F b, F c) { return _mm_add_ps(_mm_mul_ps(a.v, b.v), c.v); }
LAB_INLINE F Max(F a, F b) { return _mm_max_ps(a.v, b.v); }
LAB_INLINE F Min(F a, F b) { return _mm_min_ps(a.v, b.v); }
LAB_INLINE F Sqrt(F a) { return _mm_sqrt_ps(a.v); }
LAB_INLINE F Abs(F a) { return _mm_andnot_ps(_mm_set1_ps(-0.0f), a.v); }
LAB_INLINE F Neg(F a) { return _mm_xor_ps(_mm_set1_ps(-0.0f), a.v); }
LAB_INLINE F CopySign(F a, F sign) {
  const __m128 s = _mm_set1_ps(-0.0f);
  return _mm_or_ps(_mm_andnot_ps(s, a.v), _mm_and_ps(s, sign.v));
}
LAB_INLINE Mask Lt(F a, F b) { return {_mm_cmplt_ps(a.v, b.v)}; }
LAB_INLINE Mask Le(F a, F b) { return {_mm_cmple_ps(a.v, b.v)}; }
LAB_INLINE Mask Eq(F a, F b) { return {_mm_cmpeq_ps(a.v, b.v)}; }
LAB_INLINE Mask Not(Mask m) { return {_mm_xor_ps(m.v, _mm_castsi128_ps(_mm_set1_epi32(-1)))}; }
LAB_INLINE Mask And(Mask a, Mask b) { return {_mm_and_ps(a.v, b.v)}; }
LAB_INLINE Mask Or(Mask a, Mask b) { return {_mm_or_ps(a.v, b.v)}; }
LAB_INLINE F Select(Mask m, F yes, F no) { return _mm_or_ps(_mm_and_ps(m.v, yes.v), _mm_andnot_ps(m.v, no.v)); }
LAB_INLINE F Round(F a) {  // beyond 2^23 there is no fraction (and NaN must pass)
  const F r = _mm_cvtepi32_ps(_mm_cvtps_epi32(a.v));
  return Select(Lt(Abs(a), F(8388608.0f)), CopySign(r, a), a);
}
LAB_INLINE float Sum(F a) {
  const __m128 s = _mm_add_ps(a.v, _mm_movehl_ps(a.v, a.v));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
}
LAB_INLINE float MaxOf(F a) {
  const __m128 s = _mm_max_ps(a.v, _mm_movehl_ps(a.v, a.v));
  return _mm_cvtss_f32(_mm_max_ss(s, _mm_shuffle_ps(s, s, 1)));
}
LAB_INLINE float MinOf(F a) {
  const __m128 s = _mm_min_ps(a.v, _mm_movehl_ps(a.v, a.v));
  return _mm_cvtss_f32(_mm_min_ss(s, _mm_shuffle_ps(s, s, 1)));
}
LAB_INLINE F Scale2(F a, F n) {
  const __m128i i = _mm_cvtps_epi32(n.v);
  const __m128i h = _mm_srai_epi32(i, 1);
  const __m128i bias = _mm_set1_epi32(127);
  const __m128 p = _mm_castsi128_ps(_mm_slli_epi32(_mm_add_epi32(h, bias), 23));
  const __m128 q = _mm_castsi128_ps(_mm_slli_epi32(_mm_add_epi32(_mm_sub_epi32(i, h), bias), 23));
  return _mm_mul_ps(_mm_mul_ps(a.v, p), q);
}
LAB_INLINE F Fraction(F x, F* e) {
  const Mask small = Lt(x, F(1.17549435e-38f));
  const F y = Select(small, x * F(8388608.0f), x);
  const __m128i u = _mm_castps_si128(y.v);
  const __m128i exponent = _mm_sub_epi32(_mm_and_si128(_mm_srli_epi32(u, 23), _mm_set1_epi32(255)), _mm_set1_epi32(126));
  *e = _mm_sub_ps(_mm_cvtepi32_ps(exponent), _mm_and_ps(small.v, _mm_set1_ps(23.0f)));
  return _mm_castsi128_ps(_mm_or_si128(_mm_and_si128(u, _mm_set1_epi32(0x007fffff)), _mm_set1_epi32(0x3f000000)));
}
LAB_INLINE F RoundBf16(F a) {
  const __m128i u = _mm_castps_si128(a.v);
  const __m128i odd = _mm_and_si128(_mm_srli_epi32(u, 16), _mm_set1_epi32(1));
  const __m128i r = _mm_and_si128(_mm_add_epi32(u, _mm_add_epi32(odd, _mm_set1_epi32(0x7fff))), _mm_set1_epi32(static_cast<int>(0xffff0000u)));
  return Select(Eq(a, a), F(_mm_castsi128_ps(r)), a);
}

#elif LAB_NEON

constexpr int W = 4;
struct Mask { uint32x4_t v; };
struct F {
  float32x4_t v;
  F() = default;
  LAB_INLINE F(float32x4_t x) : v(x) {}
  LAB_INLINE F(float x) : v(vdupq_n_f32(x)) {}
};
LAB_INLINE F Load(const float* p) { return vld1q_f32(p); }
LAB_INLINE void Store(float* p, F a) { vst1q_f32(p, a.v); }
LAB_INLINE F LoadPart(const float* p, int64_t k) {
  float t[4] = {0, 0, 0, 0};
  for (int64_t i = 0; i < k && i < 4; ++i) t[i] = p[i];
  return vld1q_f32(t);
}
LAB_INLINE void StorePart(float* p, F a, int64_t k) {
  float t[4];
  vst1q_f32(t, a.v);
  for (int64_t i = 0; i < k && i < 4; ++i) p[i] = t[i];
}
LAB_INLINE F operator+(F a, F b) { return vaddq_f32(a.v, b.v); }
LAB_INLINE F operator-(F a, F b) { return vsubq_f32(a.v, b.v); }
LAB_INLINE F operator*(F a, F b) { return vmulq_f32(a.v, b.v); }
LAB_INLINE F operator/(F a, F b) { return vdivq_f32(a.v, b.v); }
LAB_INLINE F Fma(F a, F b, F c) { return vfmaq_f32(c.v, a.v, b.v); }
LAB_INLINE Mask Lt(F a, F b) { return {vcltq_f32(a.v, b.v)}; }
LAB_INLINE Mask Le(F a, F b) { return {vcleq_f32(a.v, b.v)}; }
LAB_INLINE Mask Eq(F a, F b) { return {vceqq_f32(a.v, b.v)}; }
LAB_INLINE Mask Not(Mask m) { return {vmvnq_u32(m.v)}; }
LAB_INLINE Mask And(Mask a, Mask b) { return {vandq_u32(a.v, b.v)}; }
LAB_INLINE Mask Or(Mask a, Mask b) { return {vorrq_u32(a.v, b.v)}; }
LAB_INLINE F Select(Mask m, F yes, F no) { return vbslq_f32(m.v, yes.v, no.v); }
LAB_INLINE F Max(F a, F b) { return Select(Lt(b, a), a, b); }  // as on x86: b where either is NaN
LAB_INLINE F Min(F a, F b) { return Select(Lt(a, b), a, b); }
LAB_INLINE F Sqrt(F a) { return vsqrtq_f32(a.v); }
LAB_INLINE F Abs(F a) { return vabsq_f32(a.v); }
LAB_INLINE F Neg(F a) { return vnegq_f32(a.v); }
LAB_INLINE F CopySign(F a, F sign) { return vbslq_f32(vdupq_n_u32(0x80000000u), sign.v, a.v); }
LAB_INLINE F Round(F a) { return vrndnq_f32(a.v); }
LAB_INLINE float Sum(F a) { return vaddvq_f32(a.v); }
LAB_INLINE float MaxOf(F a) { return vmaxvq_f32(a.v); }
LAB_INLINE float MinOf(F a) { return vminvq_f32(a.v); }
LAB_INLINE F Scale2(F a, F n) {
  const int32x4_t i = vcvtq_s32_f32(n.v);
  const int32x4_t h = vshrq_n_s32(i, 1);
  const int32x4_t bias = vdupq_n_s32(127);
  const float32x4_t p = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(h, bias), 23));
  const float32x4_t q = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vsubq_s32(i, h), bias), 23));
  return vmulq_f32(vmulq_f32(a.v, p), q);
}
LAB_INLINE F Fraction(F x, F* e) {
  const Mask small = Lt(x, F(1.17549435e-38f));
  const F y = Select(small, x * F(8388608.0f), x);
  const uint32x4_t u = vreinterpretq_u32_f32(y.v);
  const int32x4_t exponent = vsubq_s32(vreinterpretq_s32_u32(vandq_u32(vshrq_n_u32(u, 23), vdupq_n_u32(255))), vdupq_n_s32(126));
  *e = F(vcvtq_f32_s32(exponent)) - Select(small, F(23.0f), F(0.0f));
  return vreinterpretq_f32_u32(vorrq_u32(vandq_u32(u, vdupq_n_u32(0x007fffff)), vdupq_n_u32(0x3f000000)));
}
LAB_INLINE F RoundBf16(F a) {
  const uint32x4_t u = vreinterpretq_u32_f32(a.v);
  const uint32x4_t odd = vandq_u32(vshrq_n_u32(u, 16), vdupq_n_u32(1));
  const uint32x4_t r = vandq_u32(vaddq_u32(u, vaddq_u32(odd, vdupq_n_u32(0x7fff))), vdupq_n_u32(0xffff0000u));
  return Select(Eq(a, a), F(vreinterpretq_f32_u32(r)), a);
}

#else

constexpr int W = 4;
struct Mask { bool v[4]; };
struct F {
  float v[4];
  F() = default;
  F(float x) : v{x, x, x, x} {}
};
template <class Op>
LAB_INLINE F Lanes(Op op) {
  F r;
  for (int i = 0; i < 4; ++i) r.v[i] = op(i);
  return r;
}
template <class Op>
LAB_INLINE Mask MaskLanes(Op op) {
  Mask r;
  for (int i = 0; i < 4; ++i) r.v[i] = op(i);
  return r;
}
LAB_INLINE F Load(const float* p) { return Lanes([&](int i) { return p[i]; }); }
LAB_INLINE void Store(float* p, F a) { for (int i = 0; i < 4; ++i) p[i] = a.v[i]; }
LAB_INLINE F LoadPart(const float* p, int64_t k) { return Lanes([&](int i) { return i < k ? p[i] : 0.0f; }); }
LAB_INLINE void StorePart(float* p, F a, int64_t k) { for (int i = 0; i < 4 && i < k; ++i) p[i] = a.v[i]; }
LAB_INLINE F operator+(F a, F b) { return Lanes([&](int i) { return a.v[i] + b.v[i]; }); }
LAB_INLINE F operator-(F a, F b) { return Lanes([&](int i) { return a.v[i] - b.v[i]; }); }
LAB_INLINE F operator*(F a, F b) { return Lanes([&](int i) { return a.v[i] * b.v[i]; }); }
LAB_INLINE F operator/(F a, F b) { return Lanes([&](int i) { return a.v[i] / b.v[i]; }); }
LAB_INLINE F Fma(F a, F b, F c) { return Lanes([&](int i) { return a.v[i] * b.v[i] + c.v[i]; }); }
LAB_INLINE F Max(F a, F b) { return Lanes([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; }); }
LAB_INLINE F Min(F a, F b) { return Lanes([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; }); }
LAB_INLINE F Sqrt(F a) { return Lanes([&](int i) { return std::sqrt(a.v[i]); }); }
LAB_INLINE F Abs(F a) { return Lanes([&](int i) { return std::fabs(a.v[i]); }); }
LAB_INLINE F Neg(F a) { return Lanes([&](int i) { return -a.v[i]; }); }
LAB_INLINE F CopySign(F a, F s) { return Lanes([&](int i) { return std::copysign(a.v[i], s.v[i]); }); }
LAB_INLINE F Round(F a) { return Lanes([&](int i) { return std::nearbyint(a.v[i]); }); }
LAB_INLINE Mask Lt(F a, F b) { return MaskLanes([&](int i) { return a.v[i] < b.v[i]; }); }
LAB_INLINE Mask Le(F a, F b) { return MaskLanes([&](int i) { return a.v[i] <= b.v[i]; }); }
LAB_INLINE Mask Eq(F a, F b) { return MaskLanes([&](int i) { return a.v[i] == b.v[i]; }); }
LAB_INLINE Mask Not(Mask m) { return MaskLanes([&](int i) { return !m.v[i]; }); }
LAB_INLINE Mask And(Mask a, Mask b) { return MaskLanes([&](int i) { return a.v[i] && b.v[i]; }); }
LAB_INLINE Mask Or(Mask a, Mask b) { return MaskLanes([&](int i) { return a.v[i] || b.v[i]; }); }
LAB_INLINE F Select(Mask m, F yes, F no) { return Lanes([&](int i) { return m.v[i] ? yes.v[i] : no.v[i]; }); }
LAB_INLINE float Sum(F a) { return (a.v[0] + a.v[2]) + (a.v[1] + a.v[3]); }
LAB_INLINE float MaxOf(F a) { return std::fmax(std::fmax(a.v[0], a.v[1]), std::fmax(a.v[2], a.v[3])); }
LAB_INLINE float MinOf(F a) { return std::fmin(std::fmin(a.v[0], a.v[1]), std::fmin(a.v[2], a.v[3])); }
LAB_INLINE F Scale2(F a, F n) { return Lanes([&](int i) { return std::ldexp(a.v[i], n.v[i] != n.v[i] ? 0 : static_cast<int>(n.v[i])); }); }
LAB_INLINE F Fraction(F x, F* e) {
  return Lanes([&](int i) {
    int exponent = 0;
    const float m = std::frexp(x.v[i], &exponent);
    e->v[i] = static_cast<float>(exponent);
    return m;
  });
}
LAB_INLINE F RoundBf16(F a) {
  return Lanes([&](int i) {
    if (a.v[i] != a.v[i]) return a.v[i];
    uint32_t u;
    std::memcpy(&u, &a.v[i], 4);
    u = (u + 0x7fffu + ((u >> 16) & 1u)) & 0xffff0000u;
    float r;
    std::memcpy(&r, &u, 4);
    return r;
  });
}

#endif

LAB_INLINE F& operator+=(F& a, F b) { return a = a + b; }
LAB_INLINE F& operator-=(F& a, F b) { return a = a - b; }
LAB_INLINE F& operator*=(F& a, F b) { return a = a * b; }
LAB_INLINE Mask Gt(F a, F b) { return Lt(b, a); }
LAB_INLINE Mask Ge(F a, F b) { return Le(b, a); }
LAB_INLINE Mask Ne(F a, F b) { return Not(Eq(a, b)); }  // true where either is NaN
/// to[c * ldTo + r] = from[r * ldFrom + c] for r, c in 0..3.
LAB_INLINE void Transpose4x4(const float* from, int64_t ldFrom, float* to, int64_t ldTo) {
#if LAB_AVX512 || LAB_AVX2 || LAB_SSE2
  const __m128 a = _mm_loadu_ps(from), b = _mm_loadu_ps(from + ldFrom), c = _mm_loadu_ps(from + 2 * ldFrom), d = _mm_loadu_ps(from + 3 * ldFrom);
  const __m128 ab0 = _mm_unpacklo_ps(a, b), cd0 = _mm_unpacklo_ps(c, d), ab1 = _mm_unpackhi_ps(a, b), cd1 = _mm_unpackhi_ps(c, d);
  _mm_storeu_ps(to, _mm_movelh_ps(ab0, cd0));
  _mm_storeu_ps(to + ldTo, _mm_movehl_ps(cd0, ab0));
  _mm_storeu_ps(to + 2 * ldTo, _mm_movelh_ps(ab1, cd1));
  _mm_storeu_ps(to + 3 * ldTo, _mm_movehl_ps(cd1, ab1));
#elif LAB_NEON
  const float32x4x2_t ab = vtrnq_f32(vld1q_f32(from), vld1q_f32(from + ldFrom));
  const float32x4x2_t cd = vtrnq_f32(vld1q_f32(from + 2 * ldFrom), vld1q_f32(from + 3 * ldFrom));
  vst1q_f32(to, vcombine_f32(vget_low_f32(ab.val[0]), vget_low_f32(cd.val[0])));
  vst1q_f32(to + ldTo, vcombine_f32(vget_low_f32(ab.val[1]), vget_low_f32(cd.val[1])));
  vst1q_f32(to + 2 * ldTo, vcombine_f32(vget_high_f32(ab.val[0]), vget_high_f32(cd.val[0])));
  vst1q_f32(to + 3 * ldTo, vcombine_f32(vget_high_f32(ab.val[1]), vget_high_f32(cd.val[1])));
#else
  for (int r = 0; r < 4; ++r)
    for (int c = 0; c < 4; ++c) to[c * ldTo + r] = from[r * ldFrom + c];
#endif
}

#if LAB_AVX512
/// to [16][ldTo], the first `rows` lanes of each row = row(0) .. row(rows - 1), vectors, turned over; rows at most 16.
template <class Row>
LAB_INLINE void Transpose16(int64_t rows, Row&& row, float* to, int64_t ldTo) {
  __m512 r[16], t[16];
  for (int i = 0; i < 16; ++i) r[i] = i < rows ? row(i).v : _mm512_setzero_ps();
  // Four rows by four columns within each quarter of a vector, then the quarters.
  for (int i = 0; i < 16; i += 4) {
    const __m512d ab0 = _mm512_castps_pd(_mm512_unpacklo_ps(r[i], r[i + 1])), ab1 = _mm512_castps_pd(_mm512_unpackhi_ps(r[i], r[i + 1]));
    const __m512d cd0 = _mm512_castps_pd(_mm512_unpacklo_ps(r[i + 2], r[i + 3])), cd1 = _mm512_castps_pd(_mm512_unpackhi_ps(r[i + 2], r[i + 3]));
    t[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(ab0, cd0));
    t[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(ab0, cd0));
    t[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(ab1, cd1));
    t[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(ab1, cd1));
  }
  for (int i = 0; i < 4; ++i) {
    const __m512 even01 = _mm512_shuffle_f32x4(t[i], t[i + 4], 0x88), odd01 = _mm512_shuffle_f32x4(t[i], t[i + 4], 0xdd);
    const __m512 even23 = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0x88), odd23 = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0xdd);
    r[i] = _mm512_shuffle_f32x4(even01, even23, 0x88);
    r[i + 4] = _mm512_shuffle_f32x4(odd01, odd23, 0x88);
    r[i + 8] = _mm512_shuffle_f32x4(even01, even23, 0xdd);
    r[i + 12] = _mm512_shuffle_f32x4(odd01, odd23, 0xdd);
  }
  for (int i = 0; i < 16; ++i) StorePart(to + i * ldTo, r[i], rows);
}
#endif

/// 0, 1, 2 ... by lane.
LAB_INLINE F Iota() {
  static constexpr float lanes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return Load(lanes);
}

}  // namespace lab

#include "simd-math.h"

#endif
