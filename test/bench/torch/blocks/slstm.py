# sLSTM: its memory mixes the hidden state into the next gates, so tokens run one after another; forward and backward loops by hand.
import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd import Function

from parts import causal_conv_silu, convolve_newest, head_norm

FORMS = ('backward by hand', 'autograd')


class Cell(Function):
    """Preactivations [T, H, B, 4, d] in the order f, i, z, o, bias in them, and r [H, d, 4d] to h [T, H, B, d]."""

    @staticmethod
    def forward(ctx, gates, r):
        T, H, B, _, d = gates.shape
        new = lambda *shape: torch.empty(T, *shape, H, B, d)
        a, decays = torch.empty(T, H, B, 4, d), torch.empty(T, H, B, 2, d)
        c, n, h = torch.zeros(T + 1, H, B, d), torch.zeros(T + 1, H, B, d), torch.zeros(T + 1, H, B, d)
        ratio = new()
        m = None
        rows = zip(gates.unbind(0), a.unbind(0), decays.unbind(0), ratio.unbind(0))
        cs, ns, hs = c.unbind(0), n.unbind(0), h.unbind(0)
        for t, (pre, at, both, rt) in enumerate(rows):
            torch.baddbmm(pre.flatten(2), hs[t], r, out=at.view(H, B, 4 * d))
            logs = both
            if t == 0:
                logs[:, :, 0] = -torch.inf
                logs[:, :, 1] = at[:, :, 1]
            else:
                torch.add(F.logsigmoid(at[:, :, 0]), m, out=logs[:, :, 0])
                logs[:, :, 1] = at[:, :, 1]
            m = logs.amax(2)
            logs.sub_(m.unsqueeze(2)).exp_()
            at[:, :, 2].tanh_()
            at[:, :, 3].sigmoid_()
            keep, new_ = logs[:, :, 0], logs[:, :, 1]
            torch.addcmul(new_ * at[:, :, 2], keep, cs[t], out=cs[t + 1])
            torch.addcmul(new_, keep, ns[t], out=ns[t + 1])
            torch.div(cs[t + 1], ns[t + 1], out=rt)
            torch.mul(rt, at[:, :, 3], out=hs[t + 1])
        ctx.save_for_backward(a, decays, c, n, h, ratio, r)
        return h[1:]

    @staticmethod
    def backward(ctx, dy):
        a, decays, c, n, h, ratio, r = ctx.saved_tensors
        T, H, B, _, d = a.shape
        F_, I, z, o = decays[..., 0, :], decays[..., 1, :], a[..., 2, :], a[..., 3, :]
        # Everything that does not hang on what comes back is made for all tokens at once.
        forget = F_ * torch.sigmoid(-a[..., 0, :])
        to_cf, to_nf = c[:-1] * forget, n[:-1] * forget
        to_ci = z * I
        to_z = I * (1 - z * z)
        to_o = ratio * o * (1 - o)
        to_c = o / n[1:]
        to_n = -to_c * ratio
        slopes = torch.empty_like(a)
        back = r.transpose(1, 2)
        dh = dc = dn = None
        rows = list(zip(*(x.unbind(0) for x in (dy, slopes, F_, I, to_cf, to_nf, to_ci, to_z, to_o, to_c, to_n))))
        for dyt, da, keep, It, cf, nf, ci, tz, to, tc, tn in reversed(rows):
            dh = dyt if dh is None else torch.add(dyt, dh)
            dc = dh * tc if dc is None else torch.addcmul(dc, dh, tc)
            dn = dh * tn if dn is None else torch.addcmul(dn, dh, tn)
            torch.addcmul(dc * cf, dn, nf, out=da[:, :, 0])
            torch.addcmul(dc * ci, dn, It, out=da[:, :, 1])
            torch.mul(dc, tz, out=da[:, :, 2])
            torch.mul(dh, to, out=da[:, :, 3])
            dh = torch.bmm(da.flatten(2), back)
            dc, dn = dc * keep, dn * keep
        by_head = lambda x: x.transpose(0, 1).flatten(1, 2)  # [H, T·B, ..]
        dr = by_head(h[:-1]).transpose(1, 2) @ by_head(slopes.flatten(3))
        return slopes, dr


def plain(gates, r):
    """The same token by token, differentiated by autograd."""
    T, H, B, _, d = gates.shape
    h = torch.zeros(H, B, d)
    c = n = m = None
    hs = []
    for pre in gates.unbind(0):
        f, i, z, o = (pre + torch.bmm(h, r).unflatten(2, (4, d))).unbind(2)
        if m is None:
            m = i.detach()
            c, n = (i - m).exp() * z.tanh(), (i - m).exp()
        else:
            log = F.logsigmoid(f) + m
            m = torch.maximum(i, log).detach()
            keep, new = (log - m).exp(), (i - m).exp()
            c, n = keep * c + new * z.tanh(), keep * n + new
        h = o.sigmoid() * c / n
        hs.append(h)
    return torch.stack(hs)


class Block(nn.Module):
    def __init__(self, w, options, width):
        super().__init__()
        self.H, self.epsilon = options['heads'], options['normEps']
        self.d = width // self.H
        self.w_fi = nn.Parameter(torch.cat([w['w_f'], w['w_i']], 2))
        self.w_zo = nn.Parameter(torch.cat([w['w_z'], w['w_o']], 2))
        order = [1, 0, 2, 3]  # the lab's i, f, z, o
        self.r = nn.Parameter(w['r'][order].permute(1, 2, 0, 3).reshape(self.H, self.d, -1).contiguous())
        self.b = nn.Parameter(w['b'][order].view(4, self.H, self.d).transpose(0, 1).contiguous())
        for name in ('conv_w', 'conv_b', 'norm_w'):
            setattr(self, name, nn.Parameter(w[name]))
        self.form = FORMS[0]

    def gates(self, x, c):
        """x and its convolution [B, T, D] to preactivations [T, H, B, 4, d]."""
        batch, tokens, _ = x.shape
        by_head = lambda u: u.view(batch, tokens, self.H, self.d).permute(2, 1, 0, 3).reshape(self.H, -1, self.d)
        made = [torch.bmm(by_head(u), w).view(self.H, tokens, batch, 2, self.d) for u, w in ((c, self.w_fi), (x, self.w_zo))]
        return torch.cat(made, 3).transpose(0, 1).float() + self.b.unsqueeze(1)

    def forward(self, x):
        gates = self.gates(x, causal_conv_silu(x, self.conv_w, self.conv_b))
        if self.form == FORMS[0]:
            h = Cell.apply(gates.contiguous(), self.r)
        else:
            h = plain(gates, self.r)
        return head_norm(h.permute(2, 0, 1, 3), self.norm_w, self.epsilon)

    def begin(self, batch, context):
        rows = torch.zeros(batch, len(self.conv_w) - 1, self.H * self.d)
        return rows, torch.zeros(self.H, batch, self.d), None, None, None

    def step(self, x, state, position):
        rows, h, c, n, m = state
        rows = torch.cat([rows, x], 1)
        pre = self.gates(x, convolve_newest(rows, self.conv_w, self.conv_b))[0]
        f, i, z, o = torch.baddbmm(pre.flatten(2), h, self.r).unflatten(2, (4, self.d)).unbind(2)
        if m is None:
            m, new = i, torch.ones_like(i)
            c, n = z.tanh(), new
        else:
            log = F.logsigmoid(f) + m
            m = torch.maximum(i, log)
            keep, new = (log - m).exp_(), (i - m).exp_()
            c, n = torch.addcmul(new * z.tanh(), keep, c), torch.addcmul(new, keep, n)
        h = o.sigmoid() * c / n
        y = head_norm(h.transpose(0, 1).unsqueeze(1), self.norm_w, self.epsilon)
        return y, (rows[:, 1:], h, c, n, m)
