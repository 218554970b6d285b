"""Shallow fusion: what a language model adds to a prefix as it grows, on the device."""

import torch
from torch import Tensor

from src.decoders.beam import States
from src.decoders.beam_search import Chosen, Memo
from src.language_models import EOS, NGram

FORBIDDEN = -torch.inf


class TokenFusion:
    """A language model over the model's own tokens: any text can be written.

    A prefix y adds weight · log p(y) + bonus · |y|, and where it ends weight · log p(</s> | y).

    Args:
        model: n-grams of tokens.
        words: (V,) int64, the model's index for each token; −1 where it knows none.
        weight: of the language model's natural logs.
        bonus: natural log, added for each token.
    """

    boundary = None

    def __init__(self, model: NGram, words: Tensor, weight: float, bonus: float) -> None:
        self.model, self.words = model, words
        self.reweigh(weight, bonus)

    def reweigh(self, weight: float, bonus: float) -> None:
        """Take other weights, which costs nothing."""
        self.weight, self.bonus = weight, bonus

    def start(self, shape: tuple[int, int], device: torch.device) -> States:
        """See `Fusion`: the language model's context."""
        self.model, self.words = self.model.to(device), self.words.to(device)
        return (torch.full(shape, self.model.start(), device=device),)

    def grow(self, states: States, rows: Tensor, tokens: Tensor) -> tuple[Tensor, Memo]:
        """See `Fusion`; the memo is the context after each token, (N, W)."""
        contexts = states[0].index_select(0, rows)
        words = self.words[tokens][:, None].expand(contexts.shape)
        scores, after = self.model.score(contexts, words)
        return weighted(self.weight, scores) + self.bonus, (after,)

    def follow(self, states: States, memo: Memo, chosen: Chosen) -> States:
        """See `Fusion`."""
        return (grown_or_not(states[0], memo[0], chosen),)

    def finish(self, states: States) -> Tensor:
        """See `Fusion`."""
        return weighted(self.weight, end_of_sentence(self.model, states[0]))


def grown_or_not(before: Tensor, grown: Tensor, chosen: Chosen) -> Tensor:
    """Of the chosen prefixes (B, W): what they had `before`, or what they `grown` to (N, W)."""
    before = before.gather(1, chosen.origin)
    return torch.where(chosen.stays, before, grown.take(chosen.cell)) if len(grown) else before


def weighted(weight: float, scores: Tensor) -> Tensor:
    """weight · scores, where what is forbidden stays so under a weight of 0."""
    return torch.where(scores == FORBIDDEN, FORBIDDEN, weight * scores)


def end_of_sentence(model: NGram, contexts: Tensor) -> Tensor:
    """log p(</s> | context), 0 where the model knows no end."""
    if EOS not in model.index:
        return torch.zeros(contexts.shape, device=contexts.device)
    return model.score(contexts, torch.full_like(contexts, model.index[EOS]))[0]
