"""Wav2Letter: convolutions over time with wide kernels, no recurrence, no normalisation.

Collobert et al. 2016, "Wav2Letter: an End-to-End ConvNet-based Speech Recognition System", arXiv
1609.03193, figure 1, in its version for spectra and cepstra.
"""

from torch import Tensor, nn
from torch.nn import functional

from src.batch import Emissions
from src.models.parts.checks import check_share, check_whole
from src.models.parts.frames import enter, strided_lengths
from src.models.parts.layers import log_probabilities
from src.models.parts.time_conv import TimeConv

# Of each convolution: share of `width`, kernel, stride.
CONVOLUTIONS = ((1, 48, 2), *[(1, 7, 1)] * 7, (8, 32, 1), (8, 1, 1))


class Wav2Letter(nn.Module):
    """Ten convolutions with ReLU and a linear head; a frame hears 1.9 s at a hop of 10 ms.

    Args:
        n_features: feature bins, the channels of the first convolution.
        n_tokens: vocabulary size with the blank.
        width: channels of the first eight convolutions; the last two have 8 times as many.
        dropout: share of each convolution's outputs set to zero in training, 0 … 1.

    Raises:
        UserError: a value outside these ranges.
    """

    time_stride = 2

    def __init__(
        self, n_features: int, n_tokens: int, width: int = 250, dropout: float = 0.1
    ) -> None:
        super().__init__()
        check_whole("model.width", width, 1, 1024)
        check_share("model.dropout", dropout)
        self.convs, n_in = nn.ModuleList(), n_features
        for share, kernel, stride in CONVOLUTIONS:
            self.convs.append(TimeConv(n_in, share * width, kernel, stride))
            n_in = share * width
        # Without normalisation only He's initialisation keeps ten layers of ReLU in their range.
        for conv in self.convs:
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            nn.init.zeros_(conv.bias)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(n_in, n_tokens)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Frames emitted for `lengths` feature frames, (B,) int64: ⌈lengths / 2⌉."""
        return strided_lengths(lengths, self.time_stride)

    def forward(self, features: Tensor, lengths: Tensor) -> Emissions:
        """Features (B, T, F) and their lengths (B,) to log-probabilities (B, ⌈T / 2⌉, V)."""
        x, frames = enter(features, lengths)
        for conv in self.convs:
            x, frames = conv(x, frames)
            x = self.dropout(frames.silence(functional.relu(x)))
        return Emissions(log_probabilities(self.head(x)), frames.lengths)
