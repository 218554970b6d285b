"""Where the time of each training step goes, watched from outside through PyTorch's own hooks.

So the code that is measured is the code that trains. On CUDA the marks are events in the stream
of kernels, read after the last step: watching makes nobody wait.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import torch
from torch import nn
from torch.profiler import record_function

from src.trainer import Stepper

PHASES = (
    "data wait",  # until the batches of the step are there
    "augmentation",  # of waveforms and of features
    "teacher",  # where there is one: what it hears
    "front end",  # waveforms → features
    "forward",
    "loss",
    "backward",  # with clipping of the gradients
    "optimizer",
    "rest",  # the copy to the device, the learning rate, counting, reports
)
Mark = tuple[str, "float | torch.cuda.Event"]


class StepWatch:
    """Notes when each phase of each step ends.

    Args:
        device: where the steps are computed.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._steps: list[list[Mark]] = []

    def begin(self) -> None:
        """A step begins, with the wait for its batches."""
        self._steps.append([])
        self.mark("begin")

    def mark(self, phase: str) -> None:
        """What happened since the mark before was `phase`."""
        self._steps[-1].append((phase, self._now()))

    def seconds(self) -> list[dict[str, float]]:
        """Seconds of each phase, step by step; waits for the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        steps = []
        for marks in self._steps:
            steps.append(dict.fromkeys(PHASES, 0.0))
            for (_, before), (phase, now) in pairwise(marks):
                steps[-1][phase] += _between(before, now)
        return steps

    @contextmanager
    def watching(self, stepper: Stepper) -> Iterator[None]:
        """Inside, the parts of a stepper mark their phases themselves, in a trace too."""
        recognizer, optimizer = stepper.recognizer, stepper.optimizer
        parts = [
            ("augmentation", stepper.augment_waveforms),
            ("teacher", stepper.teacher),
            ("front end", recognizer.front_end),
            ("augmentation", stepper.augment),
            ("forward", recognizer.model),
            ("loss", stepper.loss),
        ]
        hooks = [hook for phase, part in parts if part for hook in self._hooks(part, phase)]
        hooks.append(optimizer.register_step_pre_hook(lambda *_: self.mark("backward")))
        hooks.append(optimizer.register_step_post_hook(lambda *_: self.mark("optimizer")))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _hooks(self, module: nn.Module, phase: str) -> list:
        ranges: list[record_function] = []

        def before(*_) -> None:
            # Of several micro-batches in a step, the one before has just been learnt from.
            self.mark("backward" if self._steps[-1][-1][0] == "loss" else "rest")
            ranges.append(record_function(phase))
            ranges[-1].__enter__()

        def after(*_) -> None:
            ranges.pop().__exit__(None, None, None)
            self.mark(phase)

        return [module.register_forward_pre_hook(before), module.register_forward_hook(after)]

    def _now(self) -> "float | torch.cuda.Event":
        if self.device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event


def _between(before: "float | torch.cuda.Event", now: "float | torch.cuda.Event") -> float:
    return now - before if isinstance(now, float) else before.elapsed_time(now) / 1000
