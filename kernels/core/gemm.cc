// The single-threaded matrix product: packing, the register tile, and the blocks it is made of. Few rows: few.cc.
#include "gemm.h"

#include <algorithm>
#include <atomic>
#include <type_traits>
#include <utility>

#include "rows.h"
#include "soon.h"

namespace lab {
namespace {

std::atomic<bool> bfloat16{false};

// ---------------------------------------------------------------- packing

/// Rows that are packed at a time into all panels of a block, so that few pages are at work at once. Even.
constexpr int64_t kStretch = 32;

/// to[p * stride + r] = from[r * ld + p], r < rows, p < depth; rows up to `padded` are zero.
template <class T>
void PackTransposed(const T* from, int64_t ld, int64_t rows, int64_t depth, float* to, int64_t stride, int64_t padded) {
  for (int64_t i = 0; i < rows;) {
    int64_t r = i, some = std::min<int64_t>(16, rows - i), p = 0;
#if LAB_AVX512
    if (some > 4)
      for (; p + W <= depth; p += W) {
        const T* at = from + r * ld + p;
        const auto row = [&](int q) {
          SoonLine(at + q * ld, rows * ld);  // the next panel's
          return Load(at + q * ld);
        };
        Transpose16(some, row, to + p * stride + r, stride);
      }
    else
#endif
    {
      some = std::min<int64_t>(4, rows);
      r = std::min(i, rows - some);  // the last group of four overlaps the one before it
      if constexpr (std::is_same_v<T, float>)
        for (; some == 4 && p + 4 <= depth; p += 4) Transpose4x4(from + r * ld + p, ld, to + p * stride + r, stride);
    }
    for (; p < depth; ++p)
      for (int64_t q = r; q < r + some; ++q) to[p * stride + q] = from[q * ld + p];
    i = r + some;
  }
  for (int64_t r = rows; r < padded; ++r)
    for (int64_t p = 0; p < depth; ++p) to[p * stride + r] = 0.0f;
}

/// to[p * stride + j] = from[p * ld + j], j < columns, p < depth; columns up to `padded` are zero.
template <class T>
void PackStraight(const T* from, int64_t ld, int64_t depth, int64_t columns, float* to, int64_t stride, int64_t padded) {
  if (columns == kColumns) {
    for (int64_t p = 0; p < depth; ++p) {
      Soon(from + p * ld, 2 * kLine, kStretch * ld);
      for (int v = 0; v < kVectors; ++v) Store(to + p * stride + v * W, Load(from + p * ld + v * W));
    }
    return;
  }
  for (int64_t p = 0; p < depth; ++p) {
    Soon(from + p * ld, 2 * kLine, kStretch * ld);
    for (int64_t j = 0; j < columns; j += W) StoreUpTo(to + p * stride + j, LoadUpTo(from + p * ld + j, columns - j), columns - j);
    for (int64_t j = columns; j < padded; ++j) to[p * stride + j] = 0.0f;
  }
}

/// As PackStraight, but to[s * stride + j] is the pair of from[2 s * ld + j] and the element below it.
template <class T>
void PairStraight(const T* from, int64_t ld, int64_t depth, int64_t columns, float* to, int64_t stride, int64_t padded) {
  if (columns <= W) {  // a panel of A: those side by side ask for all lines between them
    for (int64_t p = 0; p < depth; p += 2, to += stride) {
      const T *low = from + p * ld, *high = p + 1 < depth ? low + ld : nullptr;
      SoonLine(low, kStretch * ld);
      SoonLine(low + ld, kStretch * ld);
      StoreUpTo(to, PairsBelow(low, high, columns), padded);
    }
    return;
  }
  for (int64_t p = 0; p < depth; p += 2, to += stride) {
    const T *low = from + p * ld, *high = p + 1 < depth ? low + ld : nullptr;
    Soon(low, 2 * kLine, kStretch * ld);
    Soon(low + ld, 2 * kLine, kStretch * ld);
    for (int64_t j = 0; j < columns; j += W)
      StoreUpTo(to + j, PairsBelow(low + j, high ? high + j : nullptr, columns - j), padded - j);
  }
}

/// As PackTransposed, but to[s * stride + r] is the pair of from[r * ld + 2 s] and its neighbour.
template <class T>
void PairTransposed(const T* from, int64_t ld, int64_t rows, int64_t depth, float* to, int64_t stride, int64_t padded) {
  int64_t p = 0;
#if LAB_AVX512
  for (; p + 2 * W <= depth; p += 2 * W)
    for (int64_t r = 0; r < rows; r += 16) {
      const T* at = from + r * ld + p;
      const auto row = [&](int q) {
        Soon(at + q * ld, 2 * kLine, rows * ld);
        return PairsBeside(at + q * ld);
      };
      Transpose16(std::min<int64_t>(16, rows - r), row, to + p / 2 * stride + r, stride);
    }
#endif
  for (; p < depth; p += 2 * W) {
    float pairs[kColumns * W];
    const int64_t some = std::min<int64_t>(2 * W, depth - p);
    for (int64_t r = 0; r < rows; ++r) PairRow(from + r * ld + p, some, pairs + r * W);
    PackTransposed(pairs, W, rows, (some + 1) / 2, to + p / 2 * stride, stride, rows);
  }
  for (int64_t r = rows; r < padded; ++r)
    for (int64_t s = 0; s < (depth + 1) / 2; ++s) to[s * stride + r] = 0.0f;
}

void RoundAll(float* p, int64_t count) {
  int64_t i = 0;
  for (; i + W <= count; i += W) Store(p + i, RoundBf16(Load(p + i)));
  if (i < count) StorePart(p + i, RoundBf16(LoadPart(p + i, count - i)), count - i);
}

template <class T>
void PackLeft(bool trans, const T* A, int64_t lda, int64_t rows, int64_t depth, float* to, int64_t slots, int64_t at) {
  const int64_t height = PanelRows(rows);
  const bool paired = Paired(), tiles = OnTiles();
  const int64_t deep = trans && !tiles ? kStretch : depth;
  for (int64_t p = 0; p < depth; p += deep)
    for (int64_t i = 0; i < rows; i += height) {
      const int64_t h = std::min(height, rows - i), some = std::min(deep, depth - p);
      const T* from = trans ? A + p * lda + i : A + i * lda;
      float* panel = to + i * slots + (at + (paired ? p / 2 : p)) * height;
      if (tiles) PackTiles(trans, from, lda, h, depth, to + i * slots + at * ((h + 15) / 16 * 16));
      else if (paired && trans) PairStraight(from, lda, some, h, panel, height, h);
      else if (paired) PairTransposed(from, lda, h, depth, panel, height, h);
      else if (trans) PackStraight(from, lda, some, h, panel, height, h);
      else PackTransposed(from, lda, h, depth, panel, height, h);
      if (Bfloat16() && !paired) RoundAll(panel, some * height);
    }
}

template <class T>
void PackRight(bool trans, const T* B, int64_t ldb, int64_t depth, int64_t columns, float* to) {
  const bool paired = Paired();
  const int64_t slots = Slots(depth), used = paired ? (depth + 1) / 2 : depth, deep = trans ? depth : kStretch;
  for (int64_t p = 0; p < depth; p += deep)
    for (int64_t j = 0; j < columns; j += kColumns) {
      const int64_t wide = std::min<int64_t>(kColumns, columns - j), stride = (wide + W - 1) / W * W, some = std::min(deep, depth - p);
      const T* from = trans ? B + j * ldb : B + p * ldb + j;
      float* panel = to + j * slots + (paired ? p / 2 : p) * stride;
      if (paired && trans) PairTransposed(from, ldb, wide, depth, panel, stride, stride);
      else if (paired) PairStraight(from, ldb, some, wide, panel, stride, stride);
      else if (trans) PackTransposed(from, ldb, wide, depth, panel, stride, stride);
      else PackStraight(from, ldb, some, wide, panel, stride, stride);
      if (p + deep >= depth) std::fill(to + j * slots + used * stride, to + j * slots + slots * stride, 0.0f);
    }
  if (Bfloat16() && !paired) RoundAll(to, (columns + W - 1) / W * W * depth);
}

struct Wanted {
  const float* p;
  int64_t step;
};

void ScaleMatrix(int64_t m, int64_t n, Addend add, float* C, int64_t ldc) {
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) C[i * ldc + j] = add.beta == 0.0f ? 0.0f : add.beta * add.p[i * add.ld + j];
}

}  // namespace

void SetBfloat16(bool on) { bfloat16.store(on); }
bool Bfloat16() { return bfloat16.load(std::memory_order_relaxed); }

void PackA(bool trans, Stored A, int64_t lda, int64_t rows, int64_t depth, float* to, int64_t slots, int64_t at) {
  if (A.half) return PackLeft(trans, A.Halves(), lda, rows, depth, to, slots, at);
  PackLeft(trans, A.Floats(), lda, rows, depth, to, slots, at);
}

void PackB(bool trans, Stored B, int64_t ldb, int64_t depth, int64_t columns, float* to) {
  if (B.half) return PackRight(trans, B.Halves(), ldb, depth, columns, to);
  PackRight(trans, B.Floats(), ldb, depth, columns, to);
}

// Rows whose distance is a multiple of this many floats fall on the same lines of the first-level cache.
constexpr int64_t kSameLines = 1024;

From LeftFrom(bool transA, Stored A, int64_t lda, int64_t k) {
  if (OnTiles() || (Bfloat16() && !Paired())) return From::kPanel;
  if (transA) return A.half ? From::kHalves : From::kCopied;
  // Pairs lie ready where rows hold whole ones.
  if (Paired()) return A.half && lda % 2 == 0 && k % 2 == 0 && lda / 2 % kSameLines != 0 ? From::kRows : From::kPanel;
  return kRows > 8 && lda % kSameLines == 0 ? From::kPanel : From::kRows;
}

From RightFrom(bool transB, Stored B) {
  if (transB || OnTiles() || (Bfloat16() && !Paired())) return From::kPanel;
  return B.half ? From::kHalves : From::kCopied;
}

/// A piece of a block as tiles read it from row `i` on.
Strip AsStrip(const Piece& piece, From from, int64_t i) {
  const Stored at = piece.p.Past(from == From::kRows ? i * piece.ld : i);
  return {static_cast<const float*>(at.p), from == From::kRows && at.half ? piece.ld / 2 : piece.ld, piece.slots};
}

/// What tile number `tile` asks for: about `lines` lines of 16 floats.
Wanted WantedBy(const NextBlock& next, int64_t tile, int64_t panels, int64_t lines) {
  if (next.trans) {  // a row of the block for each k: each panel of rows asks for a line of it
    const int64_t k = tile / panels * lines;
    if (next.count > 0 && k < next.length) return {next.p[0] + k * next.ld + tile % panels * 16, next.ld};
  } else if (next.ld == next.length) {  // one stretch of memory
    const int64_t each = next.rows * next.length, at = tile * lines * 16;
    if (at < each * next.count) return {next.p[at / each] + at % each, 16};
  }
  return {next.p[0], 0};
}

void MultiplyBlocks(int64_t rows, int64_t columns, int64_t depth, int64_t slots, float alpha, const LeftBlock& a, const RightBlock& b, Addend add, float* C,
                    int64_t ldc, const NextBlock& next) {
  const int64_t height = PanelRows(rows), panels = (rows + height - 1) / height;
  int64_t tile = 0;
  if (OnTiles()) return MultiplyOnTiles(rows, columns, slots, height, alpha, a.packed, b.packed, add.beta, add.p, add.ld, C, ldc);
  const bool paired = Paired(), copyA = Copies(a.from), copyB = Copies(b.from);
  Strip strips[kMostStrips];
  TileCall call;
  // Lines for 16 slots such that all tiles ask for the next block; packed panels ask for a line a slot, after those of C.
  const int64_t wanted = next.count * next.rows * next.length / kLine, chunks = panels * ((columns + kColumns - 1) / kColumns) * std::max<int64_t>(1, slots / 16);
  call.wants = static_cast<int>(std::clamp<int64_t>((wanted + chunks - 1) / chunks, 1, 16));
  const int64_t lines = a.from == From::kRows ? slots / 16 * call.wants : slots > kRows * kVectors ? slots - kRows * kVectors : slots;
  call.slots = slots;
  call.odd = paired && depth % 2 != 0;
  call.aStride = height;
  call.strips = strips;
  call.count = a.count;
  call.ld = b.ld;
  call.alpha = alpha;
  call.ldc = ldc;
  for (int64_t j = 0; j < columns; j += kColumns) {
    const int64_t wide = std::min<int64_t>(kColumns, columns - j), vectors = (wide + W - 1) / W;
    const From fromA = a.from == From::kRows || j == 0 ? a.from : From::kPanel;
    call.b = b.packed + j * slots;
    call.from = b.p.Past(j).p;
    call.columns = wide;
    // Tiles copy one factor at a time, and only whole panels.
    const bool ahead = copyB && ((copyA && j == 0) || wide < kColumns);
    if (ahead) PackB(false, b.p.Past(j), b.ld, depth, wide, call.b);
    TileFunction tileOf = nullptr;
    for (int64_t i = 0; i < rows; i += height) {
      const int64_t h = std::min(height, rows - i);
      const bool copies = copyB && !ahead && i == 0;
      if (i <= height || h < height) tileOf = TileOf(h, vectors, paired, fromA, copies ? b.from : From::kPanel);
      if (fromA != From::kPanel)
        for (int s = 0; s < a.count; ++s) strips[s] = AsStrip(a.pieces[s], fromA, i);
      const Wanted wanted = !Copies(fromA) && !copies ? WantedBy(next, tile++, panels, lines) : Wanted{call.b, 0};
      call.a = a.packed + i * slots;
      call.next = j == 0 && i + 2 * height <= rows;
      call.want = wanted.p;
      call.wantStep = wanted.step;
      call.C = C + i * ldc + j;
      call.add = {add.beta, add.p + i * add.ld + j, add.ld};
      tileOf(call);
    }
  }
}

void GemmPacked(bool transA, bool transB, int64_t m, int64_t n, int64_t k, float alpha, Stored A, int64_t lda, Stored B, int64_t ldb, Addend add,
                float* C, int64_t ldc) {
  const int64_t kc = Even(k, Depth(), DepthStep()), mc = Even(m, kHeight, RowStep()), nc = Even(n, 1024, kColumns);
  const From fromA = LeftFrom(transA, A, lda, k), fromB = RightFrom(transB, B);
  Scratch a(fromA == From::kRows ? 1 : PackedA(std::min(mc, m), kc)), b(PackedB(std::min(nc, n), kc));
  for (int64_t j = 0; j < n; j += nc) {
    const int64_t wide = std::min(nc, n - j);
    for (int64_t p = 0; p < k; p += kc) {
      const int64_t deep = std::min(kc, k - p);
      const Stored bAt = B.Past(transB ? j * ldb + p : p * ldb + j);
      if (fromB == From::kPanel) PackB(transB, bAt, ldb, deep, wide, b);
      for (int64_t i = 0; i < m; i += mc) {
        const int64_t high = std::min(mc, m - i);
        const Stored aAt = A.Past(transA ? p * lda + i : i * lda + p);
        if (fromA == From::kPanel) PackA(transA, aAt, lda, high, deep, a, Slots(deep), 0);
        float* c = C + i * ldc + j;
        MultiplyBlocks(high, wide, deep, Slots(deep), alpha, {fromA, a, {{aAt, lda, Slots(deep)}}, 1}, {i == 0 ? fromB : From::kPanel, b, bAt, ldb},
                       p == 0 ? Addend{add.beta, add.p + i * add.ld + j, add.ld} : Addend{1.0f, c, ldc}, c, ldc);
      }
    }
  }
}

void Gemm(bool transA, bool transB, int64_t m, int64_t n, int64_t k, float alpha, const float* A, int64_t lda, const float* B, int64_t ldb,
          float beta, float* C, int64_t ldc) {
  if (m <= 0 || n <= 0) return;
  const Addend add{beta, C, ldc};
  if (k <= 0) return ScaleMatrix(m, n, add, C, ldc);
  if (m <= kFew && n >= m) return GemmFew(transA, transB, m, n, k, alpha, A, lda, B, ldb, add, C, ldc);
  if (n == 1) {  // the column is the row of the transposed product
    Scratch y(m);
    GemmFew(!transB, !transA, 1, m, k, alpha, B, ldb, A, lda, {0.0f, y, m}, y, m);
    for (int64_t i = 0; i < m; ++i) C[i * ldc] = y[i] + (beta != 0.0f ? beta * C[i * ldc] : 0.0f);
    return;
  }
  GemmPacked(transA, transB, m, n, k, alpha, A, lda, B, ldb, add, C, ldc);
}

}  // namespace lab
