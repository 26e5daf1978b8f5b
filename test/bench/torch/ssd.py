# The state-space-dual scan by matrix products, in chunks: within a chunk a masked map over pairs, between chunks a state.
import torch
from torch import Tensor

MINIMAL, GROUPED = 'minimal', 'grouped'


def forms(tokens: int) -> list[str]:
    """`<form> <chunk>` of each way that is worth trying."""
    chunks = [chunk for chunk in (32, 64, 128, 256) if chunk <= tokens]
    return [f'{GROUPED} {chunk}' for chunk in chunks] + [f'{MINIMAL} {chunk}' for chunk in chunks if chunk >= 64]


def ssd_scan(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, form: str) -> Tensor:
    """x [b, T, H, P], dt [b, T, H], A [H] < 0, B and C [b, T, G, N] to y [b, T, H, P], without the skip D·x."""
    kind, chunk = form.split()
    b, T, H, P = x.shape
    Q = min(int(chunk), T)
    if T % Q:
        raise ValueError(f'ssd_scan: {T} tokens are no multiple of the chunk {Q}')
    c = T // Q
    scan = grouped if kind == GROUPED and B.shape[2] == 1 else minimal
    by_chunk = (u.unflatten(1, (c, Q)) for u in (x, dt * A, dt, B, C))
    return scan(*by_chunk).reshape(b, T, H, P)


def decay(a: Tensor) -> Tensor:
    """exp of the sums of a[k] over s < k <= l, 0 where s > l: a [.., Q] to [.., Q, Q]. The exponents are sums of segments."""
    Q = a.shape[-1]
    rows = a.unsqueeze(-1).expand(*a.shape, Q).tril(-1)
    return rows.cumsum(-2).masked_fill(torch.ones(Q, Q, dtype=torch.bool).triu(1), -torch.inf).exp()


def differences(total: Tensor) -> Tensor:
    """The same from running sums: [.., Q] to [.., Q, Q]."""
    Q = total.shape[-1]
    above = torch.full((Q, Q), -torch.inf).triu_(1)
    return (total.unsqueeze(-1) - total.unsqueeze(-2)).add_(above).exp_()


def minimal(x, a, dt, B, C):
    """As the listing of the Mamba-2 paper: einsums over all heads. [b, c, Q, ..] each."""
    b, c, Q, H, P = x.shape
    B, C = (u.repeat_interleave(H // u.shape[3], dim=3) for u in (B, C))
    xd = x * dt.unsqueeze(-1)
    a = a.permute(0, 3, 1, 2)  # [b, H, c, Q]
    total = a.cumsum(-1)
    L = decay(a)
    y = torch.einsum('bclhn,bcshn,bhcls,bcshp->bclhp', C, B, L, xd)
    if c == 1:
        return y
    tail = (total[..., -1:] - total).exp()
    states = torch.einsum('bclhn,bhcl,bclhp->bchpn', B, tail, xd)
    states = torch.cat([torch.zeros_like(states[:, :1]), states], dim=1)
    between = decay(torch.nn.functional.pad(total[..., -1], (1, 0)))
    before = torch.einsum('bhzc,bchpn->bzhpn', between, states)[:, :-1]
    return y + torch.einsum('bclhn,bchpn,bhcl->bclhp', C, before, total.exp())


def grouped(x, a, dt, B, C):
    """One group of maps for all heads: C Bᵀ is made once, and states of all heads come from one product. [b, c, Q, ..] each."""
    b, c, Q, H, P = x.shape
    B, C = B.squeeze(3), C.squeeze(3)  # [b, c, Q, N]
    total = a.cumsum(2)  # [b, c, Q, H]
    by_head = total.transpose(2, 3)  # [b, c, H, Q]
    W = (C @ B.transpose(2, 3)).unsqueeze(2) * differences(by_head)
    xd = x * dt.unsqueeze(-1)
    y = (W @ xd.transpose(2, 3)).transpose(2, 3)  # [b, c, Q, H, P]
    if c == 1:
        return y
    end = total[:, :, -1:]
    tail = (end - total).exp().unsqueeze(-1)
    added = B.transpose(2, 3) @ (xd * tail).flatten(3)  # [b, c, N, H·P]
    keep = end.exp()  # [b, c, 1, H]
    state = torch.zeros_like(added[:, 0])
    states = []
    for i in range(c):
        states.append(state)
        if i < c - 1:
            state = torch.addcmul(added[:, i].unflatten(2, (H, P)), state.unflatten(2, (H, P)), keep[:, i].unsqueeze(-1)).flatten(2)
    read = (C @ torch.stack(states, 1)).unflatten(3, (H, P))
    return torch.addcmul(y, read, total.exp().unsqueeze(-1))
