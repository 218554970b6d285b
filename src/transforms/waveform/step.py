"""What all augmentations of waveforms share: whom they change, and by which numbers."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from src.batch import padding_mask, to_float
from src.transforms.checks import check_number
from src.utils.errors import UserError


class WaveformStep(nn.Module):
    """One augmentation, done to some utterances of a batch and not to the others.

    Each utterance gets a fixed row of random numbers, drawn on the CPU. So they are the same on
    every device and whatever the padding, and which utterances change, and how long they become,
    is known without asking the device.
    """

    n_draws = 1  # numbers an utterance needs, beside the one that decides whether it is changed

    def __init__(self, probability: float) -> None:
        super().__init__()
        check_number("probability", probability, 0, 1)
        self.probability = probability
        self.sample_rate = 0

    def prepare(self, sample_rate: int) -> None:
        """Told once, before the first batch: samples per second of all that is to come.

        Raises:
            UserError: the step's values make no sense at this rate, or its files can't be read.
        """
        self.sample_rate = sample_rate

    def forward(
        self, waveforms: Tensor, lengths: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """Waveforms (B, N) float32, zeros in the padding, and lengths (B,) on the CPU to the same.

        Args:
            generator: on the CPU; decides everything that is drawn.
        """
        draws = torch.rand(len(lengths), 1 + self.n_draws, generator=generator, dtype=torch.float64)
        rows = (draws[:, 0] < self.probability).nonzero().flatten()
        if not len(rows) or not waveforms.shape[1]:
            return waveforms, lengths
        chosen = on_device(rows, waveforms)
        changed, its_lengths = self.change(waveforms[chosen], lengths[rows], draws[rows, 1:])
        padding = padding_mask(its_lengths, changed.shape[1], changed.device)
        changed = changed.masked_fill(padding, 0)
        if len(rows) == len(lengths):
            return changed, its_lengths
        lengths = lengths.index_copy(0, rows, its_lengths)
        n_samples = int(lengths.max())
        waveforms, changed = resized(waveforms, n_samples), resized(changed, n_samples)
        return waveforms.index_copy(0, chosen, changed), lengths

    def change(self, waveforms: Tensor, lengths: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
        """The utterances that were chosen, as `forward`; the padding they return may hold anything.

        Args:
            draws: (B, n_draws) float64 on the CPU, uniform in [0, 1).
        """
        raise NotImplementedError


class WaveformSteps(nn.Module):
    """Augmentations of waveforms, in the order in which they are named."""

    def __init__(self, **steps: WaveformStep) -> None:
        super().__init__()
        for name, step in steps.items():
            if not isinstance(step, WaveformStep):
                raise UserError(
                    f"augment.waveform.{name}={step}: expected an augmentation of waveforms, "
                    "with its _target_."
                )
        self.steps = nn.ModuleDict(steps)

    def prepare(self, sample_rate: int) -> None:
        """As each step's; raises UserError where one can't be used."""
        for step in self.steps.values():
            step.prepare(sample_rate)

    @torch.no_grad()
    def forward(
        self, waveforms: Tensor, lengths: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Waveforms (B, N) and lengths (B,) in samples to others, which may be longer or shorter.

        Args:
            waveforms: int16 at full scale 32768, or float; float32 comes out, and may exceed ±1.
            lengths: on the CPU, and so are those that come out.
            generator: on the CPU; decides everything that is drawn.
        """
        with torch.autocast(waveforms.device.type, enabled=False):
            waveforms = to_float(waveforms)
            padding = padding_mask(lengths, waveforms.shape[1], waveforms.device)
            waveforms = waveforms.masked_fill(padding, 0)
            for step in self.steps.values():
                waveforms, lengths = step(waveforms, lengths, generator)
        return waveforms, lengths


def on_device(values: Tensor, like: Tensor) -> Tensor:
    """Numbers drawn on the CPU, where `like` is; nobody waits for them to arrive."""
    return values.to(like.device, non_blocking=True)


def resized(waveforms: Tensor, n_samples: int) -> Tensor:
    """Waveforms (B, N) with zeros appended, or the end left out, to (B, n_samples)."""
    return functional.pad(waveforms, (0, n_samples - waveforms.shape[1]))


def uniform(draws: Tensor, low: float, high: float) -> Tensor:
    """Draws in [0, 1) to float32 in low … high."""
    return (low + (high - low) * draws).float()


def log_uniform(draws: Tensor, low: float, high: float) -> Tensor:
    """Draws in [0, 1) to float32 in low … high, each octave as likely as any other."""
    return (low * (high / low) ** draws).float()


def decibels(values: Tensor) -> Tensor:
    """dB to factors of amplitude."""
    return 10 ** (values / 20)


def energy(waveforms: Tensor) -> Tensor:
    """Sum of squares of each row, (B, 1)."""
    return waveforms.square().sum(1, keepdim=True)


def relative_level(waveforms: Tensor, to: Tensor) -> Tensor:
    """Amplitude of each row over that of `to`, (B, 1); 0 where either is silent."""
    silent = energy(to) == 0
    return (energy(waveforms) / energy(to).masked_fill(silent, 1)).sqrt().masked_fill(silent, 0)
