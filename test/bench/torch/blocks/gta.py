# Grouped-tied attention: one state is the value and the unturned part of the key, one rotary key completes it for all heads.
import torch
import torch.nn.functional as F
from torch import nn

from parts import Rotary, attend, joined, later_than

FORMS = ('sdpa', 'matmul')


class Block(nn.Module):
    def __init__(self, w, options, width):
        super().__init__()
        self.H = options['heads']
        self.Hk = options['kvHeads'] or self.H
        self.d = options['headDim'] or width // self.H
        self.dR = options['ropeDim'] or 2 * ((self.d // 2 + 1) // 2)
        if options['ropeKeyBias'] or not options['causal']:
            raise ValueError('gta: only causal, without a bias on the rotary key')
        self.w_in = joined(w['w_q'], w['w_kv'], w['w_kr'])
        self.w_o = joined(w['w_o'])
        self.rotary = Rotary(self.dR, options['ropeTheta'], options['ropeFraction'])
        self.form = FORMS[0]

    def project(self, x, position=0):
        """Queries [B, T, H, d], tied states [B, T, Hk, d] and the rotary key [B, T, 1, dR], all turned that turns."""
        q, s, shared = F.linear(x, self.w_in).split((self.H * self.d, self.Hk * self.d, self.dR), -1)
        still, turning = q.unflatten(2, (self.H, self.d)).split((self.d - self.dR, self.dR), -1)
        q = torch.cat([still, self.rotary(turning, position)], -1)
        return q, s.unflatten(2, (self.Hk, self.d)), self.rotary(shared.unsqueeze(2), position)

    def forward(self, x):
        batch, tokens, _ = x.shape
        q, s, shared = self.project(x)
        k = torch.cat([s[..., : self.d - self.dR], shared.expand(-1, -1, self.Hk, -1)], -1)
        q, k, v = (u.transpose(1, 2) for u in (q, k, s))
        k, v = (u.repeat_interleave(self.H // self.Hk, 1) for u in (k, v))
        return F.linear(attend(q, k, v, self.d**-0.5, self.form, later_than(tokens, q.dtype)), self.w_o)

    def begin(self, batch, context):
        return torch.zeros(batch, self.Hk, context, self.d), torch.zeros(batch, 1, context, self.dR)

    def step(self, x, state, position):
        tied, turned = state
        q, s, shared = self.project(x, position)
        tied[:, :, position] = s[:, 0]
        turned[:, :, position] = shared[:, 0]
        seen, angles = tied[:, :, : position + 1], turned[:, :, : position + 1]
        own, turning = q[:, 0].split((self.d - self.dR, self.dR), -1)
        groups = (self.Hk, self.H // self.Hk)
        scores = (own.unflatten(1, groups) @ seen[..., : self.d - self.dR].transpose(2, 3)).flatten(1, 2)
        scores = scores + (turning.unsqueeze(1) @ angles.transpose(2, 3)).squeeze(1)  # [B, H, n]
        shares = (scores * self.d**-0.5).softmax(-1)
        y = shares.unflatten(1, groups) @ seen
        return F.linear(y.flatten(1).unsqueeze(1), self.w_o), state
