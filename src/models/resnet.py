"""A ResNet that looks at spectrograms as at pictures, then recurrent layers over time.

He et al. 2016, "Deep Residual Learning for Image Recognition", section 4.1. The trunk names and
shapes its parameters as torchvision does, so that weights published for ImageNet fit. torchvision
itself is not needed; each of its releases is built for one release of torch.
"""

import math
from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional

from src.batch import Emissions
from src.models.parts.checks import check_share, check_whole
from src.models.parts.frames import Frames, enter, strided_lengths
from src.models.parts.layers import BiRecurrence, MaskedBatchNorm, log_probabilities
from src.models.parts.one_way import kind_of_rnn
from src.models.parts.pretrained import load_pretrained
from src.utils.errors import UserError

# Depth: blocks in each of the four stages, and whether they are bottlenecks of three convolutions.
DEPTHS = {18: ((2, 2, 2, 2), False), 34: ((3, 4, 6, 3), False), 50: ((3, 4, 6, 3), True)}
EXPANSION = 4  # of channels by a bottleneck
COLOURS = 3  # channels of the pictures that published weights were trained on


class ResNet(nn.Module):
    """The first stages of a ResNet, a linear layer, bidirectional recurrent layers, linear head.

    Time is hopped by the first convolution and the pooling only: where stages of the original
    halve both axes, these halve the frequency axis. Strides have no weights, so published ones
    fit as they are.

    Args:
        n_features: feature bins.
        n_tokens: vocabulary size with the blank.
        depth: 18, 34 or 50, the original's layers.
        n_stages: of the original's four, the first so many; the last holds most of the weights.
        weights: state dict of torchvision's ResNet of this depth, .safetensors or .pth, read once
            when training starts: a checkpoint brings its own. None starts from random ones.
        n_channels: feature maps of the first stage; 64 in the original and its weights.
        kind: of the recurrent layers, "gru" or "lstm" (or "rnn").
        n_rnn_layers: 1 … 10.
        width: units of a recurrent layer in each direction, set side by side.
        dropout: share of each recurrent layer's inputs set to zero in training, 0 … 1.

    Raises:
        UserError: a value outside these ranges, or weights that are absent or of another shape.
    """

    time_stride = 4

    def __init__(
        self,
        n_features: int,
        n_tokens: int,
        depth: int = 18,
        n_stages: int = 3,
        weights: str | None = None,
        n_channels: int = 64,
        kind: str = "gru",
        n_rnn_layers: int = 3,
        width: int = 384,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if depth not in DEPTHS:
            raise UserError(f"model.depth={depth}: expected one of {', '.join(map(str, DEPTHS))}.")
        check_whole("model.n_stages", n_stages, 1, 4)
        check_whole("model.n_channels", n_channels, 1, 1024)
        check_whole("model.n_rnn_layers", n_rnn_layers, 1, 10)
        check_whole("model.width", width, 1, 8192)
        check_share("model.dropout", dropout)
        self.trunk = Trunk(depth, n_stages, n_channels)
        self.join = nn.Linear(self.trunk.n_outputs(n_features), width)
        widths = [width] + [2 * width] * (n_rnn_layers - 1)
        self.rnns = nn.ModuleList(
            BiRecurrence(kind_of_rnn(kind), n, width, "concat") for n in widths
        )
        self.norms = nn.ModuleList(nn.LayerNorm(n) for n in widths)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * width, n_tokens)
        if weights is not None:
            load_pretrained(self.trunk, Path(weights), (), "model.weights")

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Frames emitted for `lengths` feature frames, (B,) int64: ⌈lengths / 4⌉."""
        return strided_lengths(lengths, self.time_stride)

    def forward(self, features: Tensor, lengths: Tensor) -> Emissions:
        """Features (B, T, F) and their lengths (B,) to log-probabilities (B, ⌈T / 4⌉, V)."""
        x, frames = enter(features, lengths)
        x, frames = self.trunk(x, frames)
        x = self.join(x.flatten(2))  # (B, T_out, D)
        for norm, rnn in zip(self.norms, self.rnns, strict=True):
            x = rnn(self.dropout(norm(x)), frames)
        return Emissions(log_probabilities(self.head(x)), frames.lengths)


class Trunk(nn.Module):
    """torchvision's ResNet up to and including stage `n_stages`; time runs down the picture."""

    def __init__(self, depth: int, n_stages: int, n_channels: int) -> None:
        super().__init__()
        n_blocks, bottleneck = DEPTHS[depth]
        self.conv1 = nn.Conv2d(COLOURS, n_channels, 7, stride=2, padding=3, bias=False)
        self.bn1 = MaskedBatchNorm(n_channels)
        self.stages, n_in = [], n_channels
        for i in range(n_stages):
            n_inner = n_channels * 2**i
            n_out = n_inner * EXPANSION if bottleneck else n_inner
            blocks = nn.ModuleList()
            for _ in range(n_blocks[i]):
                hop = 2 if i > 0 and len(blocks) == 0 else 1  # of the frequency axis
                blocks.append(Block(n_in, n_inner, n_out, hop, bottleneck))
                n_in = n_out
            self.stages.append(f"layer{i + 1}")  # torchvision's name
            self.add_module(self.stages[-1], blocks)
        self.n_channels = n_in
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def n_outputs(self, n_bins: int) -> int:
        """Values in each emitted frame when `n_bins` go in."""
        return math.ceil(n_bins / 2 ** (1 + len(self.stages))) * self.n_channels

    def forward(self, x: Tensor, frames: Frames) -> tuple[Tensor, Frames]:
        """x (B, T, F) to (B, ⌈T / 4⌉, F', C) and its frames."""
        # A grey picture has the same values in all colours, so their kernels can be added up.
        kernel = self.conv1.weight.sum(1, keepdim=True)
        x = functional.conv2d(x[:, None], kernel, stride=2, padding=3).permute(0, 2, 3, 1)
        frames = frames.strided(2)
        x = functional.relu(self.bn1(x.contiguous(), frames))
        # After the ReLU nothing is below the zeros of the padding, so the largest stays the same.
        x = functional.max_pool2d(x.permute(0, 3, 1, 2), 3, stride=2, padding=1)
        frames = frames.strided(2)
        x = frames.silence(x.permute(0, 2, 3, 1))  # the first frame behind has heard the last one
        for stage in self.stages:
            for block in self.get_submodule(stage):
                x = block(x, frames)
        return x, frames


class Block(nn.Module):
    """ReLU(f(x) + x): f two convolutions of 3 × 3, or three of 1 × 1, 3 × 3 and 1 × 1."""

    def __init__(self, n_in: int, n_inner: int, n_out: int, hop: int, bottleneck: bool) -> None:
        super().__init__()
        if bottleneck:
            convs = [_conv(n_in, n_inner, 1), _conv(n_inner, n_inner, 3, hop)]
            convs.append(_conv(n_inner, n_out, 1))
        else:
            convs = [_conv(n_in, n_inner, 3, hop), _conv(n_inner, n_out, 3)]
        self.n_convs, self.hop = len(convs), hop
        for i, conv in enumerate(convs, 1):  # torchvision's names
            self.add_module(f"conv{i}", conv)
            self.add_module(f"bn{i}", MaskedBatchNorm(conv.out_channels))
        self.downsample = None
        if hop > 1 or n_in != n_out:
            # Its hop is taken before: with two threads oneDNN's gradient of a 1 × 1 convolution
            # that hops wrote beyond its memory (PyTorch 2.14.1, 12 to 24 channels).
            shortcut = _conv(n_in, n_out, 1)
            self.downsample = nn.ModuleList([shortcut, MaskedBatchNorm(n_out)])

    def forward(self, x: Tensor, frames: Frames) -> Tensor:
        """x (B, T, F, C) to (B, T, F', C'), zeros in the padding."""
        y = x
        for i in range(1, self.n_convs + 1):
            y = functional.relu(y) if i > 1 else y
            y = self._normalised(self.get_submodule(f"conv{i}"), f"bn{i}", y, frames)
        if self.downsample is not None:
            x = self._normalised(self.downsample[0], "downsample.1", x[:, :, :: self.hop], frames)
        return functional.relu(y + x)

    def _normalised(self, conv: nn.Conv2d, norm: str, x: Tensor, frames: Frames) -> Tensor:
        x = conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).contiguous()
        return self.get_submodule(norm)(x, frames)


def _conv(n_in: int, n_out: int, kernel: int, hop: int = 1) -> nn.Conv2d:
    """A convolution that keeps the frames and hops `hop` bins."""
    padding = (kernel - 1) // 2
    return nn.Conv2d(n_in, n_out, kernel, stride=(1, hop), padding=padding, bias=False)
