"""Recurrent layers over stacked frames and nothing else: LSTM, GRU or plain RNN, one way or both.

Stacked frames: Sak et al. 2015, "Fast and Accurate Recurrent Neural Network Acoustic Models for
Speech Recognition", section 3.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from src.batch import Emissions
from src.models.parts.checks import check_share, check_whole
from src.models.parts.frames import Frames, enter, strided_lengths
from src.models.parts.layers import BiRecurrence, log_probabilities
from src.models.parts.one_way import OneWay, kind_of_rnn
from src.utils.errors import UserError


class Recurrent(nn.Module):
    """Several frames set side by side, then recurrent layers with LayerNorm between them.

    Args:
        n_features: feature bins.
        n_tokens: vocabulary size with the blank.
        kind: "lstm", "gru", or "rnn" with tanh.
        bidirectional: both directions, set side by side; otherwise a frame hears those before it
            and the `n_stacked` − 1 after it.
        n_rnn_layers: 1 … 10.
        width: units of a layer in each direction.
        n_stacked: feature frames that one step hears, at least `stride`.
        stride: feature frames from one step to the next.
        dropout: share of each layer's outputs set to zero in training, 0 … 1.

    Raises:
        UserError: a value outside these ranges.
    """

    def __init__(
        self,
        n_features: int,
        n_tokens: int,
        kind: str = "lstm",
        bidirectional: bool = True,
        n_rnn_layers: int = 4,
        width: int = 384,
        n_stacked: int = 3,
        stride: int = 3,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        check_whole("model.n_rnn_layers", n_rnn_layers, 1, 10)
        check_whole("model.width", width, 1, 8192)
        check_whole("model.stride", stride, 1, 8)
        check_whole("model.n_stacked", n_stacked, 1, 32)
        check_share("model.dropout", dropout)
        if n_stacked < stride:
            raise UserError(
                f"model.n_stacked={n_stacked}: expected at least model.stride={stride}, or frames "
                "would be heard by no step."
            )
        layer, n_outputs = kind_of_rnn(kind), width * (1 + bidirectional)
        n_inputs = [n_stacked * n_features] + [n_outputs] * (n_rnn_layers - 1)
        self.n_stacked = n_stacked
        self.time_stride = stride
        self.rnns = nn.ModuleList(
            BiRecurrence(layer, n, width, "concat") if bidirectional else OneWay(layer, n, width)
            for n in n_inputs
        )
        self.norms = nn.ModuleList(nn.LayerNorm(n_outputs) for _ in n_inputs)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(n_outputs, n_tokens)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Frames emitted for `lengths` feature frames, (B,) int64: ⌈lengths / stride⌉."""
        return strided_lengths(lengths, self.time_stride)

    def forward(self, features: Tensor, lengths: Tensor) -> Emissions:
        """Features (B, T, F) and their lengths (B,) to log-probabilities (B, ⌈T / stride⌉, V)."""
        x, frames = enter(features, lengths)
        x, frames = self._stack(x, frames)
        for rnn, norm in zip(self.rnns, self.norms, strict=True):
            x = self.dropout(norm(rnn(x, frames)))
        return Emissions(log_probabilities(self.head(x)), frames.lengths)

    def _stack(self, x: Tensor, frames: Frames) -> tuple[Tensor, Frames]:
        """x (B, T, F) to (B, ⌈T / stride⌉, n_stacked · F); behind the last frame comes silence."""
        steps = frames.strided(self.time_stride)
        last = (steps.n_frames - 1) * self.time_stride
        # Never negative: the last step begins less than a stride before the last frame.
        x = functional.pad(x, (0, 0, 0, last + self.n_stacked - x.shape[1]))
        parts = [x[:, i : i + last + 1 : self.time_stride] for i in range(self.n_stacked)]
        return torch.cat(parts, dim=2), steps
