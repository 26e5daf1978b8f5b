# Mamba-2: one projection, short convolution, scan in chunks, gated norm, projection.
import torch
import torch.nn.functional as F
from torch import nn

import ssd
from parts import causal_conv_silu, convolve_newest, joined, rms_norm


def forms(tokens):
    return ssd.forms(tokens)


class Block(nn.Module):
    def __init__(self, w, options, width):
        super().__init__()
        self.P, self.N, self.G = options['headDim'], options['dState'], options['groups']
        self.inner = options['expand'] * width
        self.H = self.inner // self.P
        self.conv = self.inner + 2 * self.G * self.N
        if self.G != 1 or options['bias'] or options['dtLimit'] or options['normBeforeGate'] or 'conv_b' not in w:
            raise ValueError('mamba2: only one group, without biases on projections, step size limits and norm before gate')
        self.epsilon = options['normEps']
        self.w_in = joined(w['w_in'])
        self.w_out = joined(w['w_out'])
        for name in ('conv_w', 'conv_b', 'dt_bias', 'A_log', 'D', 'norm_w'):
            setattr(self, name, nn.Parameter(w[name]))
        self.form = 'grouped 64'

    def forward(self, x):
        batch, tokens, _ = x.shape
        z, mixed, raw = F.linear(x, self.w_in).split((self.inner, self.conv, self.H), -1)
        xBC = causal_conv_silu(mixed, self.conv_w, self.conv_b)
        dt = F.softplus(raw.float() + self.dt_bias)
        values, B, C = xBC.split((self.inner, self.N, self.N), -1)
        v = values.unflatten(2, (self.H, self.P))
        y = ssd.ssd_scan(v, dt, -self.A_log.exp(), B.unsqueeze(2), C.unsqueeze(2), self.form)
        y = torch.addcmul(y, v, self.D.unsqueeze(-1).to(v.dtype)).flatten(2)
        return F.linear(rms_norm(y * F.silu(z), self.norm_w, self.epsilon, x.dtype), self.w_out)

    def begin(self, batch, context):
        return torch.zeros(batch, len(self.conv_w) - 1, self.conv), torch.zeros(batch, self.H, self.P, self.N), -self.A_log.exp()

    def step(self, x, state, position):
        rows, S, rate = state
        z, mixed, raw = F.linear(x, self.w_in).split((self.inner, self.conv, self.H), -1)
        rows = torch.cat([rows, mixed], 1)
        values, B, C = convolve_newest(rows, self.conv_w, self.conv_b).split((self.inner, self.N, self.N), -1)
        dt = F.softplus(raw + self.dt_bias).squeeze(1)  # [B, H]
        v = values.view(-1, self.H, self.P)
        S.mul_((dt * rate).exp()[..., None, None]).addcmul_((v * dt.unsqueeze(-1)).unsqueeze(-1), B.unsqueeze(1))
        y = torch.addcmul((S @ C.unsqueeze(-1)).squeeze(-1), v, self.D.unsqueeze(-1))
        y = y.flatten(1).unsqueeze(1)
        return F.linear(rms_norm(y * F.silu(z), self.norm_w, self.epsilon), self.w_out), (rows[:, 1:], S, rate)
