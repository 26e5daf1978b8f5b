# Gated linear attention in chunks: queries and keys carry the decay since their chunk's middle, a state goes from chunk to chunk.
import torch
import torch.nn.functional as F
from torch import nn

from parts import joined, rms_norm


def forms(tokens):
    """The longer a chunk, the weaker the decay must be: half of one times the log decay must stay above -80 in float32."""
    return [f'chunks {chunk}' for chunk in (16, 32, 64) if tokens % chunk == 0] or [f'chunks {tokens}']


class Block(nn.Module):
    def __init__(self, w, options, width):
        super().__init__()
        self.H = options['heads']
        self.d, self.e = options['keyDim'] or width // (2 * self.H), options['valueDim'] or width // self.H
        if (options['kvHeads'] or self.H) != self.H or options['convSize'] or not options['outputGate'] or options['gateClampMin'] > -1000:
            raise ValueError('gated_linear_attention: only as many key heads as query heads, gated, without convolution and clamp')
        self.scale = options['scale'] or self.d**-0.5
        self.strength, self.epsilon = options['gateNormalizer'], options['normEps']
        self.w_in = joined(w['w_q'], w['w_k'], w['w_v'], w['w_g'], w['w_gk1'])
        self.w_gk2, self.w_o = joined(w['w_gk2']), joined(w['w_o'])
        for name in ('b_gk2', 'norm_w'):
            setattr(self, name, nn.Parameter(w[name]))
        self.form = 'chunks 16'

    def project(self, x):
        """q, scaled, and k [B, H, T, d], v [B, H, T, e], log decays [B, H, T, d] and the output's gate [B, T, H, e]."""
        keys, values = self.H * self.d, self.H * self.e
        q, k, v, gate, low = F.linear(x, self.w_in).split((keys, keys, values, values, self.w_gk2.shape[1]), -1)
        g = F.logsigmoid(F.linear(low, self.w_gk2, self.b_gk2).float()) / self.strength
        q, k, v, g = (u.unflatten(2, (self.H, -1)).transpose(1, 2) for u in (q * self.scale, k, v, g))
        return q, k, v, g, gate.unflatten(2, (self.H, self.e))

    def finish(self, o, gate):
        """o [B, H, T, e] to the block's output."""
        normed = rms_norm(o.transpose(1, 2), self.norm_w, self.epsilon) * F.silu(gate)
        return F.linear(normed.flatten(2), self.w_o)

    def forward(self, x):
        chunk = int(self.form.split()[1])
        *heads, gate = self.project(x)
        q, k, v, g = (u.unflatten(2, (-1, chunk)) for u in heads)  # [B, H, c, Q, ..]
        total = g.cumsum(3)
        middle, end = total[:, :, :, chunk // 2 : chunk // 2 + 1], total[:, :, :, -1:]
        late = (total - middle).exp()
        y = ((q * late) @ (k * (middle - total).exp()).transpose(3, 4)).tril().to(v.dtype) @ v
        added = (k * (end - total).exp()).to(v.dtype).transpose(3, 4) @ v  # [B, H, c, d, e]
        keep = end.exp().transpose(3, 4)
        state = torch.zeros_like(added[:, :, 0])
        before = []
        for i in range(added.shape[2]):
            before.append(state)
            state = torch.addcmul(added[:, :, i], keep[:, :, i], state)
        y = y + (q * total.exp()).to(v.dtype) @ torch.stack(before, 2)
        return self.finish(y.flatten(2, 3), gate)

    def begin(self, batch, context):
        return torch.zeros(batch, self.H, self.d, self.e)

    def step(self, x, state, position):
        q, k, v, g, gate = self.project(x)
        state.mul_(g.exp().transpose(2, 3)).addcmul_(k.transpose(2, 3), v)
        return self.finish(q @ state, gate), state
