"""One optimizer step: forward, backward, clip, update, and what to do when that fails."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from src.batch import Batch
from src.recognizer import Recognizer
from src.utils.devices import autocast
from src.utils.seeding import step_generator


@dataclass(slots=True)
class StepReport:
    """What one optimizer step did."""

    loss: float = float("nan")  # nats per target token
    grad_norm: float = float("nan")  # before clipping
    n_utterances: int = 0
    n_impossible: int = 0  # utterances with more tokens and repeats than emitted frames
    audio_s: float = 0.0
    skipped: str | None = None  # "non-finite" or "out of memory": no weight was changed
    ids: list[str] = field(default_factory=list)  # utterances of a skipped step


class Stepper:
    """Turns micro-batches into one update of the weights.

    The gradient is that of the summed loss of all micro-batches over their summed target
    tokens, so two micro-batches of 8 step exactly like one batch of 16 (BatchNorm apart,
    which sees the smaller ones).

    Args:
        loss: `(emissions, tokens, token_lengths) -> CTCLoss`.
        max_grad_norm: gradients are scaled down to this L2 norm.
        precision: "float32", "bf16" or "fp16" (with loss scaling).
        seed: of the augmentation, which depends on (seed, step) only.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        augment: nn.Module,
        loss: Callable,
        optimizer: Optimizer,
        *,
        max_grad_norm: float,
        precision: str,
        seed: int,
    ) -> None:
        self.recognizer = recognizer
        self.augment = augment
        self.loss = loss
        self.optimizer = optimizer
        self.max_grad_norm = max_grad_norm
        self.precision = precision
        self.seed = seed
        self.device = next(recognizer.parameters()).device
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=precision == "fp16")

    def step(self, batches: Sequence[Batch], step: int) -> StepReport:
        """Learn from `batches` together; a failed step changes nothing and says so."""
        self.recognizer.train()
        report = StepReport(
            n_utterances=sum(len(batch) for batch in batches),
            audio_s=sum(int(b.waveform_lengths.sum()) for b in batches)
            / self.recognizer.sample_rate,
        )
        buffers = [buffer.clone() for buffer in self.recognizer.buffers()]
        try:
            report.skipped = self._learn(batches, step, report)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            report.skipped = "out of memory"
        if report.skipped:
            self._undo(buffers)
            report.ids = [utterance_id for batch in batches for utterance_id in batch.ids]
        self.optimizer.zero_grad(set_to_none=True)
        return report

    def _learn(self, batches: Sequence[Batch], step: int, report: StepReport) -> str | None:
        n_tokens = max(1, sum(int(batch.token_lengths.sum()) for batch in batches))
        generator = step_generator(self.seed, step, self.device)
        losses = [self._backward(batch, n_tokens, generator) for batch in batches]
        self.scaler.unscale_(self.optimizer)
        grad_norm = clip_grad_norm_(self.recognizer.parameters(), self.max_grad_norm)
        report.n_impossible = sum(int(loss.impossible.sum()) for loss in losses)
        aligned = sum(int(loss.n_tokens) for loss in losses)
        report.loss = sum(loss.total.item() for loss in losses) / max(1, aligned)
        report.grad_norm = grad_norm.item()
        # With fp16 an overflowing gradient is daily business: the scaler skips and adapts,
        # unless there is no scale left to blame.
        adapts = self.scaler.is_enabled() and self.scaler.get_scale() > 1
        suspect = report.loss if adapts else report.loss + report.grad_norm
        if not torch.isfinite(torch.tensor(suspect)):
            return "non-finite"
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return None

    def _backward(self, batch: Batch, n_tokens: int, generator: torch.Generator):
        batch = batch.to(self.device)
        features, lengths = self.recognizer.features(batch.waveforms, batch.waveform_lengths)
        with autocast(self.device, self.precision):
            features = self.augment(features, lengths, generator)
            emissions = self.recognizer.model(features, lengths)
        loss = self.loss(emissions, batch.tokens, batch.token_lengths)
        self.scaler.scale(loss.total / n_tokens).backward()
        return loss

    def _undo(self, buffers: list[Tensor]) -> None:
        # A NaN that went through BatchNorm would otherwise stay in its running statistics.
        with torch.no_grad():
            for buffer, before in zip(self.recognizer.buffers(), buffers, strict=True):
                buffer.copy_(before)
        self.optimizer.zero_grad(set_to_none=True)
        if self.scaler.is_enabled():
            # A fresh one, since the old one waits for a step that will not come. Its scale stays:
            # neither a bad recording nor a full memory says anything about gradients.
            before_step = self.scaler.state_dict()
            self.scaler = torch.amp.GradScaler(self.device.type)
            self.scaler.load_state_dict(before_step)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return "out of memory" in text or "can't allocate memory" in text


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict]:
    """Decay matrices and kernels, leave biases and normalisation weights alone."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
