# Differential attention: two softmax maps a head, the second times λ taken from the first.
import math

import torch
import torch.nn.functional as F
from torch import nn

from parts import Rotary, attend, joined, later_than, rms_norm, shares_of

FORMS = ('matmul', 'sdpa')


class Block(nn.Module):
    def __init__(self, w, options, width):
        super().__init__()
        self.H = options['heads']
        self.d = options['headDim'] or width // (2 * self.H)
        if (options['kvHeads'] or self.H) != self.H:
            raise ValueError('differential_attention: only as many key heads as query heads')
        self.w_qkv = joined(w['w_q'], w['w_k'], w['w_v'])
        self.w_o = joined(w['w_o'])
        for name in ('lambda_q1', 'lambda_k1', 'lambda_q2', 'lambda_k2', 'head_norm'):
            setattr(self, name, nn.Parameter(w[name]))
        depth = max(0, options['layerIndex'])
        self.start = options['lambdaInit'] or 0.8 - 0.6 * math.exp(-0.3 * depth)
        self.epsilon = options['normEps']
        self.rotary = Rotary(self.d, options['ropeTheta'], options['ropeFraction'])
        self.form = FORMS[0]

    def weight(self):
        first = (self.lambda_q1 * self.lambda_k1).sum().exp()
        return first - (self.lambda_q2 * self.lambda_k2).sum().exp() + self.start

    def project(self, x, position=0):
        """q, k [B, 2H, T, d] turned, components of a head side by side, and v [B, H, T, 2d]."""
        qkv = F.linear(x, self.w_qkv).unflatten(2, (3, 2 * self.H, self.d))
        q, k = (u.transpose(1, 2) for u in self.rotary(qkv[:, :, :2], position).unbind(2))
        v = qkv[:, :, 2].reshape(*x.shape[:2], self.H, 2 * self.d).transpose(1, 2)
        return q, k, v

    def finish(self, y):
        """y [B, T, H, 2d] to the block's output."""
        scaled = self.head_norm * (1 - self.start)
        return F.linear(rms_norm(y, scaled, self.epsilon).flatten(2), self.w_o)

    def forward(self, x):
        batch, tokens, _ = x.shape
        q, k, v = self.project(x)
        weight = self.weight().to(q.dtype)
        if self.form == 'sdpa':
            both = attend(q, k, v.repeat_interleave(2, 1), self.d**-0.5, 'sdpa', None)
            first, second = both.unflatten(2, (self.H, 2, 2 * self.d)).unbind(3)
            return self.finish(first - weight * second)
        maps = shares_of(q, k, self.d**-0.5, later_than(tokens, q.dtype))
        first, second = maps.unflatten(0, (batch * self.H, 2)).unbind(1)
        y = torch.bmm(first - weight.to(maps.dtype) * second, v.reshape(batch * self.H, tokens, -1).to(maps.dtype))
        return self.finish(y.view(batch, self.H, tokens, -1).transpose(1, 2).to(x.dtype))

    def begin(self, batch, context):
        return (
            torch.zeros(batch, 2 * self.H, context, self.d),
            torch.zeros(batch, self.H, context, 2 * self.d),
            self.weight(),
        )

    def step(self, x, state, position):
        keys, values, weight = state
        q, k, v = self.project(x, position)
        keys[:, :, position] = k[:, :, 0]
        values[:, :, position] = v[:, :, 0]
        maps = (q @ keys[:, :, : position + 1].transpose(2, 3)).mul_(self.d**-0.5).softmax(-1)
        first, second = maps.unflatten(1, (self.H, 2)).unbind(2)
        y = torch.addcmul(first, weight, second, value=-1) @ values[:, :, : position + 1]
        return self.finish(y.transpose(1, 2)), state
