"""CNN-GRU: convolutions that thin out a raw spectrogram, then GRUs over time."""

from torch import Tensor, nn

from src.batch import Emissions
from src.models.parts.checks import check_share, check_whole
from src.models.parts.frames import enter, strided_lengths
from src.models.parts.layers import BiRecurrence, ConvStack, MaskedBatchNorm, log_probabilities

# Of each convolution: share of the feature maps, kernel (time, frequency), stride (time,
# frequency). 201 bins become 67, 34 and 17: harmonics of 100 to 200 Hz lie 3 to 5 bins apart, so
# the first kernel hears several of them at once.
CONVOLUTIONS = (
    (1, (7, 15), (2, 3)),
    (2, (5, 9), (1, 2)),
    (2, (3, 5), (1, 2)),
)


class CNNGRU(nn.Module):
    """Three convolutions over time × frequency, then GRUs with BatchNorm between them.

    Args:
        n_features: feature bins; meant for the 161 to 257 of a spectrogram.
        n_tokens: vocabulary size with the blank.
        n_channels: feature maps of the first convolution; the others have twice as many.
        n_rnn_layers: GRUs, 1 … 10.
        width: units of a GRU in each direction; the directions are set side by side.
        dropout: share of each GRU's inputs set to zero in training, 0 … 1.

    Raises:
        UserError: a value outside these ranges.
    """

    time_stride = 2

    def __init__(
        self,
        n_features: int,
        n_tokens: int,
        n_channels: int = 32,
        n_rnn_layers: int = 4,
        width: int = 384,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        check_whole("model.n_channels", n_channels, 1, 4096)
        check_whole("model.n_rnn_layers", n_rnn_layers, 1, 10)
        check_whole("model.width", width, 1, 8192)
        check_share("model.dropout", dropout)
        blocks = [(share * n_channels, kernel, stride) for share, kernel, stride in CONVOLUTIONS]
        self.convs = ConvStack(n_features, blocks)
        widths = [self.convs.n_outputs] + [2 * width] * (n_rnn_layers - 1)
        self.rnns = nn.ModuleList(BiRecurrence(nn.GRU, n, width, "concat") for n in widths)
        self.norms = nn.ModuleList(MaskedBatchNorm(n) for n in widths[1:])
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * width, n_tokens)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Frames emitted for `lengths` feature frames, (B,) int64: ⌈lengths / 2⌉."""
        return strided_lengths(lengths, self.time_stride)

    def forward(self, features: Tensor, lengths: Tensor) -> Emissions:
        """Features (B, T, F) and their lengths (B,) to log-probabilities (B, ⌈T / 2⌉, V)."""
        x, frames = self.convs(*enter(features, lengths))  # (B, T_out, F' · C)
        x = self.rnns[0](self.dropout(x), frames)  # (B, T_out, D)
        for norm, rnn in zip(self.norms, self.rnns[1:], strict=True):
            x = rnn(self.dropout(norm(x, frames)), frames)
        return Emissions(log_probabilities(self.head(x)), frames.lengths)
