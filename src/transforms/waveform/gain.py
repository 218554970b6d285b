"""Louder or softer."""

from torch import Tensor

from src.transforms.checks import check_range
from src.transforms.waveform.step import WaveformStep, decibels, on_device, uniform


class Gain(WaveformStep):
    """Multiplies an utterance by a constant, uniform in decibels. Nothing is clipped."""

    def __init__(
        self, *, probability: float = 0.5, min_gain_db: float = -12.0, max_gain_db: float = 6.0
    ) -> None:
        """
        Args:
            probability: share of the utterances that are changed.
            min_gain_db, max_gain_db: limits of the gain; 6 dB doubles the samples.
        """
        super().__init__(probability)
        check_range("gain_db", min_gain_db, max_gain_db, -100, 100)
        self.limits = min_gain_db, max_gain_db

    def change(self, waveforms: Tensor, lengths: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
        """As `WaveformStep.change`."""
        factors = decibels(uniform(draws, *self.limits))  # (B, 1)
        return waveforms * on_device(factors, waveforms), lengths
