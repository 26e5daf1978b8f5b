// What decoding keeps in bfloat16: caches that grow, and products of a few rows with weights.
#include <algorithm>

#include "../core/rows.h"
#include "../core/served.h"

namespace lab {
namespace {

/// Numbers that words hold: two each.
int64_t Words(int64_t numbers) { return (numbers + 1) / 2; }

/// to = x [width], rounded to nearest even; an odd last number is followed by 0.
void RoundRow(const float* x, int64_t width, Half* to) {
  for (int64_t j = 0; j < width; j += W) StoreUpTo(to + j, LoadUpTo(x + j, width - j), width - j);
  if (width % 2) to[width] = Half{0};
}

/// n: rows, width. x [rows, width] to words [rows, Words(width)].
void HalvesOf(const Call& c) {
  const int64_t rows = c.n[0], width = c.n[1];
  const float* x = c.In<float>(0);
  Half* to = c.Out<Half>(0);
  ParallelFor(rows, Grain(width), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) RoundRow(x + i * width, width, to + i * 2 * Words(width));
  });
}
LAB_KERNEL("HalvesOf", HalvesOf);

/// n: rows, width. words [rows, Words(width)] to x [rows, width].
void FromHalves(const Call& c) {
  const int64_t rows = c.n[0], width = c.n[1];
  const Half* from = c.In<Half>(0);
  float* x = c.Out<float>(0);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < width; j += W) StoreUpTo(x + i * width + j, LoadUpTo(from + i * 2 * Words(width) + j, width - j), width - j);
}
LAB_KERNEL("FromHalves", FromHalves);

/// n: stretches, tokens that a stretch of the cache has room for, words of a token, new room. The tokens, then zeros.
void HalvesRoom(const Call& c) {
  const int64_t outer = c.n[0], tokens = c.n[1], words = c.n[2], room = c.n[3];
  const int32_t* from = c.In<int32_t>(0);
  int32_t* to = c.Out<int32_t>(0);
  for (int64_t i = 0; i < outer; ++i) {
    std::copy_n(from + i * tokens * words, tokens * words, to + i * room * words);
    std::fill_n(to + (i * room + tokens) * words, (room - tokens) * words, 0);
  }
}
LAB_KERNEL("HalvesRoom", HalvesRoom);

/// n: stretches, tokens of each, numbers of a token.
void HalvesAppend(const Call& c) {
  const int64_t outer = c.n[0], tokens = c.n[1], width = c.n[2], words = Words(width), at = c.In<int32_t>(2)[0];
  if (at < 0 || at >= tokens) return c.Fail("the token lies outside of the cache");
  const int32_t* cache = c.In<int32_t>(0);
  const float* row = c.In<float>(1);
  int32_t* to = c.Out<int32_t>(0);
  if (to != cache) std::copy_n(cache, outer * tokens * words, to);
  for (int64_t i = 0; i < outer; ++i) RoundRow(row + i * width, width, reinterpret_cast<Half*>(to + (i * tokens + at) * words));
}
LAB_KERNEL("HalvesAppend", HalvesAppend);

// The calls of ../linear and ../matmul with weights of halves, which lie without gaps; same numbers.

/// n: rows, inputs, maps, columns of each. `split`: the maps are columns of one weight.
void Maps(const Call& c, bool split) {
  const int count = static_cast<int>(c.n[2]);
  int64_t all = 0, at = 0;
  for (int i = 0; i < count; ++i) all += c.n[3 + i];
  Served x{c.n[0], c.n[1], false, count, c.In<float>(0), {}, {}};
  for (int i = 0; i < count; ++i) {
    const int64_t n = c.n[3 + i];
    if (split) x.b[i] = {c.In<Half>(1) + at, all};
    else x.b[i] = {c.In<Half>(1 + i), n};
    x.c[i] = {c.Out<float>(i), n, n, {0.0f, c.Out<float>(i), 0}};
    at += n;
  }
  MultiplyServed(x);
}
void ServedLinear(const Call& c) { Maps(c, false); }
LAB_KERNEL("ServedLinear", ServedLinear);
void ServedSplitLinear(const Call& c) { Maps(c, true); }
LAB_KERNEL("ServedSplitLinear", ServedSplitLinear);

/// n: as MatMul's; A is not transposed.
void ServedMatMul(const Call& c) {
  const int64_t batch = c.n[0], m = c.n[1], n = c.n[2], k = c.n[3], strideA = c.n[6], strideB = c.n[7];
  const bool transB = c.n[5] != 0, adds = c.inputs > 2 && c.In<float>(2), whole = adds && c.n[8] != 0;
  ParallelFor(batch, Grain(n * k, 65536), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      float* y = c.Out<float>(0) + i * m * n;
      Served x{m, k, transB, 1, c.In<float>(0) + i * strideA, {}, {}};
      x.b[0] = {c.In<Half>(1) + i * strideB, transB ? k : n};
      x.c[0] = {y, n, n, {adds ? 1.0f : 0.0f, adds ? c.In<float>(2) + (whole ? i * m * n : 0) : y, whole ? n : 0}};
      MultiplyServed(x);
    }
  });
}
LAB_KERNEL("ServedMatMul", ServedMatMul);

}  // namespace
}  // namespace lab
