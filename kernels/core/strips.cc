// The strips of tile.h: small products whose sums stay in registers.
#include <utility>

#include "pairs.h"
#include "tile.h"

namespace lab {
namespace {

template <int R, int V, bool Part, bool Pairs>
void Strip(int64_t k, Factor a, Rows b, Out c, int64_t last, bool add) {
  F sum[R][V];
  LAB_UNROLL for (int r = 0; r < R; ++r)
    LAB_UNROLL for (int v = 0; v < V; ++v) sum[r][v] = F(0.0f);
  const float* ap = a.p;
  const float* bp = b.p;
  for (int64_t i = 0; i < k; ++i, ap += a.step, bp += b.ld) {
    F bv[V];
    LAB_UNROLL for (int v = 0; v < V; ++v) bv[v] = Part && v == V - 1 ? LoadPart(bp + v * W, last) : Load(bp + v * W);
    LAB_UNROLL for (int r = 0; r < R; ++r) {
      const F av(ap[r * a.row]);
      LAB_UNROLL for (int v = 0; v < V; ++v) sum[r][v] = Pairs ? DotPairs(av, bv[v], sum[r][v]) : Fma(av, bv[v], sum[r][v]);
    }
  }
  LAB_UNROLL for (int r = 0; r < R; ++r) {
    float* cp = c.p + r * c.ld;
    LAB_UNROLL for (int v = 0; v < V; ++v) {
      if (Part && v == V - 1)
        StorePart(cp + v * W, add ? LoadPart(cp + v * W, last) + sum[r][v] : sum[r][v], last);
      else
        Store(cp + v * W, add ? Load(cp + v * W) + sum[r][v] : sum[r][v]);
    }
  }
}

template <int V, bool Part, bool Pairs, int... R>
StripFunction Pick(int64_t rows, std::integer_sequence<int, R...>) {
  static constexpr StripFunction table[] = {Strip<R + 1, V, Part, Pairs>...};
  return table[rows - 1];
}
template <bool Part, bool Pairs>
StripFunction Pick(int64_t rows, int64_t vectors) {
  switch (vectors) {
    case 1: return Pick<1, Part, Pairs>(rows, std::make_integer_sequence<int, kStripRows[0]>());
#if LAB_AVX512 || LAB_NEON
    case 2: return Pick<2, Part, Pairs>(rows, std::make_integer_sequence<int, kStripRows[1]>());
    case 3: return Pick<3, Part, Pairs>(rows, std::make_integer_sequence<int, kStripRows[2]>());
    default: return Pick<4, Part, Pairs>(rows, std::make_integer_sequence<int, kStripRows[3]>());
#else
    default: return Pick<2, Part, Pairs>(rows, std::make_integer_sequence<int, kStripRows[1]>());
#endif
  }
}

}  // namespace

StripFunction StripOf(int64_t rows, int64_t vectors, bool part, bool pairs) {
  if constexpr (kPairs) {
    if (pairs) return part ? Pick<true, true>(rows, vectors) : Pick<false, true>(rows, vectors);
  }
  return part ? Pick<true, false>(rows, vectors) : Pick<false, false>(rows, vectors);
}

}  // namespace lab
