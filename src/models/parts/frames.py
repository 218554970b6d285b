"""Which frames of a padded batch hold speech, so that padding never changes an utterance."""

from functools import cached_property
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from src.batch import padding_mask


def strided_lengths(lengths: Tensor, stride: int) -> Tensor:
    """Frames that survive convolutions of odd kernel, padded by (kernel − 1) / 2.

    Args:
        lengths: valid frames of each utterance, (B,) int64.
        stride: product of the convolutions' hops, in input frames.

    Returns:
        (B,) int64, ⌈lengths / stride⌉: a partial hop still emits a frame, nothing emits none.
        ⌈⌈n / a⌉ / b⌉ = ⌈n / (a·b)⌉, so one division serves a whole stack.
    """
    return (lengths + stride - 1) // stride


class Frames:
    """The valid frames of a batch whose tensors are (B, T, …).

    The lengths stay on the CPU, where packing and the CTC loss need them: asking a CUDA tensor
    would make the CPU wait for the GPU. Only masks are made on the device.
    """

    def __init__(self, lengths: Tensor, n_frames: int, device: torch.device | str = "cpu") -> None:
        self.lengths = lengths.cpu()  # (B,) int64
        self.n_frames = n_frames
        self.device = device

    @cached_property
    def _each(self) -> list[int]:
        return self.lengths.tolist()

    @cached_property
    def full(self) -> bool:
        """No padding at all. Never known of an exported graph, whose lengths come later."""
        if torch.jit.is_tracing() or torch.compiler.is_exporting():
            return False
        return all(n == self.n_frames for n in self._each)

    @cached_property
    def padding(self) -> Tensor:
        """(B, T) bool, True where there is only padding."""
        return padding_mask(self.lengths, self.n_frames, self.device)

    @cached_property
    def _positions(self) -> Tensor:
        """(n valid,) places of the valid frames among all B·T frames."""
        valid = ~self.padding.flatten()
        # Unlike valid.nonzero(), this needs no answer from the GPU: the count is known here.
        return torch.nonzero_static(valid, size=sum(self._each)).squeeze(1)

    def strided(self, stride: int) -> Self:
        """The frames left by a convolution that hops `stride` frames."""
        if stride == 1:
            return self
        n_frames = (self.n_frames + stride - 1) // stride
        return type(self)(strided_lengths(self.lengths, stride), n_frames, self.device)

    def silence(self, x: Tensor, time_axis: int = 1) -> Tensor:
        """`x` with zeros in its padding, whatever was there (NaN too).

        Args:
            x: B first, T at `time_axis`; any number of axes.
        """
        if self.full:
            return x
        shape = [1] * x.ndim
        shape[0], shape[time_axis] = self.padding.shape
        return x.masked_fill(self.padding.view(shape), 0)

    @cached_property
    def _mirrored(self) -> Tensor:
        """(B·T,) places to read from so that each utterance runs backwards, padding staying."""
        places = torch.arange(self.n_frames, device=self.device).expand_as(self.padding)
        lengths = self.lengths.to(self.device, non_blocking=True)
        mirrored = torch.where(self.padding, places, lengths[:, None] - 1 - places)
        rows = torch.arange(mirrored.shape[0], device=mirrored.device)[:, None] * self.n_frames
        return (rows + mirrored).flatten()

    def reverse(self, x: Tensor) -> Tensor:
        """x (B, T, D) with each utterance backwards in its own frames; its own inverse."""
        return x.flatten(0, 1).index_select(0, self._mirrored).view(x.shape)

    def select(self, x: Tensor) -> Tensor:
        """The valid frames of x (B, T, …), one after another: (n valid, …)."""
        flat = x.flatten(0, 1)
        return flat if self.full else flat.index_select(0, self._positions)

    def restore(self, valid: Tensor) -> Tensor:
        """The inverse of `select`, with zeros in the padding: (n valid, …) → (B, T, …)."""
        shape = (len(self._each), self.n_frames, *valid.shape[1:])
        if self.full:
            return valid.view(shape)
        flat = valid.new_zeros(shape).flatten(0, 1)
        return flat.index_copy(0, self._positions, valid).view(shape)


def enter(features: Tensor, lengths: Tensor) -> tuple[Tensor, Frames]:
    """What every model does first: features (B, T, F) with silent padding, and their frames.

    A batch without a single frame gets one of padding, since convolutions refuse T = 0.
    """
    features = functional.pad(features, (0, 0, 0, max(0, 1 - features.shape[1])))
    frames = Frames(lengths, features.shape[1], features.device)
    return frames.silence(features), frames
