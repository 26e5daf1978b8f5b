// The register tile of matrix products: some rows by two vectors of C, whose sums stay in registers all along k.
#ifndef LAB_PANEL_H
#define LAB_PANEL_H

#include "lab.h"
#include "pairs.h"

namespace lab {

// The tile is kRows x (kVectors * W): as many accumulators as fit beside a row of B and one element of A.
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

/// What is added to a product: beta times rows of numbers, `ld` apart; ld = 0 adds one row everywhere. With beta = 0 nothing is read.
struct Addend {
  float beta;
  const float* p;
  int64_t ld;
};

/// Where a tile finds a factor: in its packed panel; A where it lies row by row along k, as floats or, of bfloat16, as the pairs that its neighbours are;
/// or a factor whose numbers for one k lie side by side as in a panel, which is written on the way, so that the next tile finds it packed: kCopied from
/// floats, kHalves from bfloat16 to pairs.
enum class From { kPanel, kRows, kCopied, kHalves };
inline bool Copies(From from) { return from == From::kCopied || from == From::kHalves; }

/// Some of the slots of A, for sums of several products: A(i, s) = p[i * ld + s] in kRows (of pairs ld counts pairs), p[k * ld + i] in kCopied and, of
/// the halves at p, in kHalves (k counts numbers, not pairs).
struct Strip {
  const float* p;
  int64_t ld, slots;
};

/// C[0:R, 0:columns] = alpha a b + addend.
struct TileCall {
  int64_t slots;         // along k; pairs count as one
  bool odd;              // the last pair of what is copied has only its first half
  float* a;              // panel [slots][aStride]; read, or written where A is copied
  int64_t aStride;
  const Strip* strips;   // of A outside of panels: one, or with kRows several
  int count;
  bool next;             // with kRows: the rows below are wanted soon
  float* b;              // panel [slots][V * W]; read, or written where B is copied
  const void* from;      // then: floats or halves B(k, j) = from[k * ld + j]
  int64_t ld;
  const float* want;     // memory that is to be read later, a line for each slot, `wantStep` floats apart; any address will do
  int64_t wantStep;
  int wants;             // with kRows: lines for 16 slots instead
  float alpha;
  Addend add;
  float* C;
  int64_t ldc, columns;  // columns in (V - 1) W + 1 .. V W
};
using TileFunction = void (*)(const TileCall&);

/// The tile of 1..kRows rows and 1..kVectors vectors; `paired`: slots are pairs of bfloat16. Tiles that copy B have kVectors full vectors and find A
/// in kPanel or kRows.
TileFunction TileOf(int64_t rows, int64_t vectors, bool paired, From a, From b);

}  // namespace lab

#endif
