// The matrix memory with its gates' maps: queries, keys and values of all heads to the outputs, and back.
#include "../core/narrow.h"
#include "backward.h"
#include "forward.h"

namespace {

using namespace lab;

// q, k, v [B, T, H, d], w_i [3 E, H], b_i [H], w_f, b_f with E = H d.
struct Gated {
  mlstm::Sizes s;
  const float *three[3], *b_i, *b_f;
  Narrow maps;
  explicit Gated(const Call& c)
      : s(c), three{c.In<float>(0), c.In<float>(1), c.In<float>(2)}, b_i(c.In<float>(4)), b_f(c.In<float>(6)),
        maps(3, s.H * s.d, s.H, {c.In<float>(3), c.In<float>(5)}) {}
  int64_t E() const { return s.H * s.d; }
  int64_t Tokens() const { return s.H > 0 ? s.rows / s.H * s.T : 0; }
};

void GatedMlstm(const Call& c) {
  const Gated g(c);
  const int64_t H = g.s.H;
  float *i = c.Out<float>(4), *f = c.Out<float>(5);
  NarrowMap(g.maps, g.Tokens(), g.three, g.E(), [&](int64_t t, int64_t gate, float sum) {
    (gate < H ? i[t * H + gate] : f[t * H + gate - H]) = sum + (gate < H ? g.b_i[gate] : g.b_f[gate - H]);
  });
  const mlstm::Inputs in{g.three[0], g.three[1], g.three[2], i, f};
  mlstm::Forward{g.s, in, c.Out<float>(0), c.Out<float>(1), c.Out<float>(2), c.Out<float>(3)}.Run();
}

void GatedMlstmGrad(const Call& c) {
  const Gated g(c);
  const mlstm::Inputs in{g.three[0], g.three[1], g.three[2], c.In<float>(7), c.In<float>(8)};
  float* const slopes[3] = {c.Out<float>(0), c.Out<float>(1), c.Out<float>(2)};
  const int64_t H = g.s.H, gates = g.Tokens() * H, row = g.maps.Row();
  Scratch both(std::max<int64_t>(1, 2 * gates)), sums(std::max<int64_t>(1, 2 * H * (row + 1)));
  float *di = both, *df = both + gates;
  mlstm::Backward{g.s, in, c.In<float>(9), c.In<float>(10), c.In<float>(11), c.In<float>(12), slopes[0], slopes[1], slopes[2], di, df}.Run();
  NarrowGrad(g.maps, g.Tokens(), g.three, slopes, g.E(), [&](int64_t t, int64_t gate) { return gate < H ? di[t * H + gate] : df[t * H + gate - H]; }, sums);
  const float* biases = sums + 2 * H * row;
  for (int which = 0; which < 2; ++which) {  // the input gate, the forget gate
    Turn(H, row, {sums + which * H * row, row}, {c.Out<float>(3 + 2 * which), H});
    std::copy_n(biases + which * H, H, c.Out<float>(4 + 2 * which));
  }
}

}  // namespace

LAB_KERNEL("GatedMlstm", GatedMlstm);
LAB_KERNEL("GatedMlstmGrad", GatedMlstmGrad);
