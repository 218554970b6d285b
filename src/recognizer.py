"""Waveforms in, log-probabilities out: a front end and a model that belong together."""

import torch
from torch import Tensor, nn

from src.batch import Emissions


class Recognizer(nn.Module):
    """A front end and the acoustic model trained on its features.

    The two share one state dict, since weights are worth nothing with other features.
    """

    def __init__(self, front_end: nn.Module, model: nn.Module) -> None:
        super().__init__()
        self.front_end = front_end
        self.model = model

    def forward(self, waveforms: Tensor, lengths: Tensor) -> Emissions:
        """Waveforms (B, N) and their lengths (B,) in samples to emissions (B, T_out, V)."""
        return self.model(*self.features(waveforms, lengths))

    @torch.no_grad()
    def features(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, T, F) and their lengths (B,); no gradient flows into the front end."""
        return self.front_end(waveforms, lengths)

    @property
    def frame_s(self) -> float:
        """Seconds from one emitted frame to the next."""
        return self.front_end.hop_s * self.model.time_stride

    @property
    def sample_rate(self) -> int:
        """Samples per second that the front end listens at."""
        return self.front_end.sample_rate
