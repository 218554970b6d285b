"""Linear and recurrent layers with weights in 8 bits, for a CPU.

Dynamic quantisation: weights are rounded once, to 255 steps of their own range; inputs on the way,
to steps of the range they happen to have. Convolutions, normalisations and plain RNNs stay in
float32.
"""

import warnings

import torch
from torch import Tensor, nn

from src.export.graph import Graph, replace
from src.models.parts.frames import Frames
from src.models.parts.layers import BiRecurrence
from src.models.parts.one_way import OneWay


class Directions(nn.Module):
    """`BiRecurrence` as two layers of one direction each, which PyTorch can quantise.

    The second runs over mirrored utterances.
    """

    def __init__(self, recurrence: BiRecurrence) -> None:
        super().__init__()
        self.forwards = one_direction(recurrence.rnn)
        self.backwards = one_direction(recurrence.rnn, "_reverse")
        self.join = recurrence.join

    def forward(self, x: Tensor, frames: Frames) -> Tensor:
        """x (B, T, n_inputs) to (B, T, D), zeros in the padding."""
        backwards = frames.reverse(self.backwards(frames.reverse(x))[0])
        return self.join(frames.silence(torch.cat([self.forwards(x)[0], backwards], dim=-1)))


class Forwards(nn.Module):
    """`OneWay` by a layer that PyTorch can quantise."""

    def __init__(self, recurrence: OneWay) -> None:
        super().__init__()
        self.rnn = recurrence.rnn

    def forward(self, x: Tensor, frames: Frames) -> Tensor:
        """x (B, T, n_inputs) to (B, T, width), zeros in the padding."""
        return frames.silence(self.rnn(x)[0])


def one_direction(rnn: nn.RNNBase, direction: str = "") -> nn.RNNBase:
    """A layer with the weights of one direction of `rnn`: "" forwards, "_reverse" the other."""
    layer = type(rnn)(rnn.input_size, rnn.hidden_size, batch_first=True)
    weights = rnn.state_dict()
    layer.load_state_dict({name: weights[name + direction] for name in layer.state_dict()})
    return layer.eval().requires_grad_(False)


def quantise(graph: Graph) -> Graph:
    """The same graph, changed in place."""
    replace(graph, BiRecurrence, Directions)
    replace(graph, OneWay, Forwards)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torchao will have it one day
        return torch.ao.quantization.quantize_dynamic(
            graph, {nn.Linear, nn.LSTM, nn.GRU}, dtype=torch.qint8, inplace=True
        )
