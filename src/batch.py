"""The records that travel between rooms. They hold data and know nothing else."""

from dataclasses import dataclass, field, fields, replace
from typing import NamedTuple, Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from src.utils.errors import UserError

FULL_SCALE = 32768  # the int16 sample that would mean 1.0, as in 16-bit WAV
NO_SOUND = np.zeros(0, np.int16)
Waveform = TypeVar("Waveform", Tensor, np.ndarray)


@dataclass(frozen=True, slots=True)
class Utterance:
    """One recording and what was said in it."""

    id: str
    # (N,) int16 at full scale 32768, or float32 in −1 … 1; mono, at the dataset's sample rate
    waveform: np.ndarray
    transcript: str = ""  # the words as the corpus gives them; "" where unknown
    target: str = ""  # the same in the vocabulary's units: "down" → "D AW N"
    tokens: tuple[int, ...] = ()  # the target as vocabulary indices, without blanks
    speaker: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """Utterances side by side, padded with zeros at the end; none at all where B = 0."""

    ids: list[str]
    waveforms: Tensor  # (B, N) int16 at full scale 32768; float32 in −1 … 1 is understood too
    waveform_lengths: Tensor  # (B,) int64, samples
    tokens: Tensor  # (B, S) int64, padded with 0, never read past its length
    token_lengths: Tensor  # (B,) int64
    transcripts: list[str] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device | str) -> Self:
        """The same batch with its waveforms on `device`; tokens and lengths stay on the CPU.

        They decide sizes and what can be aligned. Read from a GPU, each look would make the CPU
        wait for all that is queued there.
        """
        return replace(self, waveforms=self.waveforms.to(device, non_blocking=True))

    def pin_memory(self) -> Self:
        """The same batch in page-locked memory; DataLoader(pin_memory=True) calls this."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(
            self, **{n: v.pin_memory() for n, v in values.items() if isinstance(v, Tensor)}
        )


class Emissions(NamedTuple):
    """What a model says of each emitted frame."""

    log_probs: Tensor  # (B, T_out, V) float32, natural log, each row sums to 1; blank = 0
    lengths: Tensor  # (B,) int64, emitted frames of each utterance


class DeepEmissions(NamedTuple):
    """Emissions in training of a model whose head also reads layers before the last."""

    log_probs: Tensor  # as of Emissions
    lengths: Tensor
    between: tuple[Tensor, ...]  # log-probabilities of those layers, each (B, T_out, V)


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One reading of an utterance."""

    text: str
    tokens: tuple[int, ...]
    frames: tuple[int, ...]  # emitted frame in which each token is first seen; () where not asked
    score: float  # natural log; what exactly it measures is the decoder's to say
    confidences: tuple[float, ...] = ()  # of each token, 0 … 1
    acoustic: float | None = None  # the part of the score that the emissions gave, natural log
    language: float | None = None  # and the part that a language model added, weighted
    words: tuple[str, ...] | None = None  # that a lexicon reads in the tokens, where there is one
    ends: tuple[int, ...] = ()  # the frame after the last in which each token is seen

    @property
    def sentence(self) -> str:
        """The words that a lexicon reads in it; its text where there is none."""
        return self.text if self.words is None else " ".join(self.words)


def padding_mask(
    lengths: Tensor, n_frames: int, device: torch.device | str | None = None
) -> Tensor:
    """(B, n_frames) bool, True where there is only padding.

    Args:
        device: where the mask is wanted; None = where the lengths are.
    """
    lengths = lengths.to(device or lengths.device, non_blocking=True)
    return torch.arange(n_frames, device=lengths.device) >= lengths[:, None]


def to_float(waveform: Waveform) -> Waveform:
    """int16 samples as float32 in −1 … 1, full scale 32768; what is float already as float32.

    Every int16 comes back from `to_int16` as it was.
    """
    samples = waveform.float() if isinstance(waveform, Tensor) else waveform.astype(np.float32)
    return samples / FULL_SCALE if _is_int16(waveform) else samples


def to_int16(waveform: Waveform) -> Waveform:
    """Samples in −1 … 1 as int16: times 32768, rounded, clipped; what is int16 stays as it is.

    Raises:
        UserError: a sample is NaN or infinite, for which int16 has no value.
    """
    if _is_int16(waveform):
        return waveform
    kind = torch if isinstance(waveform, Tensor) else np
    finite = kind.isfinite(waveform)
    if not finite.all():
        n = int((~finite).sum())
        told = "1 sample is" if n == 1 else f"{n} samples are"
        raise UserError(f"{told} NaN or infinite; export it again.")
    samples = kind.clip(kind.round(waveform * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1)
    return samples.to(torch.int16) if isinstance(samples, Tensor) else samples.astype(np.int16)


def _is_int16(waveform: Tensor | np.ndarray) -> bool:
    return waveform.dtype in (torch.int16, np.int16)
