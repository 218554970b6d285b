"""DeepSpeech2 close to the paper: wide convolutions, BatchNorm before each GRU, summed directions.

Amodei et al. 2015, "Deep Speech 2", arXiv 1512.02595, sections 3.2 – 3.5.
"""

from torch import Tensor, nn

from src.batch import Emissions
from src.models.parts.checks import check_share, check_whole
from src.models.parts.frames import enter, strided_lengths
from src.models.parts.layers import BiRecurrence, ConvStack, MaskedBatchNorm, log_probabilities

# Of each convolution: channels, kernel (time, frequency), stride (time, frequency).
CONVOLUTIONS = (
    (32, (11, 41), (2, 2)),
    (96, (11, 21), (1, 2)),
    (96, (11, 21), (1, 2)),
)


class DeepSpeech2Conv(nn.Module):
    """Three convolutions over time × frequency, then GRUs whose directions are summed.

    Args:
        n_features: feature bins.
        n_tokens: vocabulary size with the blank.
        n_rnn_layers: GRUs, 1 … 10.
        width: units of a GRU in each direction.
        dropout: share of each GRU's inputs set to zero in training, 0 … 1.

    Raises:
        UserError: a value outside these ranges.
    """

    time_stride = 2

    def __init__(
        self,
        n_features: int,
        n_tokens: int,
        n_rnn_layers: int = 7,
        width: int = 512,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_whole("model.n_rnn_layers", n_rnn_layers, 1, 10)
        check_whole("model.width", width, 1, 8192)
        check_share("model.dropout", dropout)
        self.convs = ConvStack(n_features, CONVOLUTIONS)
        widths = [self.convs.n_outputs] + [width] * (n_rnn_layers - 1)
        self.norms = nn.ModuleList(MaskedBatchNorm(n) for n in widths)
        self.rnns = nn.ModuleList(BiRecurrence(nn.GRU, n, width, "sum") for n in widths)
        self.dropout = nn.Dropout(dropout)
        self.last_norm = MaskedBatchNorm(width)
        self.head = nn.Linear(width, n_tokens)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Frames emitted for `lengths` feature frames, (B,) int64: ⌈lengths / 2⌉."""
        return strided_lengths(lengths, self.time_stride)

    def forward(self, features: Tensor, lengths: Tensor) -> Emissions:
        """Features (B, T, F) and their lengths (B,) to log-probabilities (B, ⌈T / 2⌉, V)."""
        x, frames = self.convs(*enter(features, lengths))  # (B, T_out, F' · C)
        for norm, rnn in zip(self.norms, self.rnns, strict=True):
            x = rnn(self.dropout(norm(x, frames)), frames)
        x = self.head(self.last_norm(x, frames))
        return Emissions(log_probabilities(x), frames.lengths)
