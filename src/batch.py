"""The records that travel between rooms. They hold data and know nothing else."""

from dataclasses import dataclass, field, fields
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Utterance:
    """One recording and what was said in it."""

    id: str
    waveform: np.ndarray  # (N,) float32, −1 … 1, mono, at the dataset's sample rate
    transcript: str = ""  # the words as the corpus gives them; "" where unknown
    target: str = ""  # the same in the vocabulary's units: "down" → "D AW N"
    tokens: tuple[int, ...] = ()  # the target as vocabulary indices, without blanks
    speaker: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """Utterances side by side, padded with zeros at the end."""

    ids: list[str]
    waveforms: Tensor  # (B, N) float32
    waveform_lengths: Tensor  # (B,) int64, samples
    tokens: Tensor  # (B, S) int64, padded with 0, never read past its length
    token_lengths: Tensor  # (B,) int64
    transcripts: list[str] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device | str) -> Self:
        """The same batch with its tensors on `device`."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        moved = {
            name: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
            for name, value in values.items()
        }
        return type(self)(**moved)

    def pin_memory(self) -> Self:
        """The same batch in page-locked memory; DataLoader(pin_memory=True) calls this."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        pinned = {n: v.pin_memory() if isinstance(v, Tensor) else v for n, v in values.items()}
        return type(self)(**pinned)


class Emissions(NamedTuple):
    """What a model says of each emitted frame."""

    log_probs: Tensor  # (B, T_out, V) float32, natural log, each row sums to 1; blank = 0
    lengths: Tensor  # (B,) int64, emitted frames of each utterance


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One reading of an utterance."""

    text: str
    tokens: tuple[int, ...]
    frames: tuple[int, ...]  # emitted frame in which each token is first seen
    score: float  # natural log; what exactly it measures is the decoder's to say
    confidences: tuple[float, ...] = ()  # of each token, 0 … 1


def padding_mask(
    lengths: Tensor, n_frames: int, device: torch.device | str | None = None
) -> Tensor:
    """(B, n_frames) bool, True where there is only padding.

    Args:
        device: where the mask is wanted; None = where the lengths are.
    """
    lengths = lengths.to(device or lengths.device, non_blocking=True)
    return torch.arange(n_frames, device=lengths.device) >= lengths[:, None]


def to_float(waveforms: Tensor) -> Tensor:
    """int16 samples as float32 in −1 … 1, full scale 32768; what is float already as float32."""
    if waveforms.dtype == torch.int16:
        return waveforms.float() / 32768
    return waveforms.float()
