"""The convolutions over samples that wav2vec 2.0, HuBERT and WavLM begin with.

Baevski et al. 2020, "wav2vec 2.0: A Framework for Self-Supervised Learning of Speech
Representations", sections 2 and 4.2.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from src.models.parts.checks import check_whole
from src.models.parts.frames import Frames
from src.utils.errors import UserError

KERNELS = (10, 3, 3, 3, 3, 2, 2)
STRIDES = (5, 2, 2, 2, 2, 2, 2)
# An emitted frame hears 400 samples and begins 320 behind the one before.
RECEPTIVE_FIELD, HOP = 400, 320
FRAME = 160  # samples of a feature frame


class SampleConvs(nn.Module):
    """Seven convolutions, each with GELU: two frames of 160 samples become one of `n_channels`.

    Nothing is padded within. So that T frames of samples give ⌈T / 2⌉, zeros follow each utterance
    up to the end of what its last emitted frame hears: 80 samples, or 240 where T is odd. Frames of
    another number of samples are stretched to 160.

    Args:
        n_channels: of every convolution.
        norm: "group" normalises the first one's channels over each utterance's own steps, "layer"
            all channels of a step behind every convolution.
        bias: whether convolutions have one.

    Raises:
        UserError: another norm.
    """

    def __init__(self, n_channels: int, norm: str, bias: bool) -> None:
        super().__init__()
        check_whole("model.n_channels", n_channels, 1, 8192)
        if norm not in ("group", "layer"):
            raise UserError(f"model.conv_norm={norm}: expected group or layer.")
        self.stack = nn.ModuleList(
            ConvLayer(n_channels if i else 1, n_channels, kernel, stride, norm, bias, first=i == 0)
            for i, (kernel, stride) in enumerate(zip(KERNELS, STRIDES, strict=True))
        )

    def forward(self, x: Tensor, frames: Frames) -> tuple[Tensor, Frames]:
        """x (B, T, samples), silent in its padding, to (B, ⌈T / 2⌉, n_channels) and its frames."""
        if x.shape[2] != FRAME:
            x = functional.interpolate(x, size=FRAME, mode="linear")
        emitted = frames.strided(HOP // FRAME)
        steps = first_steps(emitted)
        x = x.flatten(1)
        x = functional.pad(x, (0, n_heard(emitted.n_frames) - x.shape[1]))[:, None]
        for layer in self.stack:
            x = layer(x, steps)
        return x.transpose(1, 2), emitted


def n_heard(n_emitted: int) -> int:
    """Samples that `n_emitted` frames hear together, from 1 frame on."""
    return HOP * (n_emitted - 1) + RECEPTIVE_FIELD


def first_steps(emitted: Frames) -> Frames:
    """The steps of the first convolution that each utterance's emitted frames hear."""

    def n_steps(n):  # of a number or a tensor
        return (n_heard(n) - KERNELS[0]) // STRIDES[0] + 1

    lengths = torch.where(emitted.lengths > 0, n_steps(emitted.lengths), 0)
    return Frames(lengths, n_steps(emitted.n_frames), emitted.device)


class ConvLayer(nn.Module):
    """Convolution, normalisation where there is one, GELU."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        stride: int,
        norm: str,
        bias: bool,
        first: bool,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv1d(in_channels, out_channels, kernel, stride, bias=bias)
        # Keeps the size of what passes: there are no shortcuts around seven of them.
        nn.init.kaiming_normal_(self.conv.weight)
        if norm == "layer":
            self.norm = nn.LayerNorm(out_channels)
            # Were silence all zeros, each of seven LayerNorms would make its gradient 316 times
            # larger; with these it is told from nothing.
            nn.init.normal_(self.norm.bias, std=0.5)
        elif first:
            self.norm = ChannelNorm(out_channels)
        else:
            self.norm = None

    def forward(self, x: Tensor, steps: Frames) -> Tensor:
        """x (B, C_in, L) to (B, C_out, L'); `steps` are those behind the first convolution."""
        x = self.conv(x)
        if isinstance(self.norm, ChannelNorm):
            x = self.norm(x, steps)
        elif self.norm is not None:
            x = self.norm(x.transpose(1, 2)).transpose(1, 2)
        return functional.gelu(x)


class ChannelNorm(nn.GroupNorm):
    """GroupNorm with a group for each channel, over each utterance's own steps only."""

    def __init__(self, n_channels: int) -> None:
        super().__init__(n_channels, n_channels)

    def forward(self, x: Tensor, steps: Frames) -> Tensor:
        """x (B, C, L) to the same shape, in float32 whatever autocast does."""
        if steps.full:
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            n = steps.lengths.to(x.device, non_blocking=True).clamp(min=1)[:, None, None]
            # In two passes: the difference of squares loses all digits on a loud constant.
            x = steps.silence(x.float(), time_axis=2)
            x = steps.silence(x - x.sum(2, keepdim=True) / n, time_axis=2)
            variance = x.square().sum(2, keepdim=True) / n
            x = x * (variance + self.eps).rsqrt()
            return x * self.weight[:, None] + self.bias[:, None]
