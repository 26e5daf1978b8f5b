// The tile unit of AMX: products of bfloat16 tiles of 16 x 32 by 32 x 16. Linux lends it to a process that asks.
// Plain loops can take the unit's place, for tests on processors without it.
#ifndef LAB_TILES_H
#define LAB_TILES_H

#include <atomic>
#include <cstdint>

#include "halves.h"

namespace lab {

/// What carries products of bfloat16 where their inputs are held as pairs.
enum class Tiles { kNone, kLoops, kUnit };
/// Why the unit may carry them, or may not.
enum class TileUnit {
  kReady,
  kUnknown,  // the compiler did not know it, or this is no Linux
  kMissing,  // the processor or its system has none
  kRefused,  // the system doesn't lend it to this process
  kWrong,    // its sums differ from those of plain loops
};
/// Asks the system for the unit and tries it on numbers whose sums are known, once; `cpu`: the processor has it (cpu.h).
TileUnit CheckTiles(bool cpu);

extern std::atomic<Tiles> tilesUsed;
/// kUnit only where CheckTiles gave kReady.
inline void UseTiles(Tiles use) { tilesUsed.store(use); }
inline bool OnTheUnit() { return kPairs && tilesUsed.load(std::memory_order_relaxed) != Tiles::kNone; }

/// op(A)[0:rows, 0:depth] as a panel of tiles of pairs, [slots / 16][tiles down][16][16], rows and slots padded with zeros: each tile is one
/// stretch of memory. A, of float or Half, is stored [rows, lda] or, transposed, [depth, lda]; rows at most 32.
template <class T>
void PackTiles(bool trans, const T* A, int64_t lda, int64_t rows, int64_t depth, float* to);

/// C[0:rows, 0:columns] = alpha a b + beta D. a: panels of `height` rows (16 or 32; the last one may hold fewer) by PackTiles, `height * slots`
/// floats apart; b: panels [slots][32] of pairs, the last one [slots][16] where 16 columns or fewer are left. slots is a multiple of 16. D may be C.
void MultiplyOnTiles(int64_t rows, int64_t columns, int64_t slots, int64_t height, float alpha, const float* a, const float* b, float beta,
                     const float* D, int64_t ldd, float* C, int64_t ldc);

/// Rows of a strip of MultiplyStrip.
constexpr int64_t kTileStrip = 32;
/// C (+)= A B for pairs where they lie: A(i, s) = a[i * row + s * step], where row or step is 1; B [slots, ldb]; rows at most kTileStrip. Call between
/// TilesBegin and TilesEnd, which set up and give back this thread's tiles.
void MultiplyStrip(int64_t rows, int64_t columns, int64_t slots, const float* a, int64_t row, int64_t step, const float* b, int64_t ldb, float* C,
                   int64_t ldc, bool add);
void TilesBegin();
void TilesEnd();

}  // namespace lab

#endif
