"""Connectionist temporal classification (Graves et al. 2006); what can't be aligned is counted."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from src.batch import Emissions, padding_mask

BLANK = 0


class CTCLoss(NamedTuple):
    """The loss of a batch. Divide `total` by `n_tokens` or by the batch size as you like."""

    total: Tensor  # scalar, sum of −ln p(target) over the utterances that can be aligned
    per_utterance: Tensor  # (B,) −ln p(target), 0 where impossible
    n_tokens: Tensor  # scalar int64, target tokens of the utterances that can be aligned
    impossible: Tensor  # (B,) bool, True where no alignment exists
    consistency: Tensor | None = None  # scalar, nats between two views; None where there is one
    intermediate: Tensor | None = None  # scalar, mean `total` of layers in between; None without
    distillation: Tensor | None = None  # scalar, nats from what a teacher says; None without one


class CTC(nn.Module):
    """Sum of −ln p(target | emissions), in float32 whatever autocast does.

    A target needs one frame a token and one more between two equal neighbours. Utterances
    with fewer frames have no alignment: they are flagged, count nothing and send no
    gradient. A loss that is infinite or NaN for any other reason stays so, for the trainer
    to see.

    Args:
        deterministic: compute on the CPU, even for emissions on CUDA. PyTorch's CUDA kernel
            sums its gradient in no fixed order, so that two runs of one recipe differ; the
            CPU's does not, at the price of moving the emissions there and back.
    """

    def __init__(self, deterministic: bool = False) -> None:
        super().__init__()
        self.deterministic = deterministic

    def forward(self, emissions: Emissions, tokens: Tensor, token_lengths: Tensor) -> CTCLoss:
        """Emissions (B, T_out, V), tokens (B, S) int64, their lengths (B,) to the batch's loss.

        Tokens and lengths belong on the CPU, where it is seen at once what can be aligned.
        """
        impossible = emissions.lengths < frames_needed(tokens, token_lengths)
        # An empty target always has an alignment. Standing in for the impossible ones it keeps
        # their gradient finite, and infinity is never a matter of length.
        alignable_lengths = token_lengths.masked_fill(impossible, 0)
        negative_log_p = self._negative_log_p(emissions, tokens, alignable_lengths)
        hidden = impossible.to(negative_log_p.device, non_blocking=True)
        per_utterance = negative_log_p.masked_fill(hidden & negative_log_p.isfinite(), 0.0)
        return CTCLoss(per_utterance.sum(), per_utterance, alignable_lengths.sum(), impossible)

    def _negative_log_p(self, emissions: Emissions, tokens: Tensor, lengths: Tensor) -> Tensor:
        """−ln p(target) of each utterance, (B,)."""
        log_probs, frame_lengths = emissions
        device, n_frames = log_probs.device, log_probs.shape[1]
        # Half precision rises to float32; float64 stays, so that gradients can be checked.
        log_probs = log_probs.to(torch.promote_types(log_probs.dtype, torch.float32))
        log_probs = functional.pad(log_probs, (0, 0, 0, int(n_frames == 0)))  # T_out = 0 is refused
        if self.deterministic:
            log_probs = log_probs.cpu()
        tokens = tokens.to(log_probs.device, non_blocking=True)
        inputs = (log_probs.transpose(0, 1), tokens, frame_lengths, lengths)
        # int64 targets choose PyTorch's own kernel; cuDNN's has been wrong on long targets.
        return functional.ctc_loss(*inputs, blank=BLANK, reduction="none").to(device)


def frames_needed(tokens: Tensor, token_lengths: Tensor) -> Tensor:
    """Fewest frames in which each target can be said, (B,) int64: tokens plus equal neighbours.

    Args:
        tokens: (B, S) int64, padded with anything.
        token_lengths: (B,) int64.
    """
    valid = ~padding_mask(token_lengths, tokens.shape[1])
    repeats = (tokens[:, 1:] == tokens[:, :-1]) & valid[:, 1:]
    return token_lengths + repeats.sum(1)
