"""Earlier or later."""

import torch
from torch import Tensor

from src.transforms.checks import check_number
from src.transforms.waveform.step import WaveformStep, on_device, uniform


class TimeShift(WaveformStep):
    """Moves an utterance within its own length; what leaves at one end is lost, zeros follow.

    Never by more than half of the utterance, so that some of it stays.
    """

    def __init__(self, *, probability: float = 0.5, max_shift_ms: float = 100.0) -> None:
        """
        Args:
            probability: share of the utterances that are changed.
            max_shift_ms: furthest way, to either side.
        """
        super().__init__(probability)
        check_number("max_shift_ms", max_shift_ms, 0, 10_000)
        self.max_shift_ms = max_shift_ms

    def change(self, waveforms: Tensor, lengths: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
        """As `WaveformStep.change`."""
        furthest = (lengths // 2).clamp(max=round(self.max_shift_ms * self.sample_rate / 1000))
        shift = (uniform(draws[:, 0], -1, 1) * furthest).round().long()
        n_samples = waveforms.shape[1]
        source = (
            torch.arange(n_samples, device=waveforms.device) - on_device(shift, waveforms)[:, None]
        )
        # The end of a clip shifted to the left is its padding, which holds zeros.
        outside = (source < 0) | (source >= n_samples)
        shifted = waveforms.gather(1, source.clamp(0, n_samples - 1))
        return shifted.masked_fill(outside, 0), lengths
