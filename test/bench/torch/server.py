# Trains or decodes one of the lab's models with PyTorch, one step for each line that asks: JSON lines in, JSON lines out.
import contextlib
import json
import os
import resource
import sys
import time

import torch

from model import Model, adamw, read_safetensors

TRIES = 3  # steps by which a form is judged, after one that warms up


def cpu_seconds() -> float:
    use = resource.getrusage(resource.RUSAGE_SELF)
    return use.ru_utime + use.ru_stime


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
    def __init__(self, model: Model, context: int, room: int):
        self.model, self.position = model, context
        with torch.inference_mode():
            self.states = model.begin(1, context + room)

    def step(self) -> float:
        with torch.inference_mode():
            logits = self.model.step(torch.tensor([self.position % 256]), self.states, self.position)
            self.position += 1
            return logits.argmax().item()


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
        return Decoding(model, asked['context'], asked['room']), answer
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
            if asked['op'] == 'step':
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
