"""DeepSpeech2 with residual convolutions and GRUs: layer normalisation and GELU throughout."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from src.batch import DeepEmissions, Emissions
from src.models.parts.checks import check_intermediate, check_share, check_whole
from src.models.parts.frames import Frames, enter, strided_lengths
from src.models.parts.layers import BiRecurrence, emitted, log_probabilities

# Under a time mask and in digital silence every bin of a frame is alike. Its variance is 0, and
# LayerNorm's usual 1e-5 would multiply gradients by 300 a layer: norms of 4e7, which clipping
# turned into steps that learnt from nothing but the masks.
NORM_EPS = 0.1


class DeepSpeech2(nn.Module):
    """One strided convolution, residual convolutions, bidirectional GRUs over time.

    Every layer normalises single frames, so nothing an utterance gets depends on its batch,
    in training as well (dropout aside).

    Args:
        n_features: feature bins.
        n_tokens: vocabulary size with the blank.
        n_cnn_layers: residual blocks of two convolutions each, 1 … 10.
        n_rnn_layers: GRUs, 1 … 10.
        n_channels: feature maps of the convolutions.
        width: units of a GRU in each direction.
        dropout: share of activations set to zero in training, 0 … 1.
        intermediate: GRUs, counted from 1, behind which the head reads too in training, before
            the last.

    Raises:
        UserError: a value outside these ranges.
    """

    time_stride = 2

    def __init__(
        self,
        n_features: int,
        n_tokens: int,
        n_cnn_layers: int = 3,
        n_rnn_layers: int = 5,
        n_channels: int = 32,
        width: int = 512,
        dropout: float = 0.1,
        intermediate: Sequence[int] = (),
    ) -> None:
        super().__init__()
        check_whole("model.n_cnn_layers", n_cnn_layers, 1, 10)
        check_whole("model.n_rnn_layers", n_rnn_layers, 1, 10)
        check_whole("model.n_channels", n_channels, 1, 8192)
        check_whole("model.width", width, 1, 8192)
        check_share("model.dropout", dropout)
        check_intermediate(intermediate, n_rnn_layers)
        n_bins = (n_features + 1) // 2
        self.subsample = nn.Conv2d(1, n_channels, kernel_size=3, stride=2, padding=1)
        self.cnn = nn.ModuleList(
            ResidualBlock(n_channels, n_bins, dropout) for _ in range(n_cnn_layers)
        )
        self.join = nn.Linear(n_channels * n_bins, width)
        n_inputs = [width] + [2 * width] * (n_rnn_layers - 1)
        self.rnn = nn.ModuleList(RecurrentBlock(n, width, dropout) for n in n_inputs)
        self.head = nn.Sequential(
            nn.Linear(2 * width, width), nn.GELU(), nn.Dropout(dropout), nn.Linear(width, n_tokens)
        )
        self.intermediate = tuple(intermediate)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Frames emitted for `lengths` feature frames, (B,) int64: ⌈lengths / 2⌉."""
        return strided_lengths(lengths, self.time_stride)

    def forward(self, features: Tensor, lengths: Tensor) -> Emissions | DeepEmissions:
        """Features (B, T, F) and their lengths (B,) to log-probabilities (B, ⌈T / 2⌉, V)."""
        x, frames = enter(features, lengths)
        x = self.subsample(x.unsqueeze(1))  # (B, C, T_out, F')
        frames = frames.strided(self.time_stride)
        for block in self.cnn:
            x = block(x, frames)
        x = self.join(x.transpose(1, 2).flatten(2))  # (B, T_out, D)
        between = []
        for i, block in enumerate(self.rnn, 1):
            x = block(x, frames)
            if self.training and i in self.intermediate:
                between.append(log_probabilities(self.head(x)))
        return emitted(log_probabilities(self.head(x)), frames.lengths, between)


class ResidualBlock(nn.Module):
    """x + f(x), where f is twice: LayerNorm over frequency, GELU, dropout, 3 × 3 convolution.

    Pre-activation as in He et al. 2016, "Identity Mappings in Deep Residual Networks".
    """

    def __init__(self, n_channels: int, n_bins: int, dropout: float) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(n_bins, eps=NORM_EPS) for _ in range(2))
        self.convs = nn.ModuleList(
            nn.Conv2d(n_channels, n_channels, kernel_size=3, padding=1) for _ in range(2)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, frames: Frames) -> Tensor:
        """x (B, C, T, F) to the same shape."""
        y = x
        for norm, conv in zip(self.norms, self.convs, strict=True):
            y = self.dropout(functional.gelu(norm(y)))
            # LayerNorm's bias leaves something in the padding, and the convolution would
            # carry it into the last valid frames.
            y = conv(frames.silence(y, time_axis=2))
        return x + y


class RecurrentBlock(nn.Module):
    """LayerNorm, GELU, bidirectional GRU over time, dropout."""

    def __init__(self, n_inputs: int, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(n_inputs)
        self.recurrence = BiRecurrence(nn.GRU, n_inputs, width, "concat")
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, frames: Frames) -> Tensor:
        """x (B, T, n_inputs) to (B, T, 2 · width)."""
        return self.dropout(self.recurrence(functional.gelu(self.norm(x)), frames))
