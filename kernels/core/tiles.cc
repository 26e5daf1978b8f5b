// The products on AMX tiles: eight tiles as 2 x 2 sums, two of A, two of B.
#include "tiles.h"

#include "lab.h"

#if defined(__AMX_BF16__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace lab {

#if (defined(__AMX_BF16__) && defined(__linux__)) || defined(LAB_TILES_EMULATED)

namespace {

#if defined(LAB_TILES_EMULATED)
// The instructions on plain loops.
struct Unit {
  uint32_t tile[8][16][16];
};
thread_local Unit unit;
float Wide(uint32_t half) {
  half <<= 16;
  float x;
  std::memcpy(&x, &half, 4);
  return x;
}
void Zero(int t) { std::memset(unit.tile[t], 0, sizeof unit.tile[t]); }
void LoadTile(int t, const float* p, int64_t stride) {
  for (int r = 0; r < 16; ++r) std::memcpy(unit.tile[t][r], p + r * stride / 4, 64);
}
void StoreTile(int t, float* p, int64_t stride) {
  for (int r = 0; r < 16; ++r) std::memcpy(p + r * stride / 4, unit.tile[t][r], 64);
}
void Dot(int t, int a, int b) {
  for (int r = 0; r < 16; ++r)
    for (int s = 0; s < 16; ++s)
      for (int c = 0; c < 16; ++c) {
        float sum;
        std::memcpy(&sum, &unit.tile[t][r][c], 4);
        const uint32_t x = unit.tile[a][r][s], y = unit.tile[b][s][c];
        sum += Wide(x & 0xffff) * Wide(y & 0xffff);
        sum += Wide(x >> 16) * Wide(y >> 16);
        std::memcpy(&unit.tile[t][r][c], &sum, 4);
      }
}
#else
// Macros, as the intrinsics want plain numbers for tiles.
#define Zero(t) _tile_zero(t)
#define LoadTile(t, p, bytes) _tile_loadd(t, p, bytes)
#define StoreTile(t, p, bytes) _tile_stored(t, p, bytes)
#define Dot(t, a, b) _tile_dpbf16ps(t, a, b)
#endif

// `Down` x `Across` tiles of sums go to `to`, [32][32]. Tiles 0..3 hold the sums of (row, column) = (0, 0), (0, 1), (1, 0), (1, 1); 4 and 5 rows
// of A; 6 and 7 columns of B.
template <int Down, int Across>
void Sums(int64_t slots, const float* a, const float* b, int64_t width, float* to) {
  Zero(0);
  if (Across > 1) Zero(1);
  if (Down > 1) Zero(2);
  if (Down > 1 && Across > 1) Zero(3);
  for (int64_t s = 0; s < slots; s += 16) {
    LoadTile(4, a + s, slots * 4);
    LoadTile(6, b + s * width, width * 4);
    Dot(0, 4, 6);
    if (Across > 1) {
      LoadTile(7, b + s * width + 16, width * 4);
      Dot(1, 4, 7);
    }
    if (Down > 1) {
      LoadTile(5, a + 16 * slots + s, slots * 4);
      Dot(2, 5, 6);
      if (Across > 1) Dot(3, 5, 7);
    }
  }
  StoreTile(0, to, 128);
  if (Across > 1) StoreTile(1, to + 16, 128);
  if (Down > 1) StoreTile(2, to + 16 * 32, 128);
  if (Down > 1 && Across > 1) StoreTile(3, to + 16 * 32 + 16, 128);
}

}  // namespace

#if defined(LAB_TILES_EMULATED)
bool TilesReady() { return true; }
void TilesBegin() {}
void TilesEnd() {}
#else
bool TilesReady() {
  // arch_prctl(ARCH_REQ_XCOMP_PERM, XTILEDATA): without it the first tile instruction ends the process.
  static const bool ready = syscall(SYS_arch_prctl, 0x1023, 18) == 0;
  return ready;
}
void TilesBegin() {
  struct alignas(64) {
    uint8_t palette = 1, start = 0, reserved[14] = {};
    uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } config;
  _tile_loadconfig(&config);
}
void TilesEnd() { _tile_release(); }
#endif

void MultiplyTiles(int64_t rows, int64_t columns, int64_t slots, float alpha, const float* a, const float* b, int64_t width, float beta,
                   const float* D, int64_t ldd, float* C, int64_t ldc) {
  alignas(64) float sums[32 * 32];
  const bool down = rows > 16, across = width > 16;
  (down ? across ? Sums<2, 2> : Sums<2, 1> : across ? Sums<1, 2> : Sums<1, 1>)(slots, a, b, width, sums);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; j += W) {
      const int64_t left = columns - j;
      F y = F(alpha) * Load(sums + i * 32 + j);
      if (left >= W) {
        if (beta != 0.0f) y = Fma(F(beta), Load(D + i * ldd + j), y);
        Store(C + i * ldc + j, y);
      } else {
        if (beta != 0.0f) y = Fma(F(beta), LoadPart(D + i * ldd + j, left), y);
        StorePart(C + i * ldc + j, y, left);
      }
    }
}

#else

bool TilesReady() { return false; }
void TilesBegin() {}
void TilesEnd() {}
void MultiplyTiles(int64_t, int64_t, int64_t, float, const float*, const float*, int64_t, float, const float*, int64_t, float*, int64_t) {}

#endif

}  // namespace lab
