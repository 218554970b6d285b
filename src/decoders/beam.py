"""What a beam search keeps from frame to frame: W token prefixes of each utterance, as tensors."""

from collections.abc import Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor

from src.decoders.emissions import BLANK
from src.decoders.worthwhile import IMPOSSIBLE

# Odd, so that no token is lost on the way; two texts of one number are as good as impossible.
MULTIPLIER = 0x9E3779B97F4A7C15 - 2**64
NOBODY = 2**62  # far from the numbers of places without a prefix, so that none is another's parent
States = tuple[Tensor, ...]  # what fusion knows of the prefixes, each (B, W)


class Beam(NamedTuple):
    """W prefixes of each utterance; every tensor is (B, W)."""

    prefix: Tensor  # int64, a number for the token sequence
    parent: Tensor  # int64, that of the sequence without its last token
    last: Tensor  # int64, last token; the blank at the root
    blank: Tensor  # log-probability of the alignments whose last frame is blank
    token: Tensor  # and of those whose last frame is the last token
    acoustic: Tensor  # and of both together, over all alignments that stayed in the beam
    bonus: Tensor  # what fusion added so far
    states: States = ()

    @classmethod
    def empty(cls, n: int, width: int, device: torch.device) -> Self:
        """Before the first frame: the empty prefix, for certain, and places without any."""
        prefix = _nobody(width, device).repeat(n, 1)
        prefix[:, 0] = 1
        certain = torch.full((n, width), IMPOSSIBLE, device=device)
        certain[:, 0] = 0.0
        return cls(
            prefix=prefix,
            parent=prefix - NOBODY,
            last=torch.full_like(prefix, BLANK),
            blank=certain,
            token=torch.full_like(certain, IMPOSSIBLE),
            acoustic=certain,
            bonus=torch.zeros_like(certain),
        )

    @classmethod
    def joined(cls, beams: Sequence[Self]) -> Self:
        """The rows of all beams, one after another."""
        *columns, states = zip(*beams, strict=True)
        joined = tuple(map(torch.cat, zip(*states, strict=True)))
        return cls(*map(torch.cat, columns), joined)

    def rows(self, which: slice) -> Self:
        """The beam of some utterances only."""
        *columns, states = self
        return Beam(*(column[which] for column in columns), tuple(state[which] for state in states))

    def raised(self, by: Tensor) -> Self:
        """The beam with `by` (B, 1) added to the log-probabilities."""
        return self._replace(
            blank=self.blank + by, token=self.token + by, acoustic=self.acoustic + by
        )

    def through_blank(self, where: Tensor) -> Self:
        """The beam after a certain blank, in the utterances `where` (B, 1) says so."""
        return self._replace(
            blank=torch.where(where, self.acoustic, self.blank),
            token=self.token.masked_fill(where, IMPOSSIBLE),
        )

    def parents(self) -> tuple[Tensor, Tensor]:
        """Place of each prefix's parent in the beam, and whether it is there at all; (B, W)."""
        prefixes, places = self.prefix.sort(1)
        found = torch.searchsorted(prefixes, self.parent).clamp_(max=prefixes.shape[1] - 1)
        return places.gather(1, found), prefixes.gather(1, found) == self.parent

    def without_dead(self, alive: Tensor) -> Self:
        """The beam where places that are not `alive` (B, W) hold no prefix; overwrites itself."""
        nobody, dead = _nobody(alive.shape[1], alive.device), ~alive
        return self._replace(
            prefix=self.prefix.where(alive, nobody),
            parent=self.parent.where(alive, nobody - NOBODY),
            blank=self.blank.masked_fill_(dead, IMPOSSIBLE),
            token=self.token.masked_fill_(dead, IMPOSSIBLE),
            acoustic=self.acoustic.masked_fill_(dead, IMPOSSIBLE),
            bonus=self.bonus.masked_fill_(dead, 0.0),
        )

    def without_boundary(self, acoustic: Tensor, boundary: int) -> Tensor:
        """`acoustic` (B, W), where a text that ends on `boundary` has given its probability to the
        same text without it, if that is in the beam too."""
        parent, in_beam = self.parents()
        moves = in_beam & (self.last == boundary)
        moved = acoustic.masked_fill(~moves, IMPOSSIBLE)
        # A text has one such child, so at most one of what is gathered is possible.
        gained = torch.full_like(acoustic, IMPOSSIBLE).scatter_reduce(1, parent, moved, "amax")
        return torch.logaddexp(acoustic.masked_fill(moves, IMPOSSIBLE), gained)


def _nobody(width: int, device: torch.device) -> Tensor:
    """Numbers that no prefix has, (W,)."""
    return torch.arange(-1, -1 - width, -1, device=device)
