# Linear attention in chunks: a masked map over pairs within one, the sum of k vᵀ over all before it.
import torch
import torch.nn.functional as F
from torch import nn

from parts import joined, rms_norm


def forms(tokens):
    return [f'chunks {chunk}' for chunk in (32, 64, 128, 256) if tokens % chunk == 0] or [f'chunks {tokens}']


class Block(nn.Module):
    def __init__(self, w, options, width):
        super().__init__()
        self.H = options['heads']
        self.d, self.e = (options[name] or width // self.H for name in ('keyDim', 'valueDim'))
        if (options['kvHeads'] or self.H) != self.H:
            raise ValueError('linear_attention: only as many key heads as query heads')
        self.scale = options['scale'] or self.d**-0.5
        self.feature = (lambda u: F.elu(u) + 1) if options['featureMap'] == 'elu1' else lambda u: u
        self.divided, self.least, self.epsilon = options['normalize'], options['denomEps'], options['normEps']
        self.w_qkv = joined(w['w_q'], w['w_k'], w['w_v'])
        self.w_o = joined(w['w_o'])
        self.norm_w = nn.Parameter(w['norm_w']) if 'norm_w' in w else None
        self.form = 'chunks 64'

    def project(self, x):
        """Features q, k [B, H, T, d], q scaled, and v [B, H, T, e], with a channel of ones if the output is divided by the sum of weights."""
        q, k, v = F.linear(x, self.w_qkv).split((self.H * self.d, self.H * self.d, self.H * self.e), -1)
        q, k, v = (u.unflatten(2, (self.H, -1)).transpose(1, 2) for u in (q, k, v))
        wide = torch.cat([v, torch.ones_like(v[..., :1])], -1) if self.divided else v
        return self.feature(q) * self.scale, self.feature(k), wide

    def finish(self, o):
        """o [B, H, T, e], or one wider, to the block's output."""
        if self.divided:
            o = o[..., :-1] / (o[..., -1:] + self.least)
        o = o.transpose(1, 2)
        normed = o if self.norm_w is None else rms_norm(o, self.norm_w, self.epsilon)
        return F.linear(normed.flatten(2), self.w_o)

    def forward(self, x):
        chunk = int(self.form.split()[1])
        q, k, v = (u.unflatten(2, (-1, chunk)) for u in self.project(x))  # [B, H, c, Q, ..]
        y = (q @ k.transpose(3, 4)).tril().to(v.dtype) @ v
        if chunk < x.shape[1]:
            added = k.transpose(3, 4) @ v
            y = y + q @ (added.cumsum(2) - added)
        return self.finish(y.flatten(2, 3))

    def begin(self, batch, context):
        return torch.zeros(batch, self.H, self.d, self.e + self.divided)

    def step(self, x, state, position):
        q, k, v = self.project(x)
        state.addcmul_(k.transpose(2, 3), v)
        return self.finish(q @ state), state
