"""CTC prefix beam search over a batch: all utterances and all prefixes at once, on any device.

Source: Graves 2012, section 7.5.3; Hannun et al. 2014 (arXiv 1408.2873), algorithm 1, with the
language model's share of a prefix kept apart from the probability of its alignments.
"""

from typing import NamedTuple, Protocol, Self

import torch
from torch import Tensor

from src.decoders.emissions import BLANK
from src.decoders.worthwhile import IMPOSSIBLE, Frame, Frames

MULTIPLIER = 0x9E3779B97F4A7C15 - 2**64  # odd, so that prefixes of one length never fall together
NOBODY = 2**62  # far from the numbers of places without a prefix, so that none is another's parent


class Chosen(NamedTuple):
    """The prefixes that a beam keeps after a frame; every tensor is (B, W)."""

    origin: Tensor  # int64, place in the beam before
    stays: Tensor  # bool, the prefix has not grown
    token: Tensor  # int64, else the token that it grew by; the blank where it stays
    cell: Tensor  # int64, else its place among the N · W prefixes that grew


Memo = tuple[Tensor, ...]


class Fusion(Protocol):
    """What adds to the score of a prefix as it grows: a language model, a lexicon."""

    boundary: int | None  # a token that changes nothing where a text ends on it

    def start(self, shape: tuple[int, int], device: torch.device) -> tuple[Tensor, ...]:
        """States of the empty prefix, int64 tensors of `shape`, (B, W)."""

    def grow(self, states: tuple[Tensor, ...], rows: Tensor, tokens: Tensor) -> tuple[Tensor, Memo]:
        """Scores (N, W) of growing the prefixes in `states` (B, W) of utterances `rows` (N,) by
        `tokens` (N,), natural log, −inf where that is forbidden; and a memo for `follow`."""

    def follow(self, states: tuple[Tensor, ...], memo: Memo, chosen: Chosen) -> tuple[Tensor, ...]:
        """States of the prefixes that are kept, (B, W)."""

    def finish(self, states: tuple[Tensor, ...]) -> Tensor:
        """What ending here adds, (B, W), −inf where no text may end."""


class Beam(NamedTuple):
    """W prefixes of each utterance; every tensor is (B, W)."""

    prefix: Tensor  # int64, a number for the token sequence
    parent: Tensor  # int64, that of the sequence without its last token
    last: Tensor  # int64, last token; the blank at the root
    blank: Tensor  # log-probability of the alignments whose last frame is blank
    token: Tensor  # and of those whose last frame is the last token
    acoustic: Tensor  # and of both together, over all alignments that stayed in the beam
    bonus: Tensor  # what fusion added so far
    states: tuple[Tensor, ...] = ()

    def rows(self, which: slice) -> Self:
        """The beam of some utterances only."""
        *columns, states = self
        return Beam(*(column[which] for column in columns), tuple(state[which] for state in states))

    def raised(self, by: Tensor) -> Self:
        """The beam with `by` (B, 1) added to the log-probabilities."""
        return self._replace(
            blank=self.blank + by, token=self.token + by, acoustic=self.acoustic + by
        )


class Found(NamedTuple):
    """Where a search ended and how it got there; rows as in `Frames`."""

    beam: Beam
    offset: Tensor  # (B,) float64, to be added to the acoustic scores
    origins: list[Tensor]  # T times (b, W): place in the beam before the frame
    tokens: list[Tensor]  # T times (b, W): token that the prefix grew by; the blank for none
    order: Tensor  # (B,) the batch's row of each utterance


def search(frames: Frames, width: int, fusion: Fusion | None = None) -> Found:
    """Run a beam of `width` prefixes over all frames."""
    beam, offset = _empty(frames, width, fusion), frames.skipped.clone()
    origins, grown, ended = [], [], []
    for frame in frames.frames:
        if (n := len(frame.log_probs)) < len(beam.last):
            ended.append(beam.rows(slice(n, None)))
            beam = beam.rows(slice(n))
        if frame.after_blank is not None:
            beam = _through_blank(beam, frame.after_blank)
        beam, chosen = advance(beam, frame, fusion)
        # Rounding grows with the numbers' size, so the best is kept at 0.
        best = beam.acoustic.amax(1)
        best = best.masked_fill(best == IMPOSSIBLE, 0.0)  # fusion may forbid all that is possible
        offset[:n] += best
        beam = beam.raised(-best[:, None])
        origins.append(chosen.origin)
        grown.append(chosen.token)
    return Found(_joined([beam, *reversed(ended)]), offset, origins, grown, frames.order)


def _joined(beams: list[Beam]) -> Beam:
    """The rows of all beams, one after another."""
    *columns, states = zip(*beams, strict=True)
    joined = [tuple(map(torch.cat, zip(*states, strict=True)))]
    return Beam(*map(torch.cat, columns), *joined)


def advance(beam: Beam, frame: Frame, fusion: Fusion | None) -> tuple[Beam, Chosen]:
    """The beam after one more frame, and how each of its prefixes came about.

    Each prefix either stays (a blank, or its last token held on) or grows by a token. A grown
    prefix that is in the beam already is the same text, so its probability moves there.
    """
    (n, width), n_columns = beam.last.shape, frame.starts.shape[1]
    stay_blank = beam.acoustic + frame.log_probs[:, BLANK, None]
    stay_token = beam.token + frame.log_probs.gather(1, beam.last)

    # Rows by index_select, cells by take: advanced indexing needs three times as long on a CPU.
    # A token right after itself is a new one only across a blank.
    rows = frame.rows
    again = beam.last.index_select(0, rows) == frame.tokens[:, None]  # (N, W)
    grown = torch.where(
        again, beam.blank.index_select(0, rows), beam.acoustic.index_select(0, rows)
    )
    grown += frame.begins[:, None]
    added, memo = fusion.grow(beam.states, rows, frame.tokens) if fusion else (None, None)
    rank = grown + beam.bonus.index_select(0, rows)
    if added is not None:
        rank += added

    parent, in_beam = _parents(beam)
    again = beam.last.gather(1, parent) == beam.last
    moved = torch.where(again, beam.blank.gather(1, parent), beam.acoustic.gather(1, parent))
    moved += frame.allowed.gather(1, beam.last)
    moved.masked_fill_(~in_beam, IMPOSSIBLE)
    stay_token = torch.logaddexp(stay_token, moved)
    stay = torch.logaddexp(stay_blank, stay_token)

    # Utterance by utterance: the prefixes that stay, those grown by each token, one row unused.
    ranks = torch.full((n, 2 + n_columns, width), IMPOSSIBLE, device=stay.device)
    torch.add(stay, beam.bonus, out=ranks[:, 0])
    ranks.view(-1, width).index_copy_(0, rows * (2 + n_columns) + 1 + frame.column, rank)
    twice = (1 + frame.columns.gather(1, beam.last)) * width + parent
    twice.masked_fill_(~in_beam | (moved == IMPOSSIBLE), (1 + n_columns) * width)
    ranks = ranks.view(n, -1).scatter_(1, twice, IMPOSSIBLE)
    best, places = ranks[:, : (1 + n_columns) * width].topk(width, dim=1, sorted=False)
    chosen = _chosen(places, frame, width)
    states = fusion.follow(beam.states, memo, chosen) if fusion else ()
    after = _follow(beam, chosen, (stay_blank, stay_token, stay), (grown, added))
    return _without_dead(after, best > IMPOSSIBLE)._replace(states=states), chosen


def _parents(beam: Beam) -> tuple[Tensor, Tensor]:
    """Place of each prefix's parent in the beam, and whether it is there at all; (B, W)."""
    prefixes, places = beam.prefix.sort(1)
    found = torch.searchsorted(prefixes, beam.parent).clamp_(max=prefixes.shape[1] - 1)
    return places.gather(1, found), prefixes.gather(1, found) == beam.parent


def _chosen(places: Tensor, frame: Frame, width: int) -> Chosen:
    """What `places` (B, W) among W prefixes that stay and W·K that grew are."""
    column = places // width
    origin = places - column * width
    stays = column == 0
    start = frame.starts.gather(1, column.sub_(1).clamp_(min=0))
    if not len(frame.tokens):
        return Chosen(origin, stays, torch.full_like(origin, BLANK), origin)
    token = frame.tokens.take(start).masked_fill_(stays, BLANK)
    return Chosen(origin, stays, token, start * width + origin)


def _follow(
    beam: Beam,
    chosen: Chosen,
    stay: tuple[Tensor, Tensor, Tensor],
    grow: tuple[Tensor, Tensor | None],
) -> Beam:
    """The chosen prefixes, whether there are so many or not.

    Args:
        stay: log-probabilities (B, W) of prefixes that stay: by a blank, their last token, either.
        grow: log-probabilities (N, W) of those that grow, and what fusion adds.
    """
    origin, stays, token, cell = chosen
    prefix = beam.prefix.gather(1, origin)
    blank, held, either = (x.gather(1, origin) for x in stay)
    bonus = beam.bonus.gather(1, origin)
    if grow[0].numel():
        grown = grow[0].take(cell)
        held, either = torch.where(stays, held, grown), torch.where(stays, either, grown)
        if grow[1] is not None:
            bonus += grow[1].take(cell).masked_fill_(stays, 0.0)
    return Beam(
        torch.where(stays, prefix, prefix * MULTIPLIER + token),
        torch.where(stays, beam.parent.gather(1, origin), prefix),
        torch.where(stays, beam.last.gather(1, origin), token),
        blank.masked_fill_(~stays, IMPOSSIBLE),
        held,
        either,
        bonus,
    )


def _without_dead(beam: Beam, alive: Tensor) -> Beam:
    """The beam where places that are not `alive` (B, W) hold no prefix."""
    nobody, dead = _nobody(alive.shape[1], alive.device), ~alive
    return beam._replace(
        prefix=beam.prefix.where(alive, nobody),
        parent=beam.parent.where(alive, nobody - NOBODY),
        blank=beam.blank.masked_fill_(dead, IMPOSSIBLE),
        token=beam.token.masked_fill_(dead, IMPOSSIBLE),
        acoustic=beam.acoustic.masked_fill_(dead, IMPOSSIBLE),
        bonus=beam.bonus.masked_fill_(dead, 0.0),
    )


def _empty(frames: Frames, width: int, fusion: Fusion | None) -> Beam:
    """Before the first frame: the empty prefix, for certain, and places without any."""
    n, device = len(frames.skipped), frames.skipped.device
    zeros = torch.zeros(n, width, device=device)
    blank = zeros + IMPOSSIBLE
    blank[:, 0] = 0.0
    prefix = _nobody(width, device).repeat(n, 1)
    prefix[:, 0] = 1
    states = fusion.start((n, width), device) if fusion else ()
    last = torch.full_like(prefix, BLANK)
    never = torch.full_like(blank, IMPOSSIBLE)
    return Beam(prefix, prefix - NOBODY, last, blank, never, blank, zeros, states)


def _nobody(width: int, device: torch.device) -> Tensor:
    """Numbers that no prefix has, (W,)."""
    return torch.arange(-1, -1 - width, -1, device=device)


def _through_blank(beam: Beam, where: Tensor) -> Beam:
    """The beam after a certain blank, in the utterances `where` (B, 1) says so."""
    return beam._replace(
        blank=torch.where(where, beam.acoustic, beam.blank),
        token=beam.token.masked_fill(where, IMPOSSIBLE),
    )


def without_boundary(beam: Beam, acoustic: Tensor, boundary: int) -> Tensor:
    """`acoustic` (B, W), where a text that ends on `boundary` has given its probability to the same
    text without it, if that is in the beam too."""
    parent, in_beam = _parents(beam)
    moves = in_beam & (beam.last == boundary)
    moved = acoustic.masked_fill(~moves, IMPOSSIBLE)
    # A text has one such child, so at most one of what is gathered is possible.
    gained = torch.full_like(acoustic, IMPOSSIBLE).scatter_reduce(1, parent, moved, "amax")
    return torch.logaddexp(acoustic.masked_fill(moves, IMPOSSIBLE), gained)


def spell(found: Found, places: Tensor) -> list[list[tuple[int, ...]]]:
    """Tokens of the prefixes at `places` (B, n) of the last beam, in its order of rows."""
    places = places.cpu()
    paths = torch.full((*places.shape, len(found.tokens)), BLANK)
    for t in reversed(range(len(found.tokens))):
        n = len(found.tokens[t])
        paths[:n, :, t] = found.tokens[t].cpu().gather(1, places[:n])
        places[:n] = found.origins[t].cpu().gather(1, places[:n])
    return [[tuple(path[path != BLANK].tolist()) for path in rows] for rows in paths]
