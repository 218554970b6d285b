"""Part of the spectrum taken away, as by a cheap microphone or a telephone.

Symmetric FIR filters (windowed sinc): they delay nothing, so frames keep their place. At the
cutoff the level is down by 6 dB, and the way from passing to stopping is 3.1 · rate / n_taps wide.
"""

import torch
from torch import Tensor

from src.transforms.checks import check_range, check_whole
from src.transforms.waveform.convolution import convolve
from src.transforms.waveform.step import WaveformStep, log_uniform, on_device
from src.utils.errors import UserError

HIGHEST_HZ = 192_000


class _Filter(WaveformStep):
    """Draws cutoffs and convolves; `ranges_hz` has one pair of limits for each cutoff."""

    def __init__(self, probability: float, n_taps: int, **ranges_hz: tuple[float, float]) -> None:
        super().__init__(probability)
        check_whole("n_taps", n_taps, 3, 65_535)
        if n_taps % 2 == 0:
            raise UserError(f"n_taps={n_taps}: expected an odd number, so that there is a middle.")
        for name, (low, high) in ranges_hz.items():
            check_range(name, low, high, 1, HIGHEST_HZ)
        self.n_taps = n_taps
        self.ranges_hz = ranges_hz
        self.n_draws = len(ranges_hz)

    def prepare(self, sample_rate: int) -> None:
        """Raises UserError where a cutoff lies beyond half the rate."""
        super().prepare(sample_rate)
        for name, (_, high) in self.ranges_hz.items():
            if high > sample_rate / 2:
                raise UserError(
                    f"max_{name}={high}: expected at most {sample_rate / 2:g}, half of the "
                    "sample rate."
                )

    def change(self, waveforms: Tensor, lengths: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
        """As `WaveformStep.change`."""
        limits = self.ranges_hz.values()
        cutoffs_hz = [log_uniform(draws[:, i], *range_hz) for i, range_hz in enumerate(limits)]
        kernels = on_device(self.kernels(*cutoffs_hz), waveforms)
        return convolve(waveforms, kernels, delay=self.n_taps // 2), lengths

    def kernels(self, *cutoffs_hz: Tensor) -> Tensor:
        """(B, n_taps) for cutoffs of (B,) each."""
        raise NotImplementedError

    def _low_pass(self, cutoff_hz: Tensor) -> Tensor:
        """(B, n_taps); all that is below (B,) passes, with a gain of 1 at 0 Hz."""
        position = torch.arange(self.n_taps) - self.n_taps // 2
        band = 2 * cutoff_hz[:, None] / self.sample_rate
        window = torch.hann_window(self.n_taps + 2, periodic=False)[1:-1]
        kernels = band * torch.sinc(band * position) * window
        return kernels / kernels.sum(1, keepdim=True)

    def _everything(self) -> Tensor:
        """(n_taps,); passes all as it is."""
        return (torch.arange(self.n_taps) == self.n_taps // 2).float()


class LowPass(_Filter):
    """Takes away what is above a cutoff, log-uniform between two limits."""

    def __init__(
        self,
        *,
        probability: float = 0.5,
        min_cutoff_hz: float = 2_000.0,
        max_cutoff_hz: float = 7_500.0,
        n_taps: int = 513,
    ) -> None:
        """
        Args:
            probability: share of the utterances that are changed.
            min_cutoff_hz, max_cutoff_hz: limits of the cutoff.
            n_taps: odd length of the filter; more = steeper.
        """
        super().__init__(probability, n_taps, cutoff_hz=(min_cutoff_hz, max_cutoff_hz))

    def kernels(self, cutoff_hz: Tensor) -> Tensor:
        """(B, n_taps) for cutoffs (B,)."""
        return self._low_pass(cutoff_hz)


class HighPass(_Filter):
    """Takes away what is below a cutoff, log-uniform between two limits."""

    def __init__(
        self,
        *,
        probability: float = 0.5,
        min_cutoff_hz: float = 80.0,
        max_cutoff_hz: float = 800.0,
        n_taps: int = 513,
    ) -> None:
        """
        Args:
            probability: share of the utterances that are changed.
            min_cutoff_hz, max_cutoff_hz: limits of the cutoff.
            n_taps: odd length of the filter; more = steeper.
        """
        super().__init__(probability, n_taps, cutoff_hz=(min_cutoff_hz, max_cutoff_hz))

    def kernels(self, cutoff_hz: Tensor) -> Tensor:
        """(B, n_taps) for cutoffs (B,)."""
        return self._everything() - self._low_pass(cutoff_hz)


class BandPass(_Filter):
    """Keeps what is between two cutoffs, as a telephone does: 300 … 3400 Hz."""

    def __init__(
        self,
        *,
        probability: float = 0.5,
        min_low_hz: float = 100.0,
        max_low_hz: float = 400.0,
        min_high_hz: float = 3_000.0,
        max_high_hz: float = 7_000.0,
        n_taps: int = 513,
    ) -> None:
        """
        Args:
            probability: share of the utterances that are changed.
            min_low_hz, max_low_hz: limits of the lower cutoff.
            min_high_hz, max_high_hz: limits of the upper cutoff.
            n_taps: odd length of the filter; more = steeper.
        """
        ranges_hz = {"low_hz": (min_low_hz, max_low_hz), "high_hz": (min_high_hz, max_high_hz)}
        super().__init__(probability, n_taps, **ranges_hz)
        if max_low_hz > min_high_hz:
            raise UserError(f"max_low_hz={max_low_hz}: expected at most min_high_hz={min_high_hz}.")

    def kernels(self, low_hz: Tensor, high_hz: Tensor) -> Tensor:
        """(B, n_taps) for cutoffs (B,) and (B,)."""
        return self._low_pass(high_hz) - self._low_pass(low_hz)
