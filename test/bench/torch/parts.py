# Pieces that several models share, with their gradients by hand where autograd's own would pass over memory more often.
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function


class RmsNorm(Function):
    """x [.., D] / sqrt(mean(x²) + epsilon) · weight [D] or [.., D], as `kind`."""

    @staticmethod
    def forward(ctx, x, weight, epsilon, kind):
        root = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32).square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
        ctx.save_for_backward(x, weight, root)
        y = (x * root).mul_(weight)
        return y if y.dtype == kind else y.to(kind)

    @staticmethod
    def backward(ctx, dy):
        x, weight, root = ctx.saved_tensors
        dy = dy.float()
        unit = x * root
        by_unit = dy * unit
        d_weight = by_unit.flatten(0, -weight.dim() - 1).sum(0)
        along = (by_unit @ weight if weight.dim() == 1 else (by_unit * weight).sum(-1, keepdim=True)).view(root.shape)
        along.div_(x.shape[-1])
        dx = torch.addcmul(dy * weight, unit, along, value=-1).mul_(root)
        return dx.to(x.dtype), d_weight, None, None


def rms_norm(x: Tensor, weight: Tensor, epsilon: float, kind: torch.dtype | None = None) -> Tensor:
    if torch.is_inference_mode_enabled():
        return plain_rms_norm(x, weight, epsilon)
    return RmsNorm.apply(x, weight, epsilon, kind or x.dtype)


def plain_rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """The same without a gradient, in as few calls as it takes: a token's time goes into calls."""
    share = torch.linalg.vecdot(x, x).unsqueeze(-1)
    return (x * share.mul_(1 / x.shape[-1]).add_(epsilon).rsqrt_()).mul_(weight)


def head_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """Layer norm without bias of each head of x [B, T, H, d], then the scale of its channel, weight [H·d]: [B, T, H·d]."""
    return F.layer_norm(x, x.shape[-1:], eps=epsilon).flatten(2) * weight


class SwiGlu(Function):
    """silu(gate) · up of both side by side, [.., 2F] to [.., F]."""

    @staticmethod
    def forward(ctx, both):
        ctx.save_for_backward(both)
        gate, up = both.chunk(2, -1)
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx, dy):
        (both,) = ctx.saved_tensors
        gate, up = both.chunk(2, -1)
        slope = torch.empty_like(both)
        d_gate, d_up = slope.chunk(2, -1)
        torch.mul(dy, F.silu(gate), out=d_up)
        torch.ops.aten.silu_backward.grad_input(dy * up, gate, grad_input=d_gate)
        return slope


class ConvSilu(Function):
    """
    SiLU of a depthwise convolution over time: u [B, T, C], weight [K, C], bias [C]. Tap k reads the token at t + k - (K - 1) + ahead, zeros
    outside.
    """

    @staticmethod
    def forward(ctx, u, weight, bias, ahead):
        own = len(weight) - 1 - ahead
        y = torch.addcmul(bias, u, weight[own])
        for k, at, source in pairs(len(weight), u.shape[1], ahead):
            y[:, at].addcmul_(u[:, source], weight[k])
        ctx.save_for_backward(u, weight, y)
        ctx.ahead = ahead
        return F.silu(y)

    @staticmethod
    def backward(ctx, slope):
        u, weight, y = ctx.saved_tensors
        own = len(weight) - 1 - ctx.ahead
        dy = torch.ops.aten.silu_backward(slope.to(y.dtype), y)
        du = dy * weight[own]
        d_weight = torch.zeros_like(weight)
        d_weight[own] = (dy * u).sum((0, 1))
        for k, at, source in pairs(len(weight), u.shape[1], ctx.ahead):
            du[:, source].addcmul_(dy[:, at], weight[k])
            d_weight[k] = (dy[:, at] * u[:, source]).sum((0, 1))
        return du, d_weight, dy.sum((0, 1)), None


def pairs(taps: int, tokens: int, ahead: int):
    """Each tap but that of the token itself, with the tokens it writes to and those it reads."""
    for k in range(taps):
        shift = k - (taps - 1) + ahead
        if 0 < abs(shift) < tokens:
            late, early = slice(abs(shift), tokens), slice(0, tokens - abs(shift))
            yield (k, late, early) if shift < 0 else (k, early, late)


def causal_conv_silu(u: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return ConvSilu.apply(u, weight.to(u.dtype), bias.to(u.dtype), 0)


def centred_conv_silu(u: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return ConvSilu.apply(u, weight.to(u.dtype), bias.to(u.dtype), (len(weight) - 1) // 2)


def convolve_newest(rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """SiLU of the convolution's newest token: rows [B, K, C] to [B, 1, C]."""
    return F.silu((rows * weight).sum(1, keepdim=True) + bias)


class Turn(Function):
    """Halves (a, b) of the last axis turned by angles: (a cos - b sin, b cos + a sin). cos and sin are broadcast against a half."""

    @staticmethod
    def forward(ctx, x, cos, sin):
        ctx.save_for_backward(cos, sin)
        return turned(x, cos, sin)

    @staticmethod
    def backward(ctx, dy):
        cos, sin = ctx.saved_tensors
        return turned(dy, cos, -sin), None, None


def turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    y = torch.empty(x.shape, dtype=x.dtype)
    a, b = x.chunk(2, -1)
    p, q = y.chunk(2, -1)
    torch.mul(a, cos, out=p)
    p.addcmul_(b, sin, value=-1)
    torch.mul(b, cos, out=q)
    q.addcmul_(a, sin)
    return y


class Rotary(nn.Module):
    """Rotary positions for heads of d channels: x [B, T, .., d] with `axes` axes between time and channels."""

    def __init__(self, d: int, theta: float, fraction: float):
        super().__init__()
        half = d // 2
        rates = theta ** (-2 * torch.arange(half, dtype=torch.float64) / d)
        rates[math.floor(fraction * half) :] = 0
        self.rates = rates
        self.tables = {}
        self.cos = self.sin = None

    def prepare(self, tokens: int) -> None:
        """Tables for decoding as many tokens one by one, [tokens, half]."""
        angles = torch.outer(torch.arange(tokens, dtype=torch.float64), self.rates)
        self.cos, self.sin = (table.to(torch.get_default_dtype()) for table in (angles.cos(), angles.sin()))

    def table(self, start: int, tokens: int, axes: int, kind: torch.dtype):
        key = (start, tokens, axes, kind)
        if key not in self.tables:
            angles = torch.outer(torch.arange(start, start + tokens, dtype=torch.float64), self.rates)
            shape = (tokens,) + (1,) * axes + (-1,)
            self.tables[key] = (angles.cos().to(kind).view(shape), angles.sin().to(kind).view(shape))
        return self.tables[key]

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        if torch.is_inference_mode_enabled() and self.cos is not None:
            return turned(x, self.cos[start], self.sin[start])
        cos, sin = self.table(start, x.shape[1], x.dim() - 3, x.dtype)
        return Turn.apply(x, cos, sin)


def later_than(tokens: int, kind: torch.dtype) -> Tensor:
    """0 where a query sees a key, -inf above the diagonal: [T, T]."""
    return torch.full((tokens, tokens), -math.inf, dtype=kind).triu_(1)


def attend(q: Tensor, k: Tensor, v: Tensor, scale: float, form: str, mask: Tensor) -> Tensor:
    """Causal attention of q, k [B, H, T, d] and v [B, H, T, e] to [B, T, H·e]."""
    if form == 'sdpa':
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale).transpose(1, 2).flatten(2)
    shares = shares_of(q, k, scale, mask)
    batch, heads, tokens, _ = q.shape
    y = torch.bmm(shares, v.reshape(batch * heads, tokens, -1))
    return y.view(batch, heads, tokens, -1).transpose(1, 2).flatten(2)


def shares_of(q: Tensor, k: Tensor, scale: float, mask: Tensor) -> Tensor:
    """softmax(q kᵀ scale + mask): q, k [B, H, T, d] to [B·H, T, T]."""
    batch, heads, tokens, d = q.shape
    q, k = (u.reshape(batch * heads, tokens, d) for u in (q, k))
    return torch.baddbmm(mask.to(q.dtype), q, k.transpose(1, 2), alpha=scale).softmax(-1)


def by_columns(weight: Tensor) -> Tensor:
    """The same matrix, stored column by column."""
    return weight.t().contiguous().t()


def joined(*weights: Tensor) -> nn.Parameter:
    """Weights [in, out] side by side, as F.linear wants them: [all out, in]."""
    return nn.Parameter(torch.cat([w.t() for w in weights]).contiguous())
