# Attention whose keys and values are rebuilt from latents: of one head (multi-head latent) or of several (grouped latent).
import torch
import torch.nn.functional as F
from torch import nn

from parts import Rotary, attend, joined, later_than, rms_norm


class Latent(nn.Module):
    """
    Heads H in G groups, latents of width r, keys of dN channels of their own and dR turned ones that all heads share, values of dV.
    w_ukv [G, r, (H/G)·(dN + dV)], columns a head [key | value].
    """

    FORMS = ('sdpa', 'matmul')

    def __init__(self, w, sizes, options):
        super().__init__()
        for name, size in sizes.items():
            setattr(self, name, size)
        self.epsilon = options['normEps']
        self.w_in = joined(w['w_q'], w['w_dkv'], w['w_kr'])
        self.w_ukv = nn.Parameter(w['w_ukv'])
        self.kv_norm = nn.Parameter(w['kv_norm'])
        self.w_o = joined(w['w_o'])
        self.scale = (self.dN + self.dR) ** -0.5
        self.rotary = Rotary(self.dR, options['ropeTheta'], options['ropeFraction'])
        self.form = self.FORMS[0]

    def project(self, x, position=0):
        """Queries [B, T, H, dN], their turned part [B, T, H, dR], normed latents [B, T, G, r], the turned key [B, T, 1, dR]."""
        H, G, r = self.H, self.G, self.r
        q, c, shared = F.linear(x, self.w_in).split((H * (self.dN + self.dR), G * r, self.dR), -1)
        still, turning = q.unflatten(2, (H, -1)).split((self.dN, self.dR), -1)
        c = rms_norm(c.unflatten(2, (G, r)), self.kv_norm if G > 1 else self.kv_norm.view(G, r), self.epsilon)
        return still, self.rotary(turning, position), c, self.rotary(shared.unsqueeze(2), position)

    def forward(self, x):
        batch, tokens, _ = x.shape
        still, turning, c, shared = self.project(x)
        made = torch.einsum('btgr,grn->btgn', c, self.w_ukv.to(c.dtype)).reshape(batch, tokens, self.H, -1)
        own, v = made.split((self.dN, self.dV), -1)
        q = torch.cat([still, turning], -1).transpose(1, 2)
        k = torch.cat([own, shared.expand(-1, -1, self.H, -1)], -1).transpose(1, 2)
        v = v.transpose(1, 2)
        if self.form == 'sdpa':
            v = F.pad(v, (0, self.dN + self.dR - self.dV))
            y = attend(q, k, v, self.scale, 'sdpa', None).unflatten(2, (self.H, -1))[..., : self.dV].flatten(2)
        else:
            y = attend(q, k, v, self.scale, 'matmul', later_than(tokens, q.dtype))
        return F.linear(y, self.w_o)

    def begin(self, batch, context):
        """Latents, turned keys, and w_ukv apart: [H, dN, r] for the queries, [H, r, dV] for what is read."""
        by_head = self.w_ukv.view(self.G, self.r, self.H // self.G, -1).transpose(1, 2).flatten(0, 1)
        key, value = by_head.split((self.dN, self.dV), -1)
        return (
            torch.zeros(batch, self.G, context, self.r),
            torch.zeros(batch, 1, context, self.dR),
            key.transpose(1, 2).contiguous(),
            value.contiguous(),
        )

    def step(self, x, state, position):
        latents, turned, key, value = state
        still, turning, c, shared = self.project(x, position)
        latents[:, :, position] = c[:, 0]
        turned[:, :, position] = shared[:, 0]
        seen, angles = latents[:, :, : position + 1], turned[:, :, : position + 1]
        q = torch.bmm(still[:, 0].transpose(0, 1), key).transpose(0, 1).unflatten(1, (self.G, -1))  # [B, G, H/G, r]
        scores = (q @ seen.transpose(2, 3)).flatten(1, 2)
        scores = scores + (turning[:, 0].unsqueeze(1) @ angles.transpose(2, 3)).squeeze(1)
        shares = (scores * self.scale).softmax(-1).unflatten(1, (self.G, -1))
        mixed = (shares @ seen).flatten(1, 2)  # [B, H, r]
        y = torch.bmm(mixed.transpose(0, 1), value).transpose(0, 1)
        return F.linear(y.flatten(1).unsqueeze(1), self.w_o), state
