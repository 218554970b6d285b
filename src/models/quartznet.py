"""QuartzNet: residual blocks of convolutions that treat time and channels apart.

Kriman et al. 2019, "QuartzNet: Deep Automatic Speech Recognition with 1D Time-Channel Separable
Convolutions", arXiv 1910.10261, section 2 and table 1.
"""

from torch import Tensor, nn
from torch.nn import functional

from src.batch import Emissions
from src.models.parts.checks import check_share, check_whole
from src.models.parts.frames import Frames, enter, strided_lengths
from src.models.parts.layers import MaskedBatchNorm, log_probabilities
from src.models.parts.time_conv import TimeConv

# Of each group of blocks: share of `width`, kernel.
GROUPS = ((1, 33), (1, 39), (2, 51), (2, 63), (2, 75))


class QuartzNet(nn.Module):
    """A strided convolution, 5 groups of residual blocks, two wide convolutions.

    Args:
        n_features: feature bins, the channels of the first convolution.
        n_tokens: vocabulary size with the blank.
        n_blocks: blocks in each of the five groups: 1 makes QuartzNet-5x5, 2 10x5, 3 15x5.
        n_convs: convolutions in each block.
        width: channels of the first two groups; the other three have twice as many, the last
            convolution four times.
        dropout: share of each convolution's outputs set to zero in training, 0 … 1.

    Raises:
        UserError: a value outside these ranges.
    """

    time_stride = 2

    def __init__(
        self,
        n_features: int,
        n_tokens: int,
        n_blocks: int = 1,
        n_convs: int = 5,
        width: int = 256,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_whole("model.n_blocks", n_blocks, 1, 10)
        check_whole("model.n_convs", n_convs, 1, 10)
        check_whole("model.width", width, 1, 2048)
        check_share("model.dropout", dropout)
        self.subsample = SeparableConv(n_features, width, kernel=33, stride=2)
        self.blocks, n_in = nn.ModuleList(), width
        for share, kernel in [group for group in GROUPS for _ in range(n_blocks)]:
            self.blocks.append(Block(n_in, share * width, kernel, n_convs, dropout))
            n_in = share * width
        self.wide = SeparableConv(n_in, 2 * width, kernel=87, dilation=2)
        self.last = SeparableConv(2 * width, 4 * width, kernel=1)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(4 * width, n_tokens)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Frames emitted for `lengths` feature frames, (B,) int64: ⌈lengths / 2⌉."""
        return strided_lengths(lengths, self.time_stride)

    def forward(self, features: Tensor, lengths: Tensor) -> Emissions:
        """Features (B, T, F) and their lengths (B,) to log-probabilities (B, ⌈T / 2⌉, V)."""
        x, frames = enter(features, lengths)
        x, frames = self.subsample(x, frames)
        x = self.dropout(functional.relu(x))
        for block in self.blocks:
            x = block(x, frames)
        for conv in (self.wide, self.last):
            x = self.dropout(functional.relu(conv(x, frames)[0]))
        return Emissions(log_probabilities(self.head(x)), frames.lengths)


class SeparableConv(nn.Module):
    """Each channel over time by itself, then all channels of each frame; masked BatchNorm.

    A kernel of 1 has nothing to do over time and is the second half alone.
    """

    def __init__(
        self, n_in: int, n_out: int, kernel: int, stride: int = 1, dilation: int = 1
    ) -> None:
        super().__init__()
        over_time = {"stride": stride, "dilation": dilation, "groups": n_in, "bias": False}
        self.over_time = TimeConv(n_in, n_in, kernel, **over_time) if kernel > 1 else None
        self.over_channels = nn.Linear(n_in, n_out, bias=False)
        self.norm = MaskedBatchNorm(n_out)

    def forward(self, x: Tensor, frames: Frames) -> tuple[Tensor, Frames]:
        """x (B, T, n_in) to (B, ⌈T / stride⌉, n_out), zeros in the padding, and its frames."""
        if self.over_time is not None:
            x, frames = self.over_time(x, frames)
        return self.norm(self.over_channels(x), frames), frames


class Block(nn.Module):
    """ReLU(f(x) + g(x)): f several separable convolutions, g one of kernel 1."""

    def __init__(self, n_in: int, n_out: int, kernel: int, n_convs: int, dropout: float) -> None:
        super().__init__()
        widths = [n_in] + [n_out] * (n_convs - 1)
        self.convs = nn.ModuleList(SeparableConv(n, n_out, kernel) for n in widths)
        self.shortcut = SeparableConv(n_in, n_out, kernel=1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, frames: Frames) -> Tensor:
        """x (B, T, n_in) to (B, T, n_out), zeros in the padding."""
        shortcut, _ = self.shortcut(x, frames)
        *first, last = self.convs
        for conv in first:
            x = self.dropout(functional.relu(conv(x, frames)[0]))
        return self.dropout(functional.relu(last(x, frames)[0] + shortcut))
