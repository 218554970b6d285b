"""What one optimizer step found out, read without making the CPU wait for the device."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from src.batch import Batch
from src.loss import CTCLoss
from src.utils import parallel

BESIDE = ("consistency", "distillation")  # parts of a `CTCLoss` that some runs have


@dataclass(slots=True)
class StepReport:
    """What one optimizer step did, over all processes."""

    loss: float = float("nan")  # nats per target token
    grad_norm: float = float("nan")  # before clipping
    n_utterances: int = 0
    n_impossible: int = 0  # utterances with more tokens and repeats than emitted frames
    audio_s: float = 0.0
    padded_s: float = 0.0  # the same with the padding of the batches
    skipped: str | None = None  # "non-finite" or "out of memory": no weight was changed
    consistency: float | None = None  # of two views, nats per target token; None = one view
    distillation: float | None = None  # from a teacher, nats per target token; None = no teacher
    ids: list[str] = field(default_factory=list)  # utterances of a skipped step


class PendingReport:
    """The report of a step whose figures are still on their way from the device.

    Args:
        batches: micro-batches of this process.
        losses: their `CTCLoss`es.
        grad_norm: scalar on the device, the same in all processes.
        scaler: of fp16, which skips steps of its own accord while it looks for a scale.

    Attributes:
        is_bad: scalar on the device, 1 where loss or gradient is not finite, else 0.
    """

    def __init__(
        self,
        batches: Sequence[Batch],
        losses: Sequence[CTCLoss],
        grad_norm: Tensor,
        sample_rate: int,
        scaler,
    ) -> None:
        self._batches = batches
        self._scaler = scaler
        host = [*_speech(batches, sample_rate), 0, 0]
        for loss in losses:
            host[-2] += sum(loss.impossible.tolist())
            host[-1] += loss.n_tokens.tolist()
        nats = _sum(loss.total for loss in losses)
        self._beside = [name for name in BESIDE if getattr(losses[0], name) is not None]
        parts = [_sum(getattr(loss, name) for loss in losses) for name in self._beside]
        counts = torch.tensor(host, dtype=torch.float64).to(nats.device, non_blocking=True)
        sums = parallel.add_up(torch.cat([counts, torch.stack([nats, *parts])]))
        self.is_bad = (~(sums[len(host) :].sum() + grad_norm).isfinite()).float()
        self._figures = torch.cat([sums, grad_norm.double()[None]])
        self._event: torch.cuda.Event | None = None

    @classmethod
    def out_of_memory(cls, batches: Sequence[Batch], sample_rate: int) -> "PendingReport":
        """The report of a step that memory did not suffice for."""
        self = cls.__new__(cls)
        self._batches, self._figures = batches, None
        self._host = _speech(batches, sample_rate)
        return self

    def send(self) -> None:
        """Begin the copy to the CPU, behind all that was launched before."""
        self._figures = self._figures.to("cpu", non_blocking=True)
        if torch.cuda.is_available():
            self._event = torch.cuda.Event()
            self._event.record()

    def read(self) -> StepReport:
        """The report; waits until the device has come so far."""
        if self._figures is None:
            n_utterances, audio_s, padded_s = self._host
            report = StepReport(n_utterances=n_utterances, audio_s=audio_s, padded_s=padded_s)
            return self._failed(report, "out of memory")
        if self._event:
            self._event.synchronize()
        n, audio_s, padded_s, n_impossible, n_tokens, *nats, norm = self._figures.tolist()
        loss, *parts = (part / max(1, n_tokens) for part in nats)
        beside = dict(zip(self._beside, parts, strict=True))
        report = StepReport(loss, norm, int(n), int(n_impossible), audio_s, padded_s, **beside)
        all_nats = loss + sum(parts)
        # With fp16 an overflowing gradient is daily business: the scaler skips and adapts,
        # unless there is no scale left to blame.
        overflowed = math.isfinite(all_nats) and not math.isfinite(norm)
        if overflowed and self._scaler.is_enabled() and self._scaler.get_scale() > 1:
            return report
        return report if math.isfinite(all_nats + norm) else self._failed(report, "non-finite")

    def _failed(self, report: StepReport, why: str) -> StepReport:
        report.skipped = why
        report.ids = [utterance_id for batch in self._batches for utterance_id in batch.ids]
        return report


def _sum(nats: Iterable[Tensor]) -> Tensor:
    """Over micro-batches, float64."""
    return torch.stack([n.detach() for n in nats]).sum().double()


def _speech(batches: Sequence[Batch], sample_rate: int) -> tuple[int, float, float]:
    """Utterances, seconds, and seconds with padding of this process's batches."""
    n_samples = sum(sum(batch.waveform_lengths.tolist()) for batch in batches)
    n_padded = sum(batch.waveforms.numel() for batch in batches)
    return sum(map(len, batches)), n_samples / sample_rate, n_padded / sample_rate
