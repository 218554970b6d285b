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
    start: Tensor  # int64, else which of the frame's N starts that was


class Fusion(Protocol):
    """What adds to the score of a prefix as it grows: a language model, a lexicon."""

    boundary: int | None  # a token that changes nothing where a text ends on it

    def start(self, shape: tuple[int, int], device: torch.device) -> tuple[Tensor, ...]:
        """States of the empty prefix, int64 tensors of `shape`, (B, W)."""

    def grow(
        self, states: tuple[Tensor, ...], rows: Tensor, tokens: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Scores (N, W) of growing the prefixes in `states` (B, W) of utterances `rows` (N,) by
        `tokens` (N,), natural log, −inf where that is forbidden; and a memo for `follow`."""

    def follow(
        self, states: tuple[Tensor, ...], memo: Tensor, chosen: Chosen
    ) -> tuple[Tensor, ...]:
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
    bonus: Tensor  # what fusion added so far
    states: tuple[Tensor, ...] = ()

    @property
    def acoustic(self) -> Tensor:
        """Log-probability of the prefix, over all alignments that stayed in the beam."""
        return torch.logaddexp(self.blank, self.token)

    def rows(self, which: slice) -> Self:
        """The beam of some utterances only."""
        *columns, states = self
        return Beam(*(column[which] for column in columns), tuple(state[which] for state in states))


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
        beam = beam._replace(blank=beam.blank - best[:, None], token=beam.token - best[:, None])
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
    before, rows = beam.acoustic, frame.rows
    stay_blank = before + frame.log_probs[:, BLANK, None]
    stay_token = beam.token + frame.log_probs.gather(1, beam.last)

    # A token right after itself is a new one only across a blank.
    again = beam.last[rows] == frame.tokens[:, None]  # (N, W)
    grow = torch.where(again, beam.blank[rows], before[rows])
    grow += frame.allowed[rows, frame.tokens][:, None]
    grow += beam.bonus[rows]
    added, memo = fusion.grow(beam.states, rows, frame.tokens) if fusion else (None, None)
    if added is not None:
        grow += added

    parent, in_beam = _parents(beam)
    again = beam.last.gather(1, parent) == beam.last
    moved = torch.where(again, beam.blank.gather(1, parent), before.gather(1, parent))
    moved += frame.allowed.gather(1, beam.last)
    moved.masked_fill_(~in_beam, IMPOSSIBLE)
    stay_token = torch.logaddexp(stay_token, moved)

    # Utterance by utterance: the prefixes that stay, those grown by each token, one row unused.
    ranks = torch.full((n, 2 + n_columns, width), IMPOSSIBLE, device=before.device)
    torch.add(torch.logaddexp(stay_blank, stay_token), beam.bonus, out=ranks[:, 0])
    column = frame.columns[rows, frame.tokens]
    ranks.view(-1, width).index_copy_(0, rows * (2 + n_columns) + 1 + column, grow)
    twice = (1 + frame.columns.gather(1, beam.last)) * width + parent
    twice.masked_fill_(~in_beam | (moved == IMPOSSIBLE), (1 + n_columns) * width)
    ranks = ranks.view(n, -1).scatter_(1, twice, IMPOSSIBLE)
    best, places = ranks[:, : (1 + n_columns) * width].topk(width, dim=1)
    chosen = _chosen(places, frame, width)
    states = fusion.follow(beam.states, memo, chosen) if fusion else ()
    alive = best > IMPOSSIBLE
    after = _follow(beam, chosen, alive, (stay_blank, stay_token), frame, added, states)
    return after, chosen


def _parents(beam: Beam) -> tuple[Tensor, Tensor]:
    """Place of each prefix's parent in the beam, and whether it is there at all; (B, W)."""
    prefixes, places = beam.prefix.sort(1)
    found = torch.searchsorted(prefixes, beam.parent).clamp_(max=prefixes.shape[1] - 1)
    return places.gather(1, found), prefixes.gather(1, found) == beam.parent


def _chosen(places: Tensor, frame: Frame, width: int) -> Chosen:
    """What `places` (B, W) among W prefixes that stay and W·K that grew are."""
    column, origin = places // width - 1, places % width
    stays = column < 0
    start = frame.starts.gather(1, column.clamp_(min=0))
    if not len(frame.tokens):
        return Chosen(origin, stays, torch.full_like(origin, BLANK), start)
    return Chosen(origin, stays, frame.tokens[start].masked_fill_(stays, BLANK), start)


def _follow(
    beam: Beam,
    chosen: Chosen,
    alive: Tensor,
    stay: tuple[Tensor, Tensor],
    frame: Frame,
    added: Tensor | None,
    states: tuple[Tensor, ...],
) -> Beam:
    """The beam of the chosen prefixes; places that are not `alive` hold none.

    Args:
        stay: log-probabilities of the prefixes that stay, by a blank and by their last token.
        added: (N, W) what fusion added.
    """
    origin, stays, token, start = chosen
    prefix, last, blank = (x.gather(1, origin) for x in (beam.prefix, beam.last, beam.blank))
    bonus = beam.bonus.gather(1, origin)
    if added is not None and len(added):
        more = added.flatten()[start * added.shape[1] + origin]
        bonus = bonus + more.masked_fill_(stays, 0.0)
    grow = torch.where(last == token, blank, beam.acoustic.gather(1, origin))
    grow += frame.allowed.gather(1, token)
    nobody = _nobody(origin.shape[1], origin.device)
    return Beam(
        torch.where(stays, prefix, prefix * MULTIPLIER + token).where(alive, nobody),
        torch.where(stays, beam.parent.gather(1, origin), prefix).where(alive, nobody - NOBODY),
        torch.where(stays, last, token),
        stay[0].gather(1, origin).masked_fill_(~(stays & alive), IMPOSSIBLE),
        torch.where(stays, stay[1].gather(1, origin), grow).masked_fill_(~alive, IMPOSSIBLE),
        bonus.masked_fill_(~alive, 0.0),
        states,
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
    return Beam(prefix, prefix - NOBODY, last, blank, zeros + IMPOSSIBLE, zeros, states)


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
