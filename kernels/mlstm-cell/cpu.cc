// The matrix memory by its kernels' names: preactivations of its gates come from outside.
#include "backward.h"
#include "forward.h"

namespace {

using namespace lab;

mlstm::Inputs InputsOf(const Call& c) { return {c.In<float>(0), c.In<float>(1), c.In<float>(2), c.In<float>(3), c.In<float>(4)}; }

void MlstmCell(const Call& c) {
  const mlstm::Sizes s(c);
  const mlstm::Inputs in = InputsOf(c);
  mlstm::Forward{s, in, c.Out<float>(0), c.Out<float>(1), c.Out<float>(2), c.Out<float>(3)}.Run();
}

void MlstmCellGrad(const Call& c) {
  const mlstm::Sizes s(c);
  const mlstm::Inputs in = InputsOf(c);
  mlstm::Backward{s, in, c.In<float>(5), c.In<float>(6), c.In<float>(7), c.In<float>(8), c.Out<float>(0), c.Out<float>(1), c.Out<float>(2), c.Out<float>(3), c.Out<float>(4)}.Run();
}

}  // namespace

LAB_KERNEL("MlstmCell", MlstmCell);
LAB_KERNEL("MlstmCellGrad", MlstmCellGrad);
