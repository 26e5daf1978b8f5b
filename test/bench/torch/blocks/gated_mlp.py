# The gated MLP, gate and up side by side in one projection.
import torch.nn.functional as F
from torch import nn

from parts import SwiGlu, joined


class Block(nn.Module):
    def __init__(self, w, options, width):
        super().__init__()
        if options['activation'] != 'silu':
            raise ValueError(f'gated_mlp: only silu, not {options["activation"]}')
        self.w_both = joined(w['w_gate'], w['w_up'])
        self.w_down = joined(w['w_down'])

    def forward(self, x):
        return F.linear(SwiGlu.apply(F.linear(x, self.w_both)), self.w_down)

    def begin(self, batch, context):
        return ()

    def step(self, x, state, position):
        gate, up = F.linear(x, self.w_both).chunk(2, -1)
        return F.linear(F.silu(gate).mul_(up), self.w_down), state
