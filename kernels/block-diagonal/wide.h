// Maps of wide blocks: each is a product of its own, packed and on all threads.
#ifndef LAB_BLOCK_DIAGONAL_WIDE_H
#define LAB_BLOCK_DIAGONAL_WIDE_H

#include <cstdint>

namespace lab {

/// N blocks of I channels in and O out, for `rows` rows of all of them.
struct BlockSizes {
  int64_t rows, N, I, O;
  /// Whether a block is work enough for a product that packs its factors.
  bool Wide() const;
};

/// y [rows, N O] = x [rows, N I] by w [N, I, O], with bias [N O] or nullptr.
void WideForward(const BlockSizes& s, const float* x, const float* w, const float* bias, float* y);
/// The slopes of x and of w by those of y.
void WideBackward(const BlockSizes& s, const float* x, const float* w, const float* dy, float* dx, float* dw);

}  // namespace lab

#endif
