# mLSTM: two branches, convolution, projections in small blocks, a matrix memory as a gated map over pairs, whole or in chunks.
import torch
import torch.nn.functional as F
from torch import nn

from parts import causal_conv_silu, convolve_newest, head_norm, joined

LEAST = -80.0  # exp(-m) stays finite below it


def forms(tokens):
    return ['parallel'] + [f'chunks {chunk}' for chunk in (64, 128) if chunk < tokens]


def denominator(sums, m, epsilon):
    return torch.maximum(sums.abs(), (-m).clamp_max(-LEAST).exp()) + epsilon


def parallel(q, k, v, i, lf, epsilon):
    """q, k, v [B, H, T, d], k scaled; gates [B, H, T], the forget gate as its log: to [B, H, T, d]."""
    T = q.shape[2]
    total = lf.cumsum(-1)
    above = torch.full((T, T), -torch.inf).triu_(1)
    A = (total.unsqueeze(-1) + (i - total).unsqueeze(-2)).add_(above)
    m = A.detach().amax(-1)
    S = (q @ k.transpose(2, 3)) * (A - m.unsqueeze(-1)).exp()
    return (S.to(v.dtype) @ v) / denominator(S.sum(-1), m, epsilon).unsqueeze(-1)


def chunkwise(q, k, v, i, lf, epsilon, chunk):
    """The same with a memory between chunks. Only the memories of the chunks are made one after another."""
    T = q.shape[2]
    q, k, v, i, lf = (u.unflatten(2, (T // chunk, chunk)) for u in (q, k, v, i, lf))  # [B, H, c, L, ..]
    total = lf.cumsum(-1)
    end = total[..., -1]
    above = torch.full((chunk, chunk), -torch.inf).triu_(1)
    A = (total.unsqueeze(-1) + (i - total).unsqueeze(-2)).add_(above)
    left = end.unsqueeze(-1) - total + i  # weight of each token in the memory after its chunk
    top = left.detach().amax(-1)
    wide = torch.cat([v, torch.ones_like(v[..., :1])], -1)  # the normaliser is one more channel of the memory
    added = (k * (left - top.unsqueeze(-1)).exp().unsqueeze(-1)).to(v.dtype).transpose(3, 4) @ wide
    C, m0 = torch.zeros_like(added[:, :, 0]), torch.zeros_like(end[..., 0])
    memories, starts = [], []
    for j in range(T // chunk):
        memories.append(C)
        starts.append(m0)
        m = torch.maximum(end[..., j] + m0, top[..., j]).detach()
        keep, new = (end[..., j] + m0 - m).exp(), (top[..., j] - m).exp()
        C, m0 = keep[..., None, None] * C + new[..., None, None] * added[:, :, j], m
    C0, m0 = torch.stack(memories, 2), torch.stack(starts, 2).unsqueeze(-1)
    m = torch.maximum(total + m0, A.amax(-1)).detach()
    S = (q @ k.transpose(3, 4)) * (A - m.unsqueeze(-1)).exp()
    both = S.to(v.dtype) @ wide + (q @ C0.to(q.dtype)) * (total + m0 - m).exp().unsqueeze(-1)
    num, sums = both[..., :-1], both[..., -1]
    return (num / denominator(sums, m, epsilon).unsqueeze(-1)).flatten(2, 3)


class Block(nn.Module):
    def __init__(self, w, options, width):
        super().__init__()
        self.H, self.E, self.S = options['heads'], options['inner'] or 2 * width, options['blockSize']
        self.d = self.E // self.H
        if options['bias'] or options['forgetGate'] != 'sigmoid':
            raise ValueError('mlstm: only the sigmoid forget gate, without biases on projections')
        self.epsilon, self.norm_epsilon = options['eps'], options['normEps']
        self.w_up, self.w_down = joined(w['w_up']), joined(w['w_down'])
        self.w_qk = nn.Parameter(torch.cat([w['w_q'], w['w_k']], 2))
        self.w_v = nn.Parameter(w['w_v'])
        self.w_gates = joined(w['w_i'], w['w_f'])
        self.b_gates = nn.Parameter(torch.cat([w['b_i'], w['b_f']]))
        for name in ('conv_w', 'conv_b', 'norm_w', 'skip'):
            setattr(self, name, nn.Parameter(w[name]))
        self.form = 'parallel'

    def blocks(self, x, w):
        """x [B, T, E] times a block diagonal w [E/S, S, n·S]: [B, T, E/S, n·S]."""
        by_block = x.reshape(-1, self.E // self.S, self.S).transpose(0, 1)
        return torch.bmm(by_block, w.to(x.dtype)).transpose(0, 1).unflatten(0, x.shape[:2])

    def project(self, c, u):
        """q, k, v [B, T, E] and gates i, f [B, T, H]."""
        q, k = (x.flatten(2) for x in self.blocks(c, self.w_qk).split(self.S, -1))
        v = self.blocks(u, self.w_v).flatten(2)
        gates = F.linear(torch.cat([q, k, v], -1), self.w_gates, self.b_gates).float()
        return q, k, v, *gates.split(self.H, -1)

    def finish(self, h, c, z):
        """h [B, T, H, d] to the block's output."""
        normed = head_norm(h, self.norm_w, self.norm_epsilon)
        skipped = torch.addcmul(normed.to(c.dtype), c, self.skip.to(c.dtype))
        return F.linear(skipped * F.silu(z), self.w_down)

    def forward(self, x):
        u, z = F.linear(x, self.w_up).split(self.E, -1)
        c = causal_conv_silu(u, self.conv_w, self.conv_b)
        q, k, v, i, f = self.project(c, u)
        heads = lambda a: a.unflatten(2, (self.H, self.d)).transpose(1, 2)
        gate = lambda a: a.transpose(1, 2)
        given = heads(q), heads(k * self.d**-0.5), heads(v), gate(i), F.logsigmoid(gate(f)), self.epsilon
        h = parallel(*given) if self.form == 'parallel' else chunkwise(*given, int(self.form.split()[1]))
        return self.finish(h.transpose(1, 2), c, z)

    def begin(self, batch, context):
        rows = torch.zeros(batch, len(self.conv_w) - 1, self.E)
        return rows, torch.zeros(batch, self.H, self.d, self.d), torch.zeros(batch, self.H, self.d), torch.zeros(batch, self.H)

    def step(self, x, state, position):
        rows, C, n, m = state
        u, z = F.linear(x, self.w_up).split(self.E, -1)
        rows = torch.cat([rows, u], 1)
        c = convolve_newest(rows, self.conv_w, self.conv_b)
        q, k, v, i, f = (a.squeeze(1) for a in self.project(c, u))
        q, k, v = (a.view(-1, self.H, self.d) for a in (q, k * self.d**-0.5, v))
        log = F.logsigmoid(f) + m
        m = torch.maximum(log, i)
        keep, new = (log - m).exp_().unsqueeze(-1), (i - m).exp_().unsqueeze(-1)
        k = k * new
        C.mul_(keep.unsqueeze(-1)).addcmul_(k.unsqueeze(-1), v.unsqueeze(-2))
        n = torch.addcmul(k, keep, n)
        h = (q.unsqueeze(-2) @ C).squeeze(-2) / denominator((q * n).sum(-1), m, self.epsilon).unsqueeze(-1)
        return self.finish(h.unsqueeze(1), c, z), (rows[:, 1:], C, n, m)
