# Contextual memory of Memory Mosaics: keys are leaky sums of tokens and serve as queries too, values look one token ahead.
import math

import torch
import torch.nn.functional as F
from torch import nn

from parts import joined

FORMS = ('matmul', 'sdpa')
DECODING = FORMS
LONGEST = math.log(65535)


def unit(u, epsilon):
    return u / (torch.linalg.vector_norm(u, dim=-1, keepdim=True) + epsilon)


class Block(nn.Module):
    def __init__(self, w, options, width):
        super().__init__()
        self.H, self.raw, self.epsilon = options['heads'], options['rawScaling'], options['normEps']
        self.d = width // self.H
        if options['bias']:
            raise ValueError('memory_mosaic: only without biases')
        self.w_kv = joined(w['w_k'], w['w_v'])
        self.w_o = joined(w['w_o'])
        for name in ('leak', 'key_scale', 'val_mix', 'val_scale'):
            setattr(self, name, nn.Parameter(w[name]))
        self.form = FORMS[0]

    def key_length(self):
        return (self.key_scale * self.raw).clamp_max(LONGEST).exp().unsqueeze(-1)

    def value_length(self):
        return (self.val_scale * self.raw).exp().unsqueeze(-1)

    def forward(self, x):
        batch, tokens, _ = x.shape
        raw_k, raw_v = F.linear(x, self.w_kv).unflatten(2, (2, self.H, self.d)).unbind(2)
        # λ^(t−s) as a map over pairs, [H, T, T]: the sums of all heads are one batched product.
        at = torch.arange(tokens, dtype=torch.float32)
        age = (at[:, None] - at).clamp_min_(0)
        keep = torch.exp(-(self.leak.abs() * self.raw)[:, None, None] * age).tril()
        sums = keep @ raw_k.transpose(1, 2).to(keep.dtype)  # [B, H, T, d]
        k = unit(sums.float(), self.epsilon) * self.key_length().unsqueeze(-1)
        mix = self.val_mix[:, None]
        ahead = torch.lerp(raw_v[:, 1:].float(), raw_v[:, :-1].float(), mix)
        v = (unit(ahead, self.epsilon) * self.value_length()).transpose(1, 2)  # [B, H, T-1, d]
        q, k = k[:, :, 1:].to(x.dtype), k[:, :, :-1].to(x.dtype)
        if self.form == 'sdpa':
            y = F.scaled_dot_product_attention(q, k, v.to(x.dtype), is_causal=True, scale=1.0)
        else:
            mask = torch.full((tokens - 1, tokens - 1), -torch.inf, dtype=q.dtype).triu_(1)
            flat = [u.reshape(batch * self.H, tokens - 1, self.d) for u in (q, k, v)]
            y = torch.baddbmm(mask, flat[0], flat[1].transpose(1, 2)).softmax(-1) @ flat[2]
            y = y.view(batch, self.H, tokens - 1, self.d)
        return F.linear(F.pad(y.transpose(1, 2).flatten(2), (0, 0, 1, 0)), self.w_o)

    def begin(self, batch, context):
        pairs = [torch.zeros(batch, self.H, context, self.d) for _ in 'kv']
        last = [torch.zeros(batch, self.H, self.d) for _ in 'kv']
        return *pairs, *last, (-self.leak.abs() * self.raw).exp().unsqueeze(-1), self.key_length(), self.value_length()

    def step(self, x, state, position):
        keys, values, leaking, last, keep, key_length, value_length = state
        raw_k, raw_v = F.linear(x, self.w_kv).view(len(x), 2, self.H, self.d).unbind(1)
        leaking.mul_(keep).add_(raw_k)
        k = unit(leaking, self.epsilon) * key_length
        y = torch.zeros_like(k)
        if position > 0:
            values[:, :, position - 1] = unit(torch.lerp(raw_v, last, self.val_mix[:, None]), self.epsilon) * value_length
            seen = keys[:, :, :position], values[:, :, :position]
            if self.form == 'sdpa':
                y = F.scaled_dot_product_attention(k.unsqueeze(2), *seen, scale=1.0)
            else:
                y = (k.unsqueeze(2) @ seen[0].transpose(2, 3)).softmax(-1) @ seen[1]
        last.copy_(raw_v)
        keys[:, :, position] = k
        return F.linear(y.reshape(len(x), 1, -1), self.w_o), state
