// The parts of a matrix product: panels of A and B, and products of blocks. `gemm.cc` makes the single-threaded product of them,
// kernels/matmul the parallel one.
#ifndef LAB_GEMM_H
#define LAB_GEMM_H

#include "panel.h"
#include "tiles.h"

namespace lab {

// A panel of A, [kRows, depth], stays in the first-level cache; a block of A, [kHeight, depth], in the second, and the panels of B pass through it.
// A long depth saves reading and writing C again.
#if LAB_AVX512
constexpr int64_t kSlots = 1024;
#else
constexpr int64_t kSlots = 512;
#endif
constexpr int64_t kHeight = 8 * kRows;

/// Splits `total` into the fewest blocks of at most `most`, as even as multiples of `step` allow; gives the block size.
inline int64_t Even(int64_t total, int64_t most, int64_t step = 1) {
  const int64_t blocks = (total + most - 1) / most;
  const int64_t each = (total + blocks - 1) / blocks;
  return (each + step - 1) / step * step;
}

// What the panels hold. Under SetBfloat16(true), processors that multiply pairs of bfloat16 get panels in which two neighbours along k take the
// place, the slot, of one float; AMX reads the same panels of B, and panels of A that lie tile by tile.
inline bool Paired() { return kPairs && Bfloat16(); }
inline bool OnTiles() { return OnTheUnit() && Bfloat16(); }
/// Floats that `depth` elements of a row or column take in a panel; tiles are 16 slots deep.
inline int64_t Slots(int64_t depth) { return OnTiles() ? (depth + 31) / 32 * 16 : Paired() ? (depth + 1) / 2 : depth; }
/// Elements along k that a block may have.
inline int64_t Depth() { return Paired() ? 2 * kSlots : kSlots; }
/// What the depth of a block should be a multiple of.
inline int64_t DepthStep() { return OnTiles() ? 32 : 2; }
/// What the rows of a block should be a multiple of.
inline int64_t RowStep() { return OnTiles() ? 32 : kRows; }

/// Rows of each panel of A when a block has `rows`: all panels but the last have as many.
inline int64_t PanelRows(int64_t rows) { return OnTiles() ? Even(rows, 32, 16) : Even(rows, kRows); }
/// Floats that a packed block takes.
inline int64_t PackedA(int64_t rows, int64_t depth) { return (rows + PanelRows(rows) - 1) / PanelRows(rows) * PanelRows(rows) * Slots(depth); }
inline int64_t PackedB(int64_t columns, int64_t depth) { return (columns + W - 1) / W * W * Slots(depth); }

/// Packs op(A)[0:rows, 0:depth] as panels [slots][PanelRows(rows)], into their slots from `at` on; `slots` all told, so that several depths can
/// lie in one panel.
void PackA(bool trans, Stored A, int64_t lda, int64_t rows, int64_t depth, float* to, int64_t slots, int64_t at);
/// Packs op(B)[0:depth, 0:columns] as panels [Slots(depth)][kColumns]; the last one is as wide as whole vectors hold it. `columns` not above
/// kColumns packs a single panel, so panel j of a larger block stands at `j * kColumns * Slots(depth)`.
void PackB(bool trans, Stored B, int64_t ldb, int64_t depth, int64_t columns, float* to);

/// Most pieces of rows that a block of A in place may consist of.
constexpr int kMostStrips = 4;

/// Some depths of A: where they begin, how far apart its rows lie, and the slots that they take.
struct Piece {
  Stored p;
  int64_t ld, slots;
};
/// A block of A, [rows, slots]. kPanel: packed by PackA. kRows: read where it lies. kCopied, kHalves: read where it lies by the first panel of columns,
/// which packs it for the others into `packed`.
struct LeftBlock {
  From from;
  float* packed;
  Piece pieces[kMostStrips];
  int count;
};
/// What of A is read after this block: the block that the same thread probably multiplies next, stored as this one is. Its tiles ask for it meanwhile.
struct NextBlock {
  const float* p[kMostStrips];
  int count;
  int64_t ld, rows, length;  // of each, in floats of memory; length along k
  bool trans;
};
/// A block of B, [slots, columns]. kPanel: packed by PackB. kCopied, kHalves: B(k, j) = p[k * ld + j], packed into `packed` on the way.
struct RightBlock {
  From from;
  float* packed;
  Stored p;
  int64_t ld;
};

/// Whether PackA can be left out for A of depth k: A read where it lies (kRows), or packed on the way (kCopied, kHalves); else kPanel.
From LeftFrom(bool transA, Stored A, int64_t lda, int64_t k);
/// The same for PackB.
From RightFrom(bool transB, Stored B);

/// C[0:rows, 0:columns] = alpha a b + addend, from blocks of `depth` along k, which take `slots`. The addend may be C itself.
void MultiplyBlocks(int64_t rows, int64_t columns, int64_t depth, int64_t slots, float alpha, const LeftBlock& a, const RightBlock& b, Addend add, float* C,
                    int64_t ldc, const NextBlock& next = {});

/// Gemm by panels whatever the shape, so that cutting C anywhere gives the same bits.
void GemmPacked(bool transA, bool transB, int64_t m, int64_t n, int64_t k, float alpha, Stored A, int64_t lda, Stored B, int64_t ldb, Addend add,
                float* C, int64_t ldc);

/// Up to this many rows, B is read where it lies: packing it would cost more than the product.
constexpr int64_t kFew = 8;
/// Gemm for m <= kFew. A column's sum is the same wherever C is cut.
void GemmFew(bool transA, bool transB, int64_t m, int64_t n, int64_t k, float alpha, const float* A, int64_t lda, const float* B, int64_t ldb,
             Addend add, float* C, int64_t ldc);

}  // namespace lab

#endif
