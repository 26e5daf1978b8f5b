// The memory's own limit, to measure kernels against: arrays read, or read and written, as fast as vectors go.
#include "../core/lab.h"

namespace lab {
namespace {

constexpr int kAhead = 8;  // sums side by side, so that no addition waits for another

/// n: floats of x, floats a part. x [floats] to sums [parts]: x is read once.
void ReadPeak(const Call& c) {
  const int64_t floats = c.n[0], part = c.n[1];
  const float* x = c.In<float>(0);
  float* sums = c.Out<float>(0);
  ParallelFor(floats, part, [&](int64_t begin, int64_t end) {
    F sum[kAhead];
    for (F& one : sum) one = F(0.0f);
    int64_t i = begin;
    for (; i + kAhead * W <= end; i += kAhead * W)
      for (int v = 0; v < kAhead; ++v) sum[v] += Load(x + i + v * W);
    for (; i < end; i += W) sum[0] += end - i >= W ? Load(x + i) : LoadPart(x + i, end - i);
    F all(0.0f);
    for (const F& one : sum) all += one;
    sums[begin / part] = Sum(all);
  });
}
LAB_KERNEL("ReadPeak", ReadPeak);

/// n: floats of x, floats a part. x [floats] to y [floats], half of it: as much is written as read.
void CopyPeak(const Call& c) {
  const int64_t floats = c.n[0], part = c.n[1];
  const float* x = c.In<float>(0);
  float* y = c.Out<float>(0);
  ParallelFor(floats, part, [&](int64_t begin, int64_t end) {
    const F half(0.5f);
    int64_t i = begin;
    for (; i + W <= end; i += W) Store(y + i, half * Load(x + i));
    if (i < end) StorePart(y + i, half * LoadPart(x + i, end - i), end - i);
  });
}
LAB_KERNEL("CopyPeak", CopyPeak);

}  // namespace
}  // namespace lab
