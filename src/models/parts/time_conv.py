"""Convolution over time that emits as many frames as one expects, whatever the kernel."""

from torch import Tensor, nn
from torch.nn import functional

from src.models.parts.frames import Frames


class TimeConv(nn.Conv1d):
    """1-D convolution of frames (B, T, D), padded so that ⌈T / stride⌉ frames come out.

    Half of what the kernel reaches lies before a frame and half behind it; where that is an odd
    number of frames, one more lies behind. Expects silent padding; a bias leaves something there.
    """

    def forward(self, x: Tensor, frames: Frames) -> tuple[Tensor, Frames]:
        """x (B, T, D_in) to (B, ⌈T / stride⌉, D_out) and its frames."""
        reach = self.dilation[0] * (self.kernel_size[0] - 1)
        x = functional.pad(x.transpose(1, 2), (reach // 2, reach - reach // 2))
        return super().forward(x).transpose(1, 2), frames.strided(self.stride[0])
