// The tile unit of AMX: products of bfloat16 tiles of 16 x 32 by 32 x 16. Linux lends it to a process that asks.
// With LAB_TILES_EMULATED the same code runs on plain loops, for tests on processors without the unit.
#ifndef LAB_TILES_H
#define LAB_TILES_H

#include <cstdint>

namespace lab {

#if (defined(__AMX_BF16__) && defined(__linux__)) || defined(LAB_TILES_EMULATED)
constexpr bool kTiles = true;
#else
constexpr bool kTiles = false;
#endif

/// True if this process may use the tile unit; asks the system once.
bool TilesReady();

/// C[0:rows, 0:columns] = alpha a b + beta D for rows, columns <= 32. a: [rows up to a multiple of 16][slots] pairs, b: [slots][width] pairs, where
/// width is 16 or 32 and slots a multiple of 16. Call between TilesBegin and TilesEnd, which set up and give back this thread's tiles.
void MultiplyTiles(int64_t rows, int64_t columns, int64_t slots, float alpha, const float* a, const float* b, int64_t width, float beta,
                   const float* D, int64_t ldd, float* C, int64_t ldc);
void TilesBegin();
void TilesEnd();

}  // namespace lab

#endif
