"""Recurrent layers as other systems run them, with our weights."""

from torch import Tensor, nn

from src.models.parts.frames import Frames
from src.models.parts.layers import BiRecurrence


class TheirRecurrence(nn.Module):
    """PyTorch's own layer: over packed utterances, or straight over the padding too."""

    def __init__(self, ours: BiRecurrence, packed: bool) -> None:
        super().__init__()
        self.ours = ours
        self.packed = packed

    def forward(self, x: Tensor, frames: Frames) -> Tensor:
        """As `BiRecurrence`."""
        run = self.ours.over_packed if self.packed else self.ours.over_all
        return self.ours.join(run(x, frames))


def run_theirs(model: nn.Module, *, packed: bool) -> nn.Module:
    """Put `TheirRecurrence` around every recurrent layer of `model`."""
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, BiRecurrence):
                setattr(parent, name, TheirRecurrence(child, packed))
    return model
