// Dropout by Philox4x32-10: the mask is drawn anew wherever it is needed, many counters side by side.
#include "../core/lab.h"

namespace {

using namespace lab;

constexpr int kLanes = 64;  // counters at a time, enough for loops that compilers make vectors of; each gives four words
constexpr int64_t kGrain = 16384;

// The four words of counters first .. first + 63, four by four: words[4 * lane + j].
void Philox(uint64_t first, uint32_t step, uint32_t site, uint32_t seed, uint32_t* words) {
  uint32_t c0[kLanes], c1[kLanes], c2[kLanes], c3[kLanes];
  for (int l = 0; l < kLanes; ++l) {
    const uint64_t at = first + static_cast<uint64_t>(l);
    c0[l] = static_cast<uint32_t>(at);
    c1[l] = static_cast<uint32_t>(at >> 32);
    c2[l] = step;
    c3[l] = site;
  }
  uint32_t k0 = seed, k1 = 0;
  for (int round = 0; round < 10; ++round) {
    for (int l = 0; l < kLanes; ++l) {
      const uint64_t a = uint64_t{0xD2511F53u} * c0[l], b = uint64_t{0xCD9E8D57u} * c2[l];
      c0[l] = static_cast<uint32_t>(b >> 32) ^ c1[l] ^ k0;
      c1[l] = static_cast<uint32_t>(b);
      c2[l] = static_cast<uint32_t>(a >> 32) ^ c3[l] ^ k1;
      c3[l] = static_cast<uint32_t>(a);
    }
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  for (int l = 0; l < kLanes; ++l) {
    words[4 * l] = c0[l];
    words[4 * l + 1] = c1[l];
    words[4 * l + 2] = c2[l];
    words[4 * l + 3] = c3[l];
  }
}

// x and y: n numbers in rows of `row`; counter: step, and the row of the whole batch that x begins with.
void Dropout(const Call& c) {
  const int64_t n = c.n[0], row = c.n[1];
  const uint32_t seed = static_cast<uint32_t>(c.n[2]), site = static_cast<uint32_t>(c.n[3]);
  const uint32_t threshold = static_cast<uint32_t>(c.n[4]);
  const float scale = static_cast<float>(c.f[0]);
  const float* x = c.In<float>(0);
  const int32_t* counter = c.In<int32_t>(1);
  float* y = c.Out<float>(0);
  const uint32_t step = static_cast<uint32_t>(counter[0]);
  const uint64_t start = static_cast<uint64_t>(counter[1]) * static_cast<uint64_t>(row);
  ParallelFor(n, kGrain, [&](int64_t begin, int64_t end) {
    uint32_t words[4 * kLanes];
    for (int64_t i = begin; i < end;) {
      const uint64_t place = start + static_cast<uint64_t>(i);
      Philox(place / 4, step, site, seed, words);
      const int64_t skip = static_cast<int64_t>(place % 4);
      const int64_t count = end - i < 4 * kLanes - skip ? end - i : 4 * kLanes - skip;
      for (int64_t j = 0; j < count; ++j) y[i + j] = words[skip + j] >= threshold ? x[i + j] * scale : 0.0f;
      i += count;
    }
  });
}

}  // namespace

LAB_KERNEL("Dropout", Dropout);
LAB_KERNEL("DropoutGrad", Dropout);
