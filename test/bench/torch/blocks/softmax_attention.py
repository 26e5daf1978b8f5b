# Softmax attention with rotary positions: one projection for q, k and v, and scaled_dot_product_attention or the products written out.
import torch
import torch.nn.functional as F
from torch import nn

from parts import Rotary, attend, joined, later_than

FORMS = ('sdpa', 'matmul')
DECODING = FORMS


class Block(nn.Module):
    def __init__(self, w, options, width):
        super().__init__()
        self.heads = options['heads']
        self.d = options['headDim'] or width // self.heads
        if (options['kvHeads'] or self.heads) != self.heads or options['qkNorm'] or options['qkvBias']:
            raise ValueError('softmax_attention: only as many key heads as query heads, without QK norm and biases')
        self.w_qkv = joined(w['w_q'], w['w_k'], w['w_v'])
        self.w_o = joined(w['w_o'])
        self.rotary = Rotary(self.d, options['ropeTheta'], options['ropeFraction'])
        self.form = FORMS[0]

    def forward(self, x):
        batch, tokens, _ = x.shape
        qkv = F.linear(x, self.w_qkv).view(batch, tokens, 3, self.heads, self.d)
        q, k = (u.transpose(1, 2) for u in self.rotary(qkv[:, :, :2]).unbind(2))
        v = qkv[:, :, 2].transpose(1, 2)
        mask = later_than(tokens, q.dtype)
        return F.linear(attend(q, k, v, self.d**-0.5, self.form, mask), self.w_o)

    def begin(self, batch, context):
        return tuple(torch.zeros(batch, self.heads, context, self.d) for _ in 'kv')

    def step(self, x, state, position):
        keys, values = state
        qkv = F.linear(x, self.w_qkv).view(len(x), 1, 3, self.heads, self.d)
        q, k = (u.transpose(1, 2) for u in self.rotary(qkv[:, :, :2], position).unbind(2))
        keys[:, :, position] = k[:, :, 0]
        values[:, :, position] = qkv[:, 0, 2]
        seen = keys[:, :, : position + 1], values[:, :, : position + 1]
        if self.form == 'sdpa':
            y = F.scaled_dot_product_attention(q, *seen)
        else:
            y = (q @ seen[0].transpose(2, 3)).mul_(self.d**-0.5).softmax(-1) @ seen[1]
        return F.linear(y.transpose(1, 2).flatten(2), self.w_o), state
