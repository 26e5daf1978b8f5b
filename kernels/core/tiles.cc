// The products on AMX tiles: eight tiles as 2 x 2 sums, two of A, two of B.
#include "tiles.h"

#include <algorithm>
#include <cmath>

#include "lab.h"
#include "rows.h"

// Clang before 16 calls it __AMXBF16__.
#if (defined(__AMX_BF16__) || defined(__AMXBF16__)) && defined(__AVX512BF16__) && defined(__linux__)
#define LAB_AMX 1
#include <sys/syscall.h>
#include <unistd.h>
#else
#define LAB_AMX 0
#endif

namespace lab {

std::atomic<Tiles> tilesUsed{Tiles::kNone};

#if defined(__AVX512BF16__)

namespace {

constexpr int64_t kTile = 16;             // rows of a tile, and slots or columns in each
constexpr int64_t kSize = kTile * kTile;  // its floats

/// The unit as plain loops, with the sums in the order that Intel's manual gives for TDPBF16PS.
struct Loops {
  float tile[8][kTile][kTile];

  void Zero(int t) { std::memset(tile[t], 0, sizeof tile[t]); }
  void Load(int t, const float* p, int64_t ld) {
    for (int r = 0; r < kTile; ++r) std::memcpy(tile[t][r], p + r * ld, 64);
  }
  void Store(int t, float* p, int64_t ld) const {
    for (int r = 0; r < kTile; ++r) std::memcpy(p + r * ld, tile[t][r], 64);
  }
  void Dot(int t, int a, int b) {
    for (int r = 0; r < kTile; ++r) {
      float even[kTile] = {0}, odd[kTile] = {0};
      for (int s = 0; s < kTile; ++s)
        for (int c = 0; c < kTile; ++c) {
          even[c] = std::fma(Half(tile[a][r][s], 0), Half(tile[b][s][c], 0), even[c]);
          odd[c] = std::fma(Half(tile[a][r][s], 1), Half(tile[b][s][c], 1), odd[c]);
        }
      for (int c = 0; c < kTile; ++c) tile[t][r][c] += even[c] + odd[c];
    }
  }
  static float Half(float pair, int which) {
    uint32_t bits;
    std::memcpy(&bits, &pair, 4);
    bits = which ? bits & 0xffff0000u : bits << 16;
    float x;
    std::memcpy(&x, &bits, 4);
    return x;
  }
};
thread_local Loops loops;

// Macros, as the intrinsics want plain numbers for tiles. `Unit`: a template's, true for the unit and false for the loops.
#if LAB_AMX
#define LAB_EITHER(unit, plain) \
  do {                          \
    if constexpr (Unit) {       \
      unit;                     \
    } else {                    \
      plain;                    \
    }                           \
  } while (0)
#else
#define LAB_EITHER(unit, plain) plain
#endif
#define LAB_ZERO(t) LAB_EITHER(_tile_zero(t), loops.Zero(t))
#define LAB_LOAD(t, p, ld) LAB_EITHER(_tile_loadd(t, p, (ld) * 4), loops.Load(t, p, ld))
#define LAB_STORE(t, p, ld) LAB_EITHER(_tile_stored(t, p, (ld) * 4), loops.Store(t, p, ld))
#define LAB_DOT(t, a, b) LAB_EITHER(_tile_dpbf16ps(t, a, b), loops.Dot(t, a, b))

/// GCC's loads of tiles don't say that they read memory: what was written before stands there only after this.
void Written() {
#if defined(__GNUC__)
  __asm__ volatile("" ::: "memory");
#endif
}

/// One or two tiles of A below each other, or of B side by side, for every 16 slots: those of step s begin at p + s * step, their rows lie `ld` apart, and
/// the second of A begins `next` behind the first (floats).
struct Line {
  const float* p;
  int64_t step, ld, next;
};

/// to[0 : 16 Down, 0 : 16 Across] = start + the product of `steps` steps; start may be null for zeros, and `to` itself. `last`: if not null, B of one
/// step more, [16][32]. Tiles 0..3 hold the sums of (row, column) = (0, 0), (0, 1), (1, 0), (1, 1); 4 and 5 rows of A; 6 and 7 columns of B.
template <bool Unit, int Down, int Across>
void Block(int64_t steps, Line a, Line b, const float* last, const float* start, int64_t startLd, float* to, int64_t toLd) {
  Written();
  if (start) {
    LAB_LOAD(0, start, startLd);
    if (Across > 1) LAB_LOAD(1, start + kTile, startLd);
    if (Down > 1) LAB_LOAD(2, start + kTile * startLd, startLd);
    if (Down > 1 && Across > 1) LAB_LOAD(3, start + kTile * startLd + kTile, startLd);
  } else {
    LAB_ZERO(0);
    if (Across > 1) LAB_ZERO(1);
    if (Down > 1) LAB_ZERO(2);
    if (Down > 1 && Across > 1) LAB_ZERO(3);
  }
  for (int64_t s = 0; s < steps + (last ? 1 : 0); ++s, a.p += a.step, b.p += b.step) {
    const bool regular = s < steps;
    const float* right = regular ? b.p : last;
    const int64_t ld = regular ? b.ld : 2 * kTile;
    LAB_LOAD(6, right, ld);
    LAB_LOAD(4, a.p, a.ld);
    LAB_DOT(0, 4, 6);
    if (Across > 1) {
      LAB_LOAD(7, right + kTile, ld);
      LAB_DOT(1, 4, 7);
    }
    if (Down > 1) {
      LAB_LOAD(5, a.p + a.next, a.ld);
      LAB_DOT(2, 5, 6);
      if (Across > 1) LAB_DOT(3, 5, 7);
    }
  }
  LAB_STORE(0, to, toLd);
  if (Across > 1) LAB_STORE(1, to + kTile, toLd);
  if (Down > 1) LAB_STORE(2, to + kTile * toLd, toLd);
  if (Down > 1 && Across > 1) LAB_STORE(3, to + kTile * toLd + kTile, toLd);
}
using BlockFunction = void (*)(int64_t, Line, Line, const float*, const float*, int64_t, float*, int64_t);
template <bool Unit>
BlockFunction BlockOf(bool down, bool across) {
  return down ? across ? Block<Unit, 2, 2> : Block<Unit, 2, 1> : across ? Block<Unit, 1, 2> : Block<Unit, 1, 1>;
}
void AnyBlock(bool down, bool across, int64_t steps, Line a, Line b, const float* last, const float* start, int64_t startLd, float* to, int64_t toLd) {
  const bool unit = LAB_AMX && tilesUsed.load(std::memory_order_relaxed) == Tiles::kUnit;
  (unit ? BlockOf<true> : BlockOf<false>)(down, across)(steps, a, b, last, start, startLd, to, toLd);
}

/// Room for a block that C holds in part only.
struct Edge {
  static constexpr int64_t kLd = 32;
  alignas(64) float sums[32 * kLd];

  /// The part that counts of D; zeros elsewhere.
  const float* Take(int64_t rows, int64_t columns, const float* D, int64_t ldd) {
    std::fill(sums, sums + 32 * kLd, 0.0f);
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < columns; j += W) Store(sums + i * kLd + j, LoadUpTo(D + i * ldd + j, columns - j));
    return sums;
  }
  void Give(int64_t rows, int64_t columns, float* C, int64_t ldc) const {
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < columns; j += W) StoreUpTo(C + i * ldc + j, Load(sums + i * kLd + j), columns - j);
  }
};

/// Slots whose panel of B stays in the first-level cache (32 KiB) while the panels of A pass.
constexpr int64_t kNear = 256;

}  // namespace

template <class T>
void PackTiles(bool trans, const T* A, int64_t lda, int64_t rows, int64_t depth, float* to) {
  const int64_t steps = (depth + 2 * kTile - 1) / (2 * kTile), down = (rows + kTile - 1) / kTile;
  for (int64_t t = 0; t < down; ++t)
    for (int64_t s = 0; s < steps; ++s) {
      const int64_t some = std::min(kTile, rows - t * kTile), k0 = 2 * kTile * s, left = depth - k0;
      float* tile = to + (s * down + t) * kSize;
      if (trans) {
        const T* from = A + k0 * lda + t * kTile;
        const auto slot = [&](int q) {
          const T* low = from + 2 * q * lda;
          return 2 * q < left ? PairsBelow(low, 2 * q + 1 < left ? low + lda : nullptr, some) : F(0.0f);
        };
        Transpose16(kTile, slot, tile, kTile);
        continue;
      }
      const T* from = A + t * kTile * lda + k0;
      for (int64_t r = 0; r < some; ++r, from += lda)
        Store(tile + r * kTile, PairNeighbours(LoadUpTo(from, left), left > W ? LoadUpTo(from + W, left - W) : F(0.0f)));
      for (int64_t r = some; r < kTile; ++r) Store(tile + r * kTile, F(0.0f));
    }
}
template void PackTiles(bool, const float*, int64_t, int64_t, int64_t, float*);
template void PackTiles(bool, const Half*, int64_t, int64_t, int64_t, float*);

void MultiplyOnTiles(int64_t rows, int64_t columns, int64_t slots, int64_t height, float alpha, const float* a, const float* b, float beta,
                     const float* D, int64_t ldd, float* C, int64_t ldc) {
  // Sums then begin with D, and pass through C between stretches of slots: the same bits whole or in stretches.
  const bool plain = alpha == 1.0f && (beta == 0.0f || beta == 1.0f);
  Edge edge;
  TilesBegin();
  for (int64_t j = 0; j < columns; j += 2 * kTile) {
    const int64_t wide = std::min(2 * kTile, columns - j), across = wide > kTile ? 2 : 1;
    for (int64_t s = 0; s < slots; s += kNear)
      for (int64_t i = 0; i < rows; i += height) {
        const int64_t h = std::min(height, rows - i), down = h > kTile ? 2 : 1;
        const Line left{a + i * slots + s * down * kTile, down * kSize, kTile, kSize};
        const Line right{b + j * slots + s * across * kTile, across * kSize, across * kTile, 0};
        float* c = C + i * ldc + j;
        const float* d = D + i * ldd + j;
        if (plain && h % kTile == 0 && wide % kTile == 0) {
          const float* start = s > 0 ? c : beta == 0.0f ? nullptr : d;
          AnyBlock(down > 1, across > 1, std::min(kNear, slots - s) / kTile, left, right, nullptr, start, s > 0 ? ldc : ldd, c, ldc);
          continue;
        }
        if (s > 0) continue;  // blocks at an edge are done in one go
        const float* start = plain && beta != 0.0f ? edge.Take(h, wide, d, ldd) : nullptr;
        AnyBlock(down > 1, across > 1, slots / kTile, left, right, nullptr, start, Edge::kLd, edge.sums, Edge::kLd);
        for (int64_t r = 0; r < h && !plain; ++r)
          for (int64_t q = 0; q < wide; q += W) {
            F y = F(alpha) * Load(edge.sums + r * Edge::kLd + q);
            if (beta != 0.0f) y = Fma(F(beta), LoadUpTo(d + r * ldd + q, wide - q), y);
            Store(edge.sums + r * Edge::kLd + q, y);
          }
        edge.Give(h, wide, c, ldc);
      }
  }
  TilesEnd();
}

void MultiplyStrip(int64_t rows, int64_t columns, int64_t slots, const float* a, int64_t row, int64_t step, const float* b, int64_t ldb, float* C,
                   int64_t ldc, bool add) {
  const int64_t whole = slots / kTile, rest = slots % kTile, steps = whole + (rest > 0), down = rows > kTile ? 2 : 1;
  // Whole tiles of A are read where they lie, others are copied, filled up with zeros.
  const bool copied = step != 1 || rows % kTile != 0 || rest != 0;
  Scratch panel(copied ? steps * down * kSize : 1), narrow(columns % kTile != 0 ? steps * 2 * kSize : 1);
  Line left{a, kTile, row, kTile * row};
  if (copied) {
    for (int64_t s = 0; s < steps; ++s)
      for (int64_t t = 0; t < down; ++t) {
        float* tile = panel + (s * down + t) * kSize;
        const float* from = a + t * kTile * row + s * kTile * step;
        const int64_t high = std::min(kTile, rows - t * kTile), deep = std::min(kTile, slots - s * kTile);
        if (step != 1)
          Transpose16(kTile, [&](int q) { return q < deep ? LoadUpTo(from + q * step, high) : F(0.0f); }, tile, kTile);
        else
          for (int64_t r = 0; r < kTile; ++r) Store(tile + r * kTile, r < high ? LoadUpTo(from + r * row, deep) : F(0.0f));
      }
    left = {panel, down * kSize, kTile, kSize};
  }
  alignas(64) float last[2 * kSize];
  Edge edge;
  for (int64_t j = 0; j < columns; j += 2 * kTile) {
    const int64_t wide = std::min(2 * kTile, columns - j), across = wide > kTile ? 2 : 1;
    /// Slots `from` to `to` - 1 of these columns, filled up with zeros, as [..][32].
    const auto copy = [&](int64_t from, int64_t to, int64_t until, float* into) {
      for (int64_t s = from; s < until; ++s, into += 2 * kTile)
        for (int64_t q = 0; q < 2 * kTile; q += W)
          Store(into + q, s < to && q < wide ? LoadUpTo(b + s * ldb + j + q, wide - q) : F(0.0f));
    };
    Line right{b + j, kTile * ldb, ldb, 0};
    const bool fits = wide % kTile == 0;
    if (!fits) {
      copy(0, slots, steps * kTile, narrow);
      right = {narrow, 2 * kSize, 2 * kTile, 0};
    } else if (rest > 0) {
      copy(whole * kTile, slots, steps * kTile, last);
    }
    const int64_t regular = fits ? whole : steps;
    const float* more = fits && rest > 0 ? last : nullptr;
    float* c = C + j;
    if (fits && rows % kTile == 0) {
      AnyBlock(down > 1, across > 1, regular, left, right, more, add ? c : nullptr, ldc, c, ldc);
      continue;
    }
    AnyBlock(down > 1, across > 1, regular, left, right, more, add ? edge.Take(rows, wide, c, ldc) : nullptr, Edge::kLd, edge.sums, Edge::kLd);
    edge.Give(rows, wide, c, ldc);
  }
}

void TilesBegin() {
#if LAB_AMX
  if (tilesUsed.load(std::memory_order_relaxed) != Tiles::kUnit) return;
  struct alignas(64) Config {
    uint8_t palette = 1, start = 0, reserved[14] = {};
    uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  };
  static const Config config;
  _tile_loadconfig(&config);
#endif
}
void TilesEnd() {
#if LAB_AMX
  if (tilesUsed.load(std::memory_order_relaxed) == Tiles::kUnit) _tile_release();
#endif
}

namespace {

/// True if a product of whole numbers, exact in any order, comes out as plain loops give it: rows, columns and depth that fill no tile, and a start.
bool TilesAgree() {
  constexpr int64_t m = 45, n = 55, k = 77, slots = (k + 31) / 32 * 16, height = 32;
  Scratch a(m * k), b(k * n), c(m * n), panels(2 * height * slots), columns(64 * slots);
  const auto number = [](int64_t i, int64_t salt) { return static_cast<float>((i * 37 + salt) % 23 - 11); };
  for (int64_t i = 0; i < m * k; ++i) a[i] = number(i, 5);
  for (int64_t i = 0; i < k * n; ++i) b[i] = number(i, 9);
  for (int64_t i = 0; i < m * n; ++i) c[i] = number(i, 2);
  for (int64_t i = 0; i < m; i += height) PackTiles(false, a + i * k, k, std::min(height, m - i), k, panels + i * slots);
  for (int64_t s = 0; s < slots; ++s)
    for (int64_t j = 0; j < 64; j += W) {
      const auto at = [&](int64_t p) { return p < k && j < n ? LoadUpTo(b + p * n + j, n - j) : F(0.0f); };
      Store(columns + j / 32 * 32 * slots + s * 32 + j % 32, PairLanes(at(2 * s), at(2 * s + 1)));
    }
  MultiplyOnTiles(m, n, slots, height, 1.0f, panels, columns, 1.0f, c, n, c, n);
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      float sum = number(i * n + j, 2);
      for (int64_t p = 0; p < k; ++p) sum += a[i * k + p] * b[p * n + j];
      if (c[i * n + j] != sum) return false;
    }
  return true;
}

}  // namespace

TileUnit CheckTiles(bool cpu) {
#if LAB_AMX
  static const TileUnit found = [&] {
    if (!cpu) return TileUnit::kMissing;
    // arch_prctl(ARCH_REQ_XCOMP_PERM, XTILEDATA): without it the first tile instruction ends the process.
    if (syscall(SYS_arch_prctl, 0x1023, 18) != 0) return TileUnit::kRefused;
    const Tiles before = tilesUsed.exchange(Tiles::kUnit);
    const bool agree = TilesAgree();
    tilesUsed.store(before);
    return agree ? TileUnit::kReady : TileUnit::kWrong;
  }();
  return found;
#else
  (void)cpu;
  return TileUnit::kUnknown;
#endif
}

#else

TileUnit CheckTiles(bool) { return TileUnit::kUnknown; }
void TilesBegin() {}
void TilesEnd() {}
template <class T>
void PackTiles(bool, const T*, int64_t, int64_t, int64_t, float*) {}
template void PackTiles(bool, const float*, int64_t, int64_t, int64_t, float*);
template void PackTiles(bool, const Half*, int64_t, int64_t, int64_t, float*);
void MultiplyOnTiles(int64_t, int64_t, int64_t, int64_t, float, const float*, const float*, float, const float*, int64_t, float*, int64_t) {}
void MultiplyStrip(int64_t, int64_t, int64_t, const float*, int64_t, int64_t, const float*, int64_t, float*, int64_t, bool) {}

#endif

}  // namespace lab
