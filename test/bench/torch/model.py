# A language model as the lab builds it: embedding, blocks each behind a norm and with a residual, a last norm, a tied head; AdamW.
import importlib
import json
import struct

import torch
import torch.nn.functional as F
from torch import nn

from parts import Rotary, by_columns, rms_norm

NORM_EPSILON = 1e-5


def read_safetensors(path: str) -> dict[str, torch.Tensor]:
    with open(path, 'rb') as file:
        content = bytearray(file.read())
    (length,) = struct.unpack('<Q', content[:8])
    header = json.loads(content[8 : 8 + length])
    header.pop('__metadata__', None)
    start = 8 + length
    tensors = {}
    for name, entry in header.items():
        begin, end = (start + at for at in entry['data_offsets'])
        flat = torch.frombuffer(content, dtype=torch.float32, count=(end - begin) // 4, offset=begin)
        tensors[name] = flat.reshape(entry['shape']).clone()
    return tensors


class Layer(nn.Module):
    def __init__(self, block: str, options: dict, w: dict[str, torch.Tensor], width: int):
        super().__init__()
        self.norm = nn.Parameter(w.pop('norm'))
        kind = importlib.import_module(f'blocks.{block}')
        self.decoding = getattr(kind, 'DECODING', ())
        self.forms = kind.forms if hasattr(kind, 'forms') else lambda tokens: getattr(kind, 'FORMS', ())
        self.block = kind.Block(w, options, width)


class Model(nn.Module):
    """Weights by the lab's names; layers are {block, options} in order, all with RMS norm and residual."""

    LAYOUTS = ('weights by rows', 'weights by columns')

    def __init__(self, layers: list[dict], weights: dict[str, torch.Tensor], width: int):
        super().__init__()
        self.embedding = nn.Parameter(weights['embedding'])
        self.final_norm = nn.Parameter(weights['final_norm'])
        self.layers = nn.ModuleList()
        for index, layer in enumerate(layers):
            prefix = f'layers.{index}.'
            own = {name[len(prefix) :]: w for name, w in weights.items() if name.startswith(prefix)}
            self.layers.append(Layer(layer['block'], layer['options'], own, width))
        self.kind = torch.float32
        self.head = self.embedding.detach()  # [V, D]

    def forms(self, tokens: int) -> list[str]:
        """Ways to compute the mixer, the same result but for rounding."""
        return list(dict.fromkeys(form for layer in self.layers for form in layer.forms(tokens)))

    def choose(self, form: str) -> None:
        for layer in self.layers:
            if hasattr(layer.block, 'form'):
                layer.block.form = form

    def loss(self, inputs, targets):
        x = F.embedding(inputs, self.embedding)
        for layer in self.layers:
            x = x + layer.block(rms_norm(x, layer.norm, NORM_EPSILON, self.kind))
        logits = F.linear(rms_norm(x, self.final_norm, NORM_EPSILON, self.kind), self.embedding)
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())

    def decoding_forms(self) -> list[str]:
        return list(dict.fromkeys(form for layer in self.layers for form in layer.decoding))

    def lay(self, layout: str) -> None:
        """Weights [out, in] of linear maps, as F.linear takes them, row by row in memory or column by column: which is faster depends on the library."""
        change = by_columns if layout == self.LAYOUTS[1] else torch.Tensor.contiguous
        for name, weight in self.named_parameters():
            if name.split('.')[-1].startswith('w_') and weight.dim() == 2:
                weight.data = change(weight.data)
        self.head = change(self.embedding.data)

    def begin(self, batch: int, context: int):
        for rotary in (one for one in self.modules() if isinstance(one, Rotary)):
            rotary.prepare(context)
        return [layer.block.begin(batch, context) for layer in self.layers]

    def step(self, ids, states, position: int):
        """One token of each sequence, int64 [B], to logits [B, V]; states change in place or are replaced in the list."""
        x = F.embedding(ids, self.embedding).unsqueeze(1)
        for i, layer in enumerate(self.layers):
            y, states[i] = layer.block.step(rms_norm(x, layer.norm, NORM_EPSILON), states[i], position)
            x = x + y
        return F.linear(rms_norm(x, self.final_norm, NORM_EPSILON), self.head).squeeze(1)


def adamw(model: Model, lr: float, beta1: float, beta2: float, eps: float, weight_decay: float):
    """Decay on matrices only; the number of elements decides, not the rule, how long it takes."""
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    rest = [p for p in model.parameters() if p.dim() < 2]
    groups = [{'params': matrices, 'weight_decay': weight_decay}, {'params': rest, 'weight_decay': 0.0}]
    return torch.optim.AdamW(groups, lr=lr, betas=(beta1, beta2), eps=eps, fused=True)
