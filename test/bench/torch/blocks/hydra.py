# Hydra: one projection, centred convolution, scans in both directions, gated norm, projection.
import torch
import torch.nn.functional as F
from torch import nn

import ssd
from parts import centred_conv_silu, joined, rms_norm


def forms(tokens):
    return ssd.forms(tokens)


class Block(nn.Module):
    def __init__(self, w, options, width):
        super().__init__()
        self.P, self.N = options['headDim'], options['dState']
        self.inner = options['expand'] * width
        self.H = self.inner // self.P
        self.conv = self.inner + 4 * self.N
        if options['groups'] != 1 or options['bias'] or options['dtLimit'] or options['read'] != 'neighbour' or 'conv_b' not in w:
            raise ValueError('hydra: only one group read by the neighbour, without biases on projections and step size limits')
        self.epsilon = options['normEps']
        self.w_in = joined(w['w_in'])
        self.w_out = joined(w['w_out'])
        self.w_D = joined(w['w_D'])
        for name in ('conv_w', 'conv_b', 'dt_bias', 'A_log', 'D', 'norm_w'):
            setattr(self, name, nn.Parameter(w[name]))
        self.form = 'grouped 64'

    def forward(self, x):
        batch, tokens, _ = x.shape
        z, mixed, raw = F.linear(x, self.w_in).split((self.inner, self.conv, 2 * self.H), -1)
        values, *maps = centred_conv_silu(mixed, self.conv_w, self.conv_b).split((self.inner, *[self.N] * 4), -1)
        dt = F.softplus(raw.float().unflatten(2, (2, self.H)) + self.dt_bias)
        v = values.unflatten(2, (self.H, self.P))
        # Both directions as one batch, the second with its time reversed.
        both = lambda ahead, back: torch.cat([ahead, back.flip(1)])
        B, C = both(maps[0], maps[2]), both(maps[1], maps[3])
        scanned = ssd.ssd_scan(
            both(v, v), both(dt[:, :, 0], dt[:, :, 1]), -self.A_log.exp(), B.unsqueeze(2), C.unsqueeze(2), self.form
        )
        own = F.linear(values, self.w_D) + self.D.to(values.dtype)
        y = v * own.unsqueeze(-1)
        y[:, 1:] += scanned[:batch, :-1]
        y[:, :-1] += scanned[batch:].flip(1)[:, 1:]
        normed = rms_norm(y.flatten(2), self.norm_w, self.epsilon, x.dtype)
        return F.linear(normed * F.silu(z), self.w_out)
