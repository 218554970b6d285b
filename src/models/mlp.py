"""A multilayer perceptron that hears a few frames at a time: what speech tells without context."""

from torch import Tensor, nn
from torch.nn import functional

from src.batch import Emissions
from src.models.parts.checks import check_share, check_whole
from src.models.parts.frames import enter, strided_lengths
from src.models.parts.layers import log_probabilities


class MLP(nn.Module):
    """Linear layers and ReLUs over a window of frames. It learns in seconds, and little.

    Args:
        n_features: feature bins.
        n_tokens: vocabulary size with the blank.
        width: units of each hidden layer.
        n_layers: hidden layers, 1 … 20.
        n_context: frames heard on each side of the middle one; outside the utterance is silence.
        stride: feature frames from one emitted frame to the next, 1 … 8.
        dropout: share of each hidden layer's outputs set to zero in training, 0 … 1.

    Raises:
        UserError: a value outside these ranges.
    """

    def __init__(
        self,
        n_features: int,
        n_tokens: int,
        width: int = 512,
        n_layers: int = 3,
        n_context: int = 7,
        stride: int = 2,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        check_whole("model.width", width, 1, 8192)
        check_whole("model.n_layers", n_layers, 1, 20)
        check_whole("model.n_context", n_context, 0, 100)
        check_whole("model.stride", stride, 1, 8)
        check_share("model.dropout", dropout)
        self.time_stride = stride
        # A linear layer over each window of frames set side by side.
        self.window = nn.Conv1d(n_features, width, 2 * n_context + 1, stride, n_context)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(n_layers - 1))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, n_tokens)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Frames emitted for `lengths` feature frames, (B,) int64: ⌈lengths / stride⌉."""
        return strided_lengths(lengths, self.time_stride)

    def forward(self, features: Tensor, lengths: Tensor) -> Emissions:
        """Features (B, T, F) and their lengths (B,) to log-probabilities (B, ⌈T / stride⌉, V)."""
        x, frames = enter(features, lengths)
        x = self.window(x.transpose(1, 2)).transpose(1, 2)
        x = self.dropout(functional.relu(x))
        for layer in self.hidden:
            x = self.dropout(functional.relu(layer(x)))
        return Emissions(log_probabilities(self.head(x)), frames.strided(self.time_stride).lengths)
