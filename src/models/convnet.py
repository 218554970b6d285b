"""ConvNet: four convolutions, a few bidirectional LSTMs. ConvNet2 of csr-pytorch, mended."""

from collections.abc import Sequence

from torch import Tensor, nn

from src.batch import DeepEmissions, Emissions
from src.models.parts.checks import check_channels, check_intermediate, check_share, check_whole
from src.models.parts.frames import enter, strided_lengths
from src.models.parts.layers import (
    BiRecurrence,
    ConvStack,
    MaskedBatchNorm,
    emitted,
    log_probabilities,
)
from src.utils.errors import UserError

KERNELS = (5, 5, 3, 3)  # of each convolution, over time and frequency alike
TIME_STRIDES = (2, 2, 1, 1)
FREQUENCY_STRIDE = 2
CEILING = 20.0  # of the clipped ReLU
FEWEST_FEATURES = 20  # four halvings of fewer bins leave no frequency axis to speak of
UNPADDED_FEATURES = 37  # fewest bins that survive the four convolutions without padding


class ConvNet(nn.Module):
    """Convolutions over time × frequency, then LSTMs whose directions are summed.

    BatchNorm follows each convolution and precedes each LSTM but the first.

    Args:
        n_features: feature bins, at least 20; below 37 zeros are added at both ends.
        n_tokens: vocabulary size with the blank.
        channels: feature maps of the four convolutions.
        rnn_width: units of an LSTM in each direction.
        n_rnn_layers: LSTMs, 1 … 10.
        dropout: share of each LSTM's inputs set to zero in training, 0 … 1.
        intermediate: LSTMs, counted from 1, behind which the head reads too in training, before
            the last.

    Raises:
        UserError: a value outside these ranges.
    """

    time_stride = 4

    def __init__(
        self,
        n_features: int,
        n_tokens: int,
        channels: Sequence[int] = (64, 128, 256, 512),
        rnn_width: int = 512,
        n_rnn_layers: int = 2,
        dropout: float = 0.0,
        intermediate: Sequence[int] = (),
    ) -> None:
        super().__init__()
        _check_features(n_features)
        check_channels("model.channels", channels, n=len(KERNELS))
        check_whole("model.n_rnn_layers", n_rnn_layers, 1, 10)
        check_whole("model.rnn_width", rnn_width, 1, 8192)
        check_share("model.dropout", dropout)
        check_intermediate(intermediate, n_rnn_layers)
        self.convs = _convolutions(n_features, channels)
        widths = [self.convs.n_outputs] + [rnn_width] * (n_rnn_layers - 1)
        self.rnns = nn.ModuleList(BiRecurrence(nn.LSTM, n, rnn_width, "sum") for n in widths)
        self.norms = nn.ModuleList(MaskedBatchNorm(rnn_width) for _ in widths[1:])
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(rnn_width, n_tokens)
        self.intermediate = tuple(intermediate)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Frames emitted for `lengths` feature frames, (B,) int64: ⌈lengths / 4⌉."""
        return strided_lengths(lengths, self.time_stride)

    def forward(self, features: Tensor, lengths: Tensor) -> Emissions | DeepEmissions:
        """Features (B, T, F) and their lengths (B,) to log-probabilities (B, ⌈T / 4⌉, V)."""
        x, frames = self.convs(*enter(features, lengths))  # (B, T_out, F' · C)
        x = self.rnns[0](self.dropout(x), frames)  # (B, T_out, D)
        between = []
        for i, (norm, rnn) in enumerate(zip(self.norms, self.rnns[1:], strict=True), 1):
            if self.training and i in self.intermediate:
                between.append(log_probabilities(self.head(x)))
            x = rnn(self.dropout(norm(x, frames)), frames)
        return emitted(log_probabilities(self.head(x)), frames.lengths, between)


def _convolutions(n_features: int, channels: Sequence[int]) -> ConvStack:
    blocks = [
        (n_out, (kernel, kernel), (stride, FREQUENCY_STRIDE))
        for n_out, kernel, stride in zip(channels, KERNELS, TIME_STRIDES, strict=True)
    ]
    missing = max(0, UNPADDED_FEATURES - n_features)
    return ConvStack(n_features, blocks, paddings=((missing + 1) // 2, 0, 0, 0), ceiling=CEILING)


def _check_features(n_features: int) -> None:
    if n_features < FEWEST_FEATURES:
        raise UserError(
            f"ConvNet halves the frequency axis four times and needs at least {FEWEST_FEATURES} "
            f"features a frame, but this transform gives {n_features}. Choose another transform, "
            "or model=deepspeech2, which halves it once."
        )
