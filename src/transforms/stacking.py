"""Several frames side by side as one: fewer, wider steps for the model."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from src.transforms.checks import check_whole


class Stacked(nn.Module):
    """Any features, `n_frames` of them laid end to end every `stride` frames.

    With as many frames as a stride it is frame stacking (Sak et al. 2015, "Fast and accurate
    recurrent neural network acoustic models", section 3); with more, frames see their neighbours,
    as 250 ms windows every 50 ms do.
    """

    def __init__(self, *, features: nn.Module, n_frames: int, stride: int) -> None:
        """
        Args:
            features: `Spectrogram`, `LogMel`, `MFCC` or `RawFrames`.
            n_frames: of these in each frame. stride: from one to the next.
        """
        super().__init__()
        check_whole("n_frames", n_frames, 1, 1000)
        check_whole("stride", stride, 1, 1000)
        self.features = features
        self.n_frames = n_frames
        self.stride = stride
        self.sample_rate: int = features.sample_rate
        self.hop_s: float = features.hop_s * stride
        self.n_features: int = features.n_features * n_frames

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Frames of waveforms of `lengths` samples, (B,) int64.

        1 + ⌊(T − n_frames) / stride⌋ of T inner frames; fewer than n_frames, but some, give one
        frame, whose end hears silence.
        """
        inner = self.features.output_lengths(lengths)
        frames = 1 + (inner - self.n_frames).clamp(min=0) // self.stride
        return torch.where(inner > 0, frames, 0)

    def forward(self, waveforms: Tensor) -> Tensor:
        """Waveforms (B, N) to features (B, T, n_frames · F), T ≥ 1."""
        x = self.features(waveforms)
        hop = round(self.features.hop_s * self.sample_rate)
        while (missing := self.n_frames - x.shape[1]) > 0:  # again where no window was full
            waveforms = functional.pad(waveforms, (0, missing * hop))
            x = self.features(waveforms)
        last = (x.shape[1] - self.n_frames) // self.stride * self.stride  # where one begins
        # Not unfold, which ONNX knows only where the number of frames is fixed.
        parts = [x[:, i : i + last + 1 : self.stride] for i in range(self.n_frames)]
        return torch.cat(parts, dim=2)
