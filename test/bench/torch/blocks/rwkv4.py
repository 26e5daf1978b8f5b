# RWKV-4's time mixing. Its mean over the past is a linear recurrence once the exponents are known, and those come from one running maximum.
import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd import Function

from parts import joined

LOWEST = -1e38


def run(keep, added):
    """s[t] = keep[t] s[t-1] + added[t] from zero: keep [T, B, C], added [T, 2, B, C]; all s[t-1], zeros first."""
    before = torch.empty_like(added)
    before[0] = 0
    rows = before.unbind(0)
    for t, (k, a) in enumerate(zip(keep.unbind(0)[:-1], added.unbind(0)[:-1])):
        torch.addcmul(a, k, rows[t], out=rows[t + 1])
    return before


def exponents(keys, w):
    """o[t] = max(o[t-1] + w, keys[t]), and the same before each token, w added: [T, B, C] each."""
    age = torch.arange(len(keys), dtype=keys.dtype).view(-1, 1, 1) * w
    o = (keys - age).cummax(0).values.add_(age)
    return o, torch.cat([torch.full_like(o[:1], LOWEST), o[:-1] + w])


class Wkv(Function):
    """k, v [B, T, C], w (log of the decay, < 0) and u [C] to [B, T, C]."""

    @staticmethod
    def forward(ctx, k, v, w, u):
        k, v = (x.float().transpose(0, 1).contiguous() for x in (k, v))
        o, aged = exponents(k, w)
        keep, new = (aged - o).exp_(), (k - o).exp_()
        past = run(keep, torch.stack([new * v, new], 1))  # numerators and denominators before each token, at exponent o[t-1]
        reach = aged - w
        reach[0] = LOWEST
        bonus = k + u
        s = torch.maximum(reach, bonus)
        before, own = (reach - s).exp_(), (bonus - s).exp_()
        share = torch.addcmul(own, before, past[:, 1]).reciprocal_()
        y = torch.addcmul(own * v, before, past[:, 0]).mul_(share)
        ctx.save_for_backward(k, v, w, y, past, reach, own, s, share)
        return y.transpose(0, 1)

    @staticmethod
    def backward(ctx, dy):
        k, v, w, y, past, reach, own, s, share = ctx.saved_tensors
        dy = dy.float().transpose(0, 1) * share
        # The mirror image: what later tokens ask of the sums after token t, kept at exponents of their own.
        n, aged = (x.flip(0) for x in exponents(-s.flip(0), w))
        scale = (-s - n).exp_() * dy
        later = run((aged - n).exp_().flip(0), torch.stack([scale, -y * scale], 1).flip(0)).flip(0)
        O = aged - w
        O[-1] = LOWEST
        E, R = dy * own, (k + O).exp_()
        P, Q = later[:, 0], later[:, 1]
        dv = torch.addcmul(E, R, P)
        dk = torch.addcmul(E * (v - y), R, torch.addcmul(Q, P, v))
        du = (E * (v - y)).sum((0, 1))
        dw = ((w + O + reach).exp_() * (P * past[:, 0] + Q * past[:, 1])).sum((0, 1))
        return dk.transpose(0, 1), dv.transpose(0, 1), dw, du


class Plain(nn.Module):
    """The recurrence token by token, differentiated by autograd."""

    def forward(self, k, v, w, u):
        k, v = k.float(), v.float()
        p = q = torch.zeros_like(k[:, 0])
        o = torch.full_like(p, LOWEST)
        ys = []
        for kt, vt in zip(k.unbind(1), v.unbind(1)):
            s = torch.maximum(o, u + kt)
            before, own = (o - s).exp(), (u + kt - s).exp()
            ys.append((before * p + own * vt) / (before * q + own))
            s = torch.maximum(o + w, kt)
            before, own = (o + w - s).exp(), (kt - s).exp()
            p, q, o = before * p + own * vt, before * q + own, s
        return torch.stack(ys, 1)


FORMS = ('backward by hand', 'autograd')


class Block(nn.Module):
    def __init__(self, w, options, width):
        super().__init__()
        for name in ('mu_k', 'mu_v', 'mu_r', 'time_decay', 'time_first'):
            setattr(self, name, nn.Parameter(w[name]))
        for name in ('w_k', 'w_v', 'w_r', 'w_o'):
            setattr(self, name, joined(w[name]))
        self.plain = Plain()
        self.form = FORMS[0]

    def project(self, x, before):
        mixed = (torch.lerp(before, x, getattr(self, f'mu_{name}').to(x.dtype)) for name in 'kvr')
        return [F.linear(m, getattr(self, f'w_{name}')) for m, name in zip(mixed, 'kvr')]

    def forward(self, x):
        k, v, r = self.project(x, F.pad(x[:, :-1], (0, 0, 1, 0)))
        mean = (Wkv.apply if self.form == FORMS[0] else self.plain)(k, v, -self.time_decay.exp(), self.time_first)
        return F.linear(r.sigmoid() * mean.to(r.dtype), self.w_o)

    def begin(self, batch, context):
        A = len(self.time_decay)
        sums = [torch.zeros(batch, A), torch.zeros(batch, A), torch.full((batch, A), LOWEST)]
        return torch.zeros(batch, 1, len(self.mu_k)), *sums, -self.time_decay.exp()

    def step(self, x, state, position):
        before, p, q, o, w = state
        k, v, r = (u.squeeze(1) for u in self.project(x, before))
        bonus = k + self.time_first
        s = torch.maximum(o, bonus)
        past, own = (o - s).exp_(), (bonus - s).exp_()
        mean = torch.addcmul(own * v, past, p) / torch.addcmul(own, past, q)
        aged = o + w
        s = torch.maximum(aged, k)
        past, own = (aged - s).exp_(), (k - s).exp_()
        y = F.linear(r.sigmoid() * mean, self.w_o).unsqueeze(1)
        return y, (x, torch.addcmul(own * v, past, p), torch.addcmul(own, past, q), s, w)
