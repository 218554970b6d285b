"""Recurrence that runs forwards in time only, and so can be fed piece by piece."""

from torch import Tensor, nn

from src.models.parts.frames import Frames
from src.models.parts.layers import one_direction
from src.utils.errors import UserError

KINDS = {"gru": nn.GRU, "lstm": nn.LSTM, "rnn": nn.RNN}


def kind_of_rnn(name: str) -> type[nn.RNNBase]:
    """The layer that `model.kind` names.

    Raises:
        UserError: none of the three.
    """
    if name not in KINDS:
        raise UserError(f"model.kind={name}: expected one of {', '.join(KINDS)}.")
    return KINDS[name]


class OneWay(nn.Module):
    """One recurrent layer over time, forwards.

    What follows an utterance's last frame can't reach the frames before it, so it runs over the
    padding too.

    Args:
        kind: nn.GRU, nn.LSTM, or nn.RNN with tanh.
        n_inputs: width of the input.
        width: units.
    """

    def __init__(self, kind: type[nn.RNNBase], n_inputs: int, width: int) -> None:
        super().__init__()
        self.rnn = kind(n_inputs, width, batch_first=True)

    def forward(self, x: Tensor, frames: Frames) -> Tensor:
        """x (B, T, n_inputs) to (B, T, width), zeros in the padding."""
        on_cpu = x.device.type == "cpu"
        return frames.silence(one_direction(self.rnn, x) if on_cpu else self.rnn(x)[0])

    def stream(self, x: Tensor, state: Tensor | tuple[Tensor, Tensor] | None):
        """The next T ≥ 1 frames, x (B, T, n_inputs), to (B, T, width) and the state after them.

        Args:
            state: after the frames before; None at the beginning.
        """
        return self.rnn(x, state)
