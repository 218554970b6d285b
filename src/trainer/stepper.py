"""One optimizer step: forward, backward, clip, update, and what to do when that fails.

Nothing here waits for the device. What a step found out (loss, gradient norm, whether it was
finite) is copied to the CPU in the background, and read when somebody asks for the report.
"""

import contextlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from src.batch import Batch
from src.loss import Consistent, CTCLoss, Intermediate
from src.recognizer import Recognizer
from src.trainer.memory import LESS_AT_ONCE, is_out_of_memory
from src.trainer.moving_average import MovingAverage
from src.trainer.reports import PendingReport, StepReport
from src.trainer.teacher import Teacher
from src.utils import parallel
from src.utils.devices import autocast
from src.utils.errors import UserError
from src.utils.seeding import random_state, restore_random_state, step_generator

# Half way round: of a seed PyTorch's generator on the CPU takes 32 bits.
OTHER_NUMBERS = 2**31


class Stepper:
    """Turns micro-batches into one update of the weights.

    The gradient is that of the summed loss of all micro-batches, of all processes, over their
    summed target tokens. So two micro-batches of 8, or two processes of 8, step exactly like
    one batch of 16 (BatchNorm apart, which sees the batches of all processes but only one
    micro-batch at a time).

    Args:
        loss: `(emissions, tokens, token_lengths) -> CTCLoss`.
        max_grad_norm: gradients are scaled down to this L2 norm.
        precision: "float32", "bf16" or "fp16" (with loss scaling).
        augment: `(features, lengths, generator) -> features`.
        seed: of the augmentation, which depends on (seed, step, process) only.
        intermediate: share of the loss that layers before the last have, where the model reads
            them too.
        consistency: weight of the consistency of two views of each utterance, which `augment`
            (a `TwoViews`) and dropout make, against the loss; None = one view.
        ema_decay: of a moving average of the recogniser's weights; None = no average.
        augment_waveforms: `(waveforms, lengths, generator) -> (waveforms, lengths)`, its generator
            and lengths on the CPU; None = waveforms as they come.
        teacher: what it hears in the same waveforms is learnt beside the transcripts; None = they
            alone are.
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
        intermediate: float = 0.3,
        consistency: float | None = None,
        ema_decay: float | None = None,
        augment_waveforms: nn.Module | None = None,
        teacher: Teacher | None = None,
    ) -> None:
        self.recognizer = recognizer
        self.augment = augment
        self.augment_waveforms = augment_waveforms
        self.teacher = teacher
        loss = Intermediate(loss)
        self.loss = Consistent(loss) if consistency else loss
        self.intermediate = intermediate
        self.consistency = consistency
        self.optimizer = optimizer
        self.max_grad_norm = max_grad_norm
        self.precision = precision
        self.seed = seed
        self.moving_average = MovingAverage(recognizer, ema_decay) if ema_decay else None
        self.is_updating = False  # from an update's beginning until somebody has counted the step
        self.device = next(recognizer.parameters()).device
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=precision == "fp16")
        model = recognizer.model
        # Without device_ids the lengths stay on the CPU, where the model wants them.
        self.model = DistributedDataParallel(model) if parallel.n_processes() > 1 else model

    def step(self, batches: Sequence[Batch], step: int) -> StepReport:
        """As `launch`, waiting for the report."""
        return self.launch(batches, step).read()

    def launch(self, batches: Sequence[Batch], step: int) -> PendingReport:
        """Learn from `batches` together; a failed step changes no weight, and its report says so.

        Whatever is raised before the update leaves all as it was. `is_updating` is True
        afterwards; who counts the step sets it to False.

        Args:
            step: optimizer steps so far.

        Raises:
            UserError: out of memory beside other processes, which could not leave the step out,
                or in the middle of the update.
            PeerLost: another process has ended.
        """
        self.recognizer.train()
        buffers = [buffer.clone() for buffer in self.recognizer.model.buffers()]
        numbers = random_state()
        try:
            report = self._learn(batches, step, buffers)
        except BaseException as error:
            is_full = is_out_of_memory(error)
            if self.is_updating and is_full:
                raise UserError(
                    f"Out of memory in the middle of an update. {LESS_AT_ONCE}"
                ) from error
            if not self.is_updating:
                _keep_where(None, self.recognizer.model.buffers(), buffers)
                restore_random_state(numbers)
            if not is_full:
                raise
            report = self._give_up(batches)
        self.optimizer.zero_grad(set_to_none=True)
        if self.moving_average:
            self.moving_average.update(step)
        return report

    @property
    def is_whole(self) -> bool:
        """Whether the weights are those of a counted step, and may be saved."""
        is_swapping = self.moving_average is not None and self.moving_average.is_swapping
        return not self.is_updating and not is_swapping

    def averaged(self) -> contextlib.AbstractContextManager:
        """Inside it the recogniser carries the moving average, where there is one."""
        return self.moving_average.applied() if self.moving_average else contextlib.nullcontext()

    def _learn(self, batches: Sequence[Batch], step: int, buffers: list[Tensor]) -> PendingReport:
        n_tokens = sum(sum(batch.token_lengths.tolist()) for batch in batches)
        n_tokens = max(1, parallel.count(n_tokens))
        generators = self._generators(step)
        losses = []
        for i, batch in enumerate(batches):
            with self._summed_over_processes(i == len(batches) - 1):
                losses.append(self._backward(batch, n_tokens, *generators))
        self.scaler.unscale_(self.optimizer)
        grad_norm = clip_grad_norm_(self.recognizer.parameters(), self.max_grad_norm)
        report = PendingReport(batches, losses, grad_norm, self.recognizer.sample_rate, self.scaler)
        self.is_updating = True
        self._update(report.is_bad)
        _keep_where(report.is_bad, self.recognizer.model.buffers(), buffers)
        report.send()
        return report

    def _summed_over_processes(self, is_last: bool) -> contextlib.AbstractContextManager:
        """Gradients are added up once a step, with the last micro-batch."""
        if is_last or not isinstance(self.model, DistributedDataParallel):
            return contextlib.nullcontext()
        return self.model.no_sync()

    def _generators(self, step: int) -> tuple[torch.Generator, torch.Generator]:
        """For waveforms, on the CPU, and for features; each draws numbers of its own."""
        cpu, rank = torch.device("cpu"), parallel.rank()
        of_waveforms = step_generator(self.seed + OTHER_NUMBERS, step, cpu, rank)
        return of_waveforms, step_generator(self.seed, step, self.device, rank)

    def _backward(
        self,
        batch: Batch,
        n_tokens: int,
        of_waveforms: torch.Generator,
        of_features: torch.Generator,
    ):
        # What can't be read leaves a batch empty; the model is asked all the same, since
        # beside other processes it has to be.
        batch = (batch if len(batch) else silence()).to(self.device)
        waveforms, lengths = batch.waveforms, batch.waveform_lengths
        if self.augment_waveforms:
            waveforms, lengths = self.augment_waveforms(waveforms, lengths, of_waveforms)
        heard = self.teacher(waveforms, lengths) if self.teacher else None
        features, lengths = self.recognizer.features(waveforms, lengths)
        if self.consistency:  # both views pass the model together
            features, lengths = features.repeat(2, 1, 1), lengths.repeat(2)
        with autocast(self.device, self.precision):
            features = self.augment(features, lengths, of_features)
            emissions = self.model(features, lengths)
        loss = self.loss(emissions, batch.tokens, batch.token_lengths)
        if heard:
            taught = self.teacher.distillation(emissions, heard, loss.impossible)
            loss = loss._replace(distillation=taught)
        # DistributedDataParallel takes the mean over the processes; we want the sum.
        nats = self._weighed(loss) * (parallel.n_processes() / n_tokens)
        self.scaler.scale(nats).backward()
        return loss

    def _weighed(self, loss: CTCLoss) -> Tensor:
        """The parts of a loss by their weights, nats, a scalar."""
        nats = loss.total
        if loss.intermediate is not None:
            nats = (1 - self.intermediate) * nats + self.intermediate * loss.intermediate
        if loss.distillation is not None:
            nats = (1 - self.teacher.share) * nats + self.teacher.share * loss.distillation
        if loss.consistency is not None:
            nats = nats + self.consistency * loss.consistency
        return nats

    def _update(self, is_bad: Tensor) -> None:
        """Let the optimizer step, unless `is_bad` (a scalar on the device) is 1."""
        if self.scaler.is_enabled():  # has looked for infinities itself
            self.scaler.step(self.optimizer)
            self.scaler.update()
        elif _decides_on_device(self.optimizer):
            # What GradScaler does with it: the kernel itself leaves the weights alone.
            self.optimizer.grad_scale, self.optimizer.found_inf = None, is_bad
            self.optimizer.step()
            del self.optimizer.grad_scale, self.optimizer.found_inf
        elif not is_bad.item():
            self.optimizer.step()

    def _give_up(self, batches: Sequence[Batch]) -> PendingReport:
        if parallel.n_processes() > 1:
            raise UserError(
                f"process {parallel.rank()}: out of memory, which a run of several processes can't "
                f"leave out. {LESS_AT_ONCE}"
            )
        self.optimizer.zero_grad(set_to_none=True)
        if self.scaler.is_enabled():
            # A fresh one, since the old one may wait for a step that will not come. Its scale
            # stays: a full memory says nothing about gradients.
            before_step = self.scaler.state_dict()
            self.scaler = torch.amp.GradScaler(self.device.type)
            self.scaler.load_state_dict(before_step)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return PendingReport.out_of_memory(batches, self.recognizer.sample_rate)


def silence() -> Batch:
    """One utterance without samples or tokens: nothing to learn, and a loss of 0."""
    nothing = torch.zeros(1, dtype=torch.int64)
    waveforms = torch.zeros(1, 0, dtype=torch.int16)
    return Batch([""], waveforms, nothing, torch.zeros(1, 0, dtype=torch.int64), nothing)


@torch.no_grad()
def _keep_where(is_bad: Tensor | None, buffers, before: list[Tensor]) -> None:
    # A NaN that went through BatchNorm would otherwise stay in its running statistics.
    for buffer, earlier in zip(buffers, before, strict=True):
        keep = earlier if is_bad is None else torch.where(is_bad > 0, earlier, buffer)
        buffer.copy_(keep)


def _decides_on_device(optimizer: Optimizer) -> bool:
    # Fused SGD could too, but leaves its momentum uninitialised after a skipped first step.
    is_adam = isinstance(optimizer, torch.optim.Adam | torch.optim.AdamW)
    return is_adam and all(group.get("fused") for group in optimizer.param_groups)
