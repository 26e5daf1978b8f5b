# Trains or decodes one of the lab's models with PyTorch, a step or a burst of tokens for each line that asks: JSON lines in, JSON lines out.
import contextlib
import copy
import json
import os
import resource
import sys
import time

import torch

from model import Model, adamw, read_safetensors

TRIES = 3  # steps by which a form is judged, after one that warms up
ROUNDS, TOKENS = 3, 24  # bursts by which a form of decoding is judged, and their tokens, the first half of them to warm up


def cpu_seconds() -> float:
    use = resource.getrusage(resource.RUSAGE_SELF)
    return use.ru_utime + use.ru_stime


@contextlib.contextmanager
def of_kind(kind: torch.dtype):
    """New tensors are of this type meanwhile."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(kind)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


class Training:
    def __init__(self, model: Model, asked: dict):
        shape = (asked['batch'], asked['tokens'])
        self.inputs, self.targets = (torch.tensor(asked[name]).view(shape) for name in ('inputs', 'targets'))
        self.model = model
        rates = asked['adamw']
        self.optimiser = adamw(model, rates['lr'], rates['beta1'], rates['beta2'], rates['eps'], rates['weightDecay'])
        self.half = asked['precision'] == 'bfloat16'
        model.kind = torch.bfloat16 if self.half else torch.float32

    def loss(self):
        with torch.autocast('cpu', torch.bfloat16) if self.half else contextlib.nullcontext():
            return self.model.loss(self.inputs, self.targets)

    def step(self) -> float:
        loss = self.loss()
        loss.backward()
        self.optimiser.step()
        self.optimiser.zero_grad()
        return loss.item()

    def try_forms(self, forms: list[str]) -> dict[str, float]:
        """Processor milliseconds of a step in each form, the least of a few: other work on the machine must not choose a slow one. The fastest stays chosen."""
        times = {}
        for form in forms:
            self.model.choose(form)
            self.step()
            spans = []
            for _ in range(TRIES):
                start = cpu_seconds()
                self.step()
                spans.append(1000 * (cpu_seconds() - start))
            times[form] = min(spans)
        if times:
            self.model.choose(min(times, key=times.get))
        return times


class Decoding:
    """Greedy decoding of one sequence, in bursts that each begin after `context` tokens; recurrent states go on from where they are."""

    def __init__(self, model: Model, context: int, room: int, threads: int, half: bool):
        """With `half` weights, states and sums in bfloat16 are tried too."""
        self.context, self.threads = context, threads
        self.kinds = {}
        for kind in [torch.float32] + [torch.bfloat16] * half:
            own = model if kind == torch.float32 else copy.deepcopy(model).to(kind)
            with of_kind(kind), torch.inference_mode():
                self.kinds[kind] = own, own.begin(1, context + max(room, TOKENS))
        self.use(torch.float32)

    def use(self, kind: torch.dtype) -> None:
        self.kind = kind
        self.model, self.states = self.kinds[kind]

    def burst(self, count: int, left_out: int = 0) -> tuple[list[float], float]:
        """Milliseconds of each token, and processor milliseconds of one on average, without the first `left_out`."""
        spans = []
        with of_kind(self.kind), torch.inference_mode():
            token = torch.zeros(1, dtype=torch.int64)
            for i in range(count):
                if i == left_out:
                    before = cpu_seconds()
                begin = time.perf_counter()
                token = self.model.step(token, self.states, self.context + i).argmax(-1)
                token.item()
                spans.append(1000 * (time.perf_counter() - begin))
        return spans[left_out:], 1000 * (cpu_seconds() - before) / (count - left_out)

    def choose(self, form: str) -> None:
        """A form of the mixer (where there are several), how weights lie, how many threads compute, and in what."""
        *mixer, layout, threads, kind = form.split(', ')
        self.use(getattr(torch, kind))
        for name in mixer:
            self.model.choose(name)
        with torch.inference_mode():
            self.model.lay(layout)
        torch.set_num_threads(int(threads.split()[0]))

    def try_forms(self) -> dict[str, float]:
        """Milliseconds of a token in each form, the least of a few medians; forms take turns, those that torch has no kernels for drop out. The fastest stays."""
        mixers = [f'{name}, ' for name in self.model.decoding_forms()] or ['']
        counts = ['1 thread'] + [f'{self.threads} threads'] * (self.threads > 1)
        kinds = [str(kind).removeprefix('torch.') for kind in self.kinds]
        layouts = self.model.LAYOUTS
        times = {f'{mixer}{layout}, {count}, {kind}': [] for kind in kinds for mixer in mixers for layout in layouts for count in counts}
        for _ in range(ROUNDS):
            for form, medians in list(times.items()):
                try:
                    self.choose(form)
                    spans, _ = self.burst(TOKENS, TOKENS // 2)
                except RuntimeError:
                    if form.endswith('float32'):
                        raise
                    del times[form]
                    continue
                medians.append(sorted(spans)[len(spans) // 2])
        least = {form: min(medians) for form, medians in times.items()}
        self.choose(min(least, key=least.get))
        return least


def start(asked: dict):
    """The work that a request names, and what to answer."""
    torch.set_num_threads(asked['threads'])
    torch.set_flush_denormal(True)
    torch.manual_seed(1)
    weights = read_safetensors(asked['weights'])
    model = Model(asked['layers'], weights, asked['width'])
    answer = {'parameters': sum(p.numel() for p in model.parameters()), 'torch': torch.__version__}
    if asked['op'] == 'decode':
        model.requires_grad_(False)
        decoding = Decoding(model, asked['context'], asked['room'], asked['threads'], asked['precision'] == 'bfloat16')
        answer['forms'] = decoding.try_forms()
        return decoding, answer
    training = Training(model, asked)
    forms = [asked['form']] if asked.get('form') else model.forms(asked['tokens'])
    model.choose(forms[0] if forms else '')
    with torch.no_grad():
        answer['loss'] = training.loss().item()
    answer['forms'] = training.try_forms(forms)
    return training, answer


def main():
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    work = None
    print(json.dumps({'torch': torch.__version__, 'blas': torch.__config__.show()}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            if asked['op'] == 'burst':
                ms, cpu = work.burst(asked['tokens'], asked['leftOut'])
                answer = {'ms': ms, 'cpuMs': cpu}
            elif asked['op'] == 'step':
                if asked.get('form'):
                    work.model.choose(asked['form'])
                before, begin = cpu_seconds(), time.perf_counter()
                value = work.step()
                answer = {'ms': 1000 * (time.perf_counter() - begin), 'cpuMs': 1000 * (cpu_seconds() - before), 'value': value}
            else:
                work = None
                work, answer = start(asked)
        except Exception as error:  # said to the one who asked, who decides
            answer = {'error': f'{type(error).__name__}: {error}'}
        print(json.dumps(answer), flush=True)


if __name__ == '__main__':
    main()
