"""Exponential moving average of the weights, often better than the weights themselves."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn


class MovingAverage:
    """θ̄ ← d_t · θ̄ + (1 − d_t) · θ after each step (Polyak & Juditsky 1992, exponentially weighted).

    d_t = min(decay, (1 + t) / (10 + t)), so that the first steps are soon forgotten. Weights
    and the running statistics of BatchNorm alike; whole numbers are taken as they are.

    Args:
        module: whose weights are averaged.
        decay: 0 … 1; 0.999 averages over about the last thousand steps.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.is_swapping = False  # the module's weights are partly the average, partly its own
        self._sources = list(module.state_dict().values())  # views of the living tensors
        self._names = list(module.state_dict())
        self.values = [value.clone() for value in self._sources]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after optimizer step `step` (from 0). Waits for no device."""
        decay = min(self.decay, (1 + step) / (10 + step))
        pairs = list(zip(self.values, self._sources, strict=True))
        smooth = [pair for pair in pairs if pair[0].is_floating_point()]
        torch._foreach_lerp_([a for a, _ in smooth], [b for _, b in smooth], 1 - decay)
        for average, source in pairs:
            if not average.is_floating_point():
                average.copy_(source)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """The module carries the average inside, and its own weights again afterwards."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        self.is_swapping = True
        for average, source in zip(self.values, self._sources, strict=True):
            own = source.clone()
            source.copy_(average)
            average.copy_(own)
        self.is_swapping = False

    def state_dict(self) -> dict[str, Tensor]:
        """The averages under their names."""
        return dict(zip(self._names, self.values, strict=True))

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from averages of an earlier sitting."""
        for name, value in zip(self._names, self.values, strict=True):
            value.copy_(state[name])
