// The parts of a packed matrix product: panels of A and B, and the register tile. `gemm.cc` makes the single-threaded product of them,
// kernels/matmul the parallel one.
#ifndef LAB_GEMM_H
#define LAB_GEMM_H

#include "lab.h"

namespace lab {

// The register tile is kRows x (kVectors * W): as many accumulators as fit beside a row of B and one element of A.
#if LAB_AVX512
constexpr int kRows = 14, kVectors = 2;
#elif LAB_AVX2
constexpr int kRows = 6, kVectors = 2;
#elif LAB_NEON
constexpr int kRows = 8, kVectors = 2;
#else
constexpr int kRows = 4, kVectors = 2;
#endif
constexpr int kColumns = kVectors * W;

// One panel of B, [kDepth, kColumns], stays in the first-level cache; one block of A, [kHeight, kDepth], in the second.
constexpr int64_t kDepth = 320;
constexpr int64_t kHeight = 8 * kRows;

/// Splits `total` into the fewest blocks of at most `most`, as even as multiples of `step` allow; gives the block size.
inline int64_t Even(int64_t total, int64_t most, int64_t step = 1) {
  const int64_t blocks = (total + most - 1) / most;
  const int64_t each = (total + blocks - 1) / blocks;
  return (each + step - 1) / step * step;
}

/// Rows of each panel of A when a block has `rows`: all panels but the last have as many.
inline int64_t PanelRows(int64_t rows) { return Even(rows, kRows); }
/// Floats that a packed block takes.
inline int64_t PackedA(int64_t rows, int64_t depth) { return (rows + PanelRows(rows) - 1) / PanelRows(rows) * PanelRows(rows) * depth; }
inline int64_t PackedB(int64_t columns, int64_t depth) { return (columns + W - 1) / W * W * depth; }

/// Packs op(A)[0:rows, 0:depth] as panels [depth][PanelRows(rows)].
void PackA(bool trans, const float* A, int64_t lda, int64_t rows, int64_t depth, float* to);
/// Packs op(B)[0:depth, 0:columns] as panels [depth][kColumns]; the last one is as wide as whole vectors hold it. `columns` not above kColumns
/// packs a single panel, so panel j of a larger block stands at `j * kColumns * depth`.
void PackB(bool trans, const float* B, int64_t ldb, int64_t depth, int64_t columns, float* to);

/// C[0:rows, 0:columns] = alpha a b + beta C from packed blocks.
void MultiplyPacked(int64_t rows, int64_t columns, int64_t depth, float alpha, const float* a, const float* b, float beta, float* C, int64_t ldc);

}  // namespace lab

#endif
