"""A loss of layers before the last as well (InterCTC, Lee and Watanabe 2021)."""

import torch
from torch import Tensor, nn

from src.batch import DeepEmissions, Emissions
from src.loss.ctc import CTCLoss


class Intermediate(nn.Module):
    """The loss of the last layer, and beside it the mean loss of those in between, if any.

    After Lee and Watanabe 2021, "Intermediate Loss Regularization for CTC-based Speech
    Recognition" (arXiv:2102.03216), section 3: low layers are told directly what was said. How
    much that weighs is the trainer's to say.

    Args:
        loss: of one layer, `(emissions, tokens, token_lengths) -> CTCLoss`.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(
        self, emissions: Emissions | DeepEmissions, tokens: Tensor, token_lengths: Tensor
    ) -> CTCLoss:
        """Emissions (B, T_out, V), tokens (B, S) int64, their lengths (B,) to the batch's loss."""
        if isinstance(emissions, Emissions):
            return self.loss(emissions, tokens, token_lengths)
        layers = (emissions.log_probs, *emissions.between)
        last, *others = (
            self.loss(Emissions(layer, emissions.lengths), tokens, token_lengths)
            for layer in layers
        )
        totals = [other.total for other in others]
        return last._replace(intermediate=torch.stack(totals).mean())
