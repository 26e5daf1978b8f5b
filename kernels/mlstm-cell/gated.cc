// The matrix memory with its gates' maps: queries, keys and values of all heads to the outputs, and back.
#include "backward.h"
#include "forward.h"
#include "maps.h"

namespace {

using namespace lab;

// q, k, v [B, T, H, d], w_i [3 E, H], b_i [H], w_f, b_f with E = H d.
struct Gated {
  mlstm::Sizes s;
  const float *q, *k, *v, *b_i, *b_f;
  mlstm::Maps maps;
  explicit Gated(const Call& c)
      : s(c), q(c.In<float>(0)), k(c.In<float>(1)), v(c.In<float>(2)), b_i(c.In<float>(4)), b_f(c.In<float>(6)),
        maps(s.H * s.d, s.H, c.In<float>(3), c.In<float>(5)) {}
  int64_t Tokens() const { return s.H > 0 ? s.rows / s.H * s.T : 0; }
};

void GatedMlstm(const Call& c) {
  const Gated g(c);
  float *i = c.Out<float>(4), *f = c.Out<float>(5);
  mlstm::Preactivations(g.maps, g.Tokens(), g.q, g.k, g.v, g.b_i, g.b_f, i, f);
  const mlstm::Inputs in{g.q, g.k, g.v, i, f};
  mlstm::Forward{g.s, in, c.Out<float>(0), c.Out<float>(1), c.Out<float>(2), c.Out<float>(3)}.Run();
}

void GatedMlstmGrad(const Call& c) {
  const Gated g(c);
  const mlstm::Inputs in{g.q, g.k, g.v, c.In<float>(7), c.In<float>(8)};
  float *dq = c.Out<float>(0), *dk = c.Out<float>(1), *dv = c.Out<float>(2);
  const int64_t gates = g.Tokens() * g.s.H;
  Scratch slopes(std::max<int64_t>(1, 2 * gates));
  float *di = slopes, *df = slopes + gates;
  mlstm::Backward{g.s, in, c.In<float>(9), c.In<float>(10), c.In<float>(11), c.In<float>(12), dq, dk, dv, di, df}.Run();
  mlstm::PreactivationsGrad(g.maps, g.Tokens(), g.q, g.k, g.v, di, df, dq, dk, dv, c.Out<float>(3), c.Out<float>(5), c.Out<float>(4), c.Out<float>(6));
}

}  // namespace

LAB_KERNEL("GatedMlstm", GatedMlstm);
LAB_KERNEL("GatedMlstmGrad", GatedMlstmGrad);
