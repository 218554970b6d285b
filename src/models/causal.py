"""Causal convolutions and one-way recurrent layers: emits while it listens.

Nothing but the past is heard, so speech may come in pieces of any length. As in Deep Speech 2
(Amodei et al. 2015, arXiv 1512.02595, section 7), whose deployed model is of this kind.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from src.batch import Emissions
from src.models.parts.checks import check_share, check_whole
from src.models.parts.frames import enter, strided_lengths
from src.models.parts.layers import log_probabilities
from src.models.parts.one_way import OneWay, kind_of_rnn

KERNEL = 3  # of each convolution, over time and frequency alike
STRIDE = 2
N_CONVS = 2


class State(NamedTuple):
    """What a stream has heard so far, as far as what follows depends on it."""

    kept: tuple[Tensor, ...]  # of each convolution, the frames that a later output will hear
    recurrent: tuple  # the state of each recurrent layer; None before its first frame


class Causal(nn.Module):
    """Two strided causal convolutions, recurrent layers with LayerNorm before each, linear head.

    An emitted frame hears the feature frames up to its own, none behind it: frame t has heard
    4·t + 1 of them.

    Args:
        n_features: feature bins.
        n_tokens: vocabulary size with the blank.
        kind: of the recurrent layers, "gru" or "lstm" (or "rnn").
        n_rnn_layers: 1 … 10.
        n_channels: feature maps of the convolutions.
        width: units of a recurrent layer.
        dropout: share of each recurrent layer's inputs set to zero in training, 0 … 1.

    Raises:
        UserError: a value outside these ranges.
    """

    time_stride = STRIDE**N_CONVS

    def __init__(
        self,
        n_features: int,
        n_tokens: int,
        kind: str = "gru",
        n_rnn_layers: int = 4,
        n_channels: int = 32,
        width: int = 640,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        check_whole("model.n_channels", n_channels, 1, 4096)
        check_whole("model.n_rnn_layers", n_rnn_layers, 1, 10)
        check_whole("model.width", width, 1, 8192)
        check_share("model.dropout", dropout)
        self.convs = nn.ModuleList([CausalConv(1, n_channels), CausalConv(n_channels, n_channels)])
        self.n_features = n_features
        self.join = nn.Linear((n_features + 3) // 4 * n_channels, width)
        layer = kind_of_rnn(kind)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(n_rnn_layers))
        self.rnns = nn.ModuleList(OneWay(layer, width, width) for _ in range(n_rnn_layers))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, n_tokens)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Frames emitted for `lengths` feature frames, (B,) int64: ⌈lengths / 4⌉."""
        return strided_lengths(lengths, self.time_stride)

    def forward(self, features: Tensor, lengths: Tensor) -> Emissions:
        """Features (B, T, F) and their lengths (B,) to log-probabilities (B, ⌈T / 4⌉, V)."""
        x, frames = enter(features, lengths)
        x, _ = self._subsample(x, self._silence(x))
        frames = frames.strided(self.time_stride)
        for norm, rnn in zip(self.norms, self.rnns, strict=True):
            x = rnn(self.dropout(norm(x)), frames)
        return Emissions(log_probabilities(self.head(x)), frames.lengths)

    @torch.no_grad()
    def stream(self, features: Tensor, state: State | None = None) -> tuple[Emissions, State]:
        """The next feature frames of each stream to what can be said of them.

        Pieces of any lengths, one after another, give the emissions of `forward` in evaluation
        mode, up to float rounding.

        Args:
            features: (B, T, F), as many frames of each of B streams; T may be 0.
            state: what the call before returned; None at the beginning.

        Returns:
            log-probabilities (B, T_out, V), where T_out may be 0, and the state after them.
        """
        state = state or State(self._silence(features), (None,) * len(self.rnns))
        x, kept = self._subsample(features, state.kept)
        after = []
        # Recurrent layers refuse to run over no frame at all.
        for norm, rnn, before in zip(self.norms, self.rnns, state.recurrent, strict=True):
            x, now = rnn.stream(norm(x), before) if x.shape[1] else (x, before)
            after.append(now)
        lengths = torch.full((len(x),), x.shape[1])
        return Emissions(log_probabilities(self.head(x)), lengths), State(kept, tuple(after))

    def _subsample(self, x: Tensor, kept: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """x (B, T, F) to (B, T_out, D), and what each convolution keeps for later."""
        x, later = x[..., None], []  # (B, T, F, 1 channel)
        for conv, before in zip(self.convs, kept, strict=True):
            x, keep = conv(x, before)
            later.append(keep)
        return self.join(x.flatten(2)), tuple(later)

    def _silence(self, x: Tensor) -> tuple[Tensor, ...]:
        """What the convolutions have kept before the first frame."""
        n_bins = (self.n_features, (self.n_features + 1) // 2)
        return tuple(
            x.new_zeros(x.shape[0], KERNEL - 1, n, conv.conv.in_channels)
            for n, conv in zip(n_bins, self.convs, strict=True)
        )


class CausalConv(nn.Module):
    """Convolution over time × frequency that halves both and hears no frame to come, ReLU."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(n_in, n_out, KERNEL, STRIDE, padding=(0, KERNEL // 2))

    def forward(self, x: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, T, F, C_in), behind the frames kept from before, to (B, T_out, ⌈F / 2⌉, C_out).

        Returns:
            the output, and the frames that outputs to come will hear again.
        """
        x = torch.cat([kept.to(x.dtype), x], dim=1)
        n_emitted = max(0, (x.shape[1] - KERNEL) // STRIDE + 1)
        keep = x[:, n_emitted * STRIDE :]
        if n_emitted == 0:
            n_bins = (x.shape[2] + 1) // 2
            return x.new_zeros(len(x), 0, n_bins, self.conv.out_channels), keep
        y = self.conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return functional.relu(y), keep
