// What the tile unit (AMX) gives, as the first and only program of a system that an emulator of the processor runs (build/amx.mjs): every product is made
// by the unit, by plain loops in its place, and in float64 from the rounded numbers. Writes lines to port e9, and ends the emulator.
#include <sys/io.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <limits>
#include <vector>

#include "../../kernels/core/cpu.h"
#include "../../kernels/core/product.h"
#include "../../kernels/core/registry.h"
#include "../../kernels/core/rounded.h"
#include "../../kernels/core/tiles.h"

namespace lab {
std::vector<Entry>& Entries() {
  static std::vector<Entry>* entries = new std::vector<Entry>;
  return *entries;
}
Registration::Registration(const char* name, Kernel kernel, Able able) { Entries().push_back({name, kernel, able}); }
}  // namespace lab

namespace {

using lab::Tiles;

void Say(const char* form, ...) {
  char line[256];
  va_list list;
  va_start(list, form);
  const int length = std::vsnprintf(line, sizeof line, form, list);
  va_end(list);
  for (int i = 0; i < length && i < static_cast<int>(sizeof line) - 1; ++i) outb(line[i], 0xe9);
}
[[noreturn]] void End(int failures) {
  Say("%s: %d failures\n", failures == 0 ? "PASSED" : "FAILED", failures);
  for (const char* c = "Shutdown"; *c; ++c) outb(*c, 0x8900);  // Bochs ends at that
  while (true) pause();
}

uint32_t state = 1;
/// A number in (-1, 1).
float Draw() {
  state = state * 1664525u + 1013904223u;
  return static_cast<float>(static_cast<int32_t>(state >> 8) - (1 << 23)) / (1 << 23);
}
std::vector<float> Numbers(int64_t count) {
  std::vector<float> x(static_cast<size_t>(count));
  for (float& one : x) one = Draw();
  return x;
}
std::vector<float> Rounded(std::vector<float> x) {
  for (float& one : x) {
    float lanes[lab::W];
    lab::Store(lanes, lab::RoundBf16(lab::F(one)));
    one = lanes[0];
  }
  return x;
}
const float kNaN = std::numeric_limits<float>::quiet_NaN();

int failures = 0, checks = 0;

/// `make(c)` writes [m, n] on whatever UseTiles says; `right(i, j)` is what it should be, where terms below 1 in number `terms` were summed.
template <class Make, class Right>
void Check(const char* name, int64_t m, int64_t n, int64_t terms, const std::vector<float>& before, Make make, Right right) {
  std::vector<float> unit(before), loops(before);
  lab::UseTiles(Tiles::kLoops);
  make(loops.data());
  lab::UseTiles(Tiles::kUnit);
  make(unit.data());
  // Terms up to 1; partial sums grow as sqrt(k), the walk of k roundings of 2^-24 with them.
  const double bound = 1e-7 * static_cast<double>(terms) + 1e-6;
  double worst = 0;
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      const double error = std::fabs(unit[i * n + j] - right(i, j));
      worst = error <= worst ? worst : error;  // NaN counts
      if (std::isnan(error)) worst = error;
    }
  const bool same = std::memcmp(unit.data(), loops.data(), unit.size() * sizeof(float)) == 0, near = worst <= bound;
  ++checks;
  if (same && near) return;
  ++failures;
  Say("%s [%d, %d], %d terms: off by %g, allowed %g; %s\n", name, (int)m, (int)n, (int)terms, worst, bound, same ? "as the loops" : "other bits than the loops");
}

/// C = op(A) op(B) + addend by way of `multiply`. add: 0 nothing, 1 a row, 2 what C holds.
void Whole(int64_t m, int64_t n, int64_t k, bool transA, bool transB, int add) {
  const std::vector<float> a = Numbers(m * k), b = Numbers(k * n), x = Rounded(a), y = Rounded(b), row = Numbers(n);
  std::vector<float> before(static_cast<size_t>(m * n), kNaN);
  if (add == 2) before = Numbers(m * n);
  Check("product", m, n, k, before, [&](float* c) {
    struct lab::Product product{m, transA, transB, 1, 1, {}, {}, {}};
    product.a[0] = {a.data(), transA ? m : k, k};
    product.b[0][0] = {b.data(), transB ? k : n};
    product.c[0] = {c, n, n, {add ? 1.0f : 0.0f, add == 1 ? row.data() : c, add == 1 ? 0 : n}};
    lab::Multiply(product);
  }, [&](int64_t i, int64_t j) {
    double sum = add == 1 ? row[j] : add == 2 ? before[i * n + j] : 0;
    for (int64_t p = 0; p < k; ++p) sum += static_cast<double>(x[transA ? p * m + i : i * k + p]) * y[transB ? j * k + p : p * n + j];
    return sum;
  });
}

/// alpha A B + beta C.
void Scaled(int64_t m, int64_t n, int64_t k, float alpha, float beta) {
  const std::vector<float> a = Numbers(m * k), b = Numbers(k * n), x = Rounded(a), y = Rounded(b), before = Numbers(m * n);
  Check("scaled product", m, n, k, before, [&](float* c) {
    lab::Gemm(false, false, m, n, k, alpha, a.data(), k, b.data(), n, beta, c, n);
  }, [&](int64_t i, int64_t j) {
    double sum = 0;
    for (int64_t p = 0; p < k; ++p) sum += static_cast<double>(x[i * k + p]) * y[p * n + j];
    return alpha * sum + beta * before[i * n + j];
  });
}

/// A product of matrices that lie in cache, as the tiles of attention and of the scans; the rows of A or its columns are contiguous.
void Small(int64_t m, int64_t n, int64_t k, bool turned, bool add) {
  const std::vector<float> a = Numbers(m * k), b = Numbers(k * n), x = Rounded(a), y = Rounded(b);
  std::vector<float> before(static_cast<size_t>(m * n), kNaN);
  if (add) before = Numbers(m * n);
  Check("small product", m, n, k, before, [&](float* c) {
    lab::Multiply(m, n, k, {a.data(), turned ? 1 : k, turned ? m : 1}, {b.data(), n}, {c, n}, add);
  }, [&](int64_t i, int64_t j) {
    double sum = add ? before[i * n + j] : 0;
    for (int64_t p = 0; p < k; ++p) sum += static_cast<double>(x[turned ? p * m + i : i * k + p]) * y[p * n + j];
    return sum;
  });
}

}  // namespace

int main() {
  iopl(3);
  const lab::Cpu cpu = lab::DetectCpu();
  static const char* const kFound[] = {"ready", "unknown", "missing", "refused", "wrong"};
  const lab::TileUnit found = lab::CheckTiles(cpu.amx);
  Say("the processor has AVX-512 %d, BF16 %d, AMX %d; the unit is %s\n", cpu.avx512, cpu.bf16, cpu.amx, kFound[static_cast<int>(found)]);
  if (found != lab::TileUnit::kReady) End(1);
  lab::SetBfloat16(true);
  lab::SetPoison(true);
  for (int form = 0; form < 4; ++form)
    for (int add = 0; add < 3; ++add) {
      const bool transA = form & 1, transB = form & 2;
      lab::SetThreads(1 + (form + add) % 2);
      for (const int64_t m : {9, 16, 33})
        for (const int64_t n : {9, 16, 17, 31, 32, 33})
          for (const int64_t k : {1, 2, 31, 32, 70}) Whole(m, n, k, transA, transB, add);
      Whole(65, 130, 330, transA, transB, add);
      Whole(1, 300, 70, transA, transB, add);
      Whole(300, 1, 70, transA, transB, add);
    }
  lab::SetThreads(2);
  for (int form = 0; form < 4; ++form) {
    Whole(66, 50, 3100, form & 1, form & 2, form % 3);
    Whole(130, 260, 1103, form & 1, form & 2, form % 3);
  }
  Say("%d checks of products by panels\n", checks);
  for (const int64_t m : {20, 64})
    for (const int64_t n : {20, 64}) {
      Scaled(m, n, 600, 0.5f, 0.0f);
      Scaled(m, n, 600, 0.5f, 2.0f);
      Scaled(m, n, 600, 1.0f, -1.0f);
    }
  for (int form = 0; form < 4; ++form)
    for (const int64_t m : {15, 16, 17, 32, 33, 64})
      for (const int64_t n : {15, 16, 17, 32, 33, 80})
        for (const int64_t k : {1, 32, 33, 64, 127}) Small(m, n, k, form & 1, form & 2);
  Say("%d checks\n", checks);
  End(failures);
}
