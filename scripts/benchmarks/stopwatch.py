"""Where the time of a training step goes, watched from outside through PyTorch's own hooks.

So the code that is measured is the code that trains. On CUDA the marks are events in the stream
of kernels, read after the last step: watching makes nobody wait.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import torch
from torch import nn
from torch.optim import Optimizer

PHASES = (
    "data wait",  # until the batch is there
    "copy",  # to the device
    "features",
    "forward",
    "loss",
    "backward",  # with clipping of the gradients
    "optimizer",
    "rest",
)


class Stopwatch:
    """Adds up seconds by phase. Off until `watching`; then `mark` ends a phase."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._marks: list[tuple[str, float | torch.cuda.Event]] | None = None

    def mark(self, phase: str) -> None:
        """What happened since the mark before was `phase`."""
        if self._marks is None:
            return
        # Each step begins with the copy; whatever comes first ends it.
        if phase == "rest" and self._marks[-1][0] == "data wait":
            phase = "copy"
        self._marks.append((phase, self._now()))

    def _now(self) -> float | torch.cuda.Event:
        if self.device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    @contextmanager
    def watching(
        self, front_end: nn.Module, model: nn.Module, loss: nn.Module | None, optimizer: Optimizer
    ) -> Iterator[None]:
        """Inside, the modules and the optimizer mark their phases themselves.

        Args:
            loss: None where it is no module, and is marked by hand.
        """
        self._marks = [("start", self._now())]
        modules = {"features": front_end, "forward": model, "loss": loss}
        hooks = [hook for name, m in modules.items() if m for hook in self._hooks(m, name)]
        hooks.append(optimizer.register_step_pre_hook(lambda *_: self.mark("backward")))
        hooks.append(optimizer.register_step_post_hook(lambda *_: self.mark("optimizer")))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _hooks(self, module: nn.Module, phase: str) -> list:
        return [
            module.register_forward_pre_hook(lambda *_: self.mark("rest")),
            module.register_forward_hook(lambda *_: self.mark(phase)),
        ]

    def seconds(self) -> dict[str, float]:
        """Seconds of each phase since watching began; turns the watch off."""
        marks, self._marks = self._marks or [], None
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        total = dict.fromkeys(PHASES, 0.0)
        for (_, before), (phase, now) in pairwise(marks):
            is_event = self.device.type == "cuda"
            total[phase] += before.elapsed_time(now) / 1000 if is_event else now - before
        return total
