"""CTC prefix beam search over a batch: all utterances and all prefixes at once, on any device.

Source: Graves 2012, section 7.5.3; Hannun et al. 2014 (arXiv 1408.2873), algorithm 1, with the
language model's share of a prefix kept apart from the probability of its alignments.
"""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from src.decoders.beam import MULTIPLIER, Beam, States
from src.decoders.emissions import BLANK
from src.decoders.worthwhile import IMPOSSIBLE, Frame, Frames

Memo = tuple[Tensor, ...]


class Chosen(NamedTuple):
    """The prefixes that a beam keeps after a frame; every tensor is (B, W)."""

    origin: Tensor  # int64, place in the beam before
    stays: Tensor  # bool, the prefix has not grown
    token: Tensor  # int64, else the token that it grew by; the blank where it stays
    cell: Tensor  # int64, else its place among the N · W prefixes that grew


class Fusion(Protocol):
    """What adds to the score of a prefix as it grows: a language model, a lexicon."""

    boundary: int | None  # a token that changes nothing where a text ends on it

    def start(self, shape: tuple[int, int], device: torch.device) -> States:
        """States of the empty prefix, int64 tensors of `shape`, (B, W)."""

    def grow(self, states: States, rows: Tensor, tokens: Tensor) -> tuple[Tensor, Memo]:
        """Scores (N, W) of growing the prefixes in `states` (B, W) of utterances `rows` (N,) by
        `tokens` (N,), natural log, −inf where that is forbidden; and a memo for `follow`."""

    def follow(self, states: States, memo: Memo, chosen: Chosen) -> States:
        """States of the prefixes that are kept, (B, W)."""

    def finish(self, states: States) -> Tensor:
        """What ending here adds, (B, W), −inf where no text may end."""


class Found(NamedTuple):
    """Where a search ended and how it got there; rows as in `Frames`."""

    beam: Beam
    offset: Tensor  # (B,) float64, to be added to the acoustic scores
    origins: list[Tensor]  # T times (b, W): place in the beam before the frame
    tokens: list[Tensor]  # T times (b, W): token that the prefix grew by; the blank for none
    order: Tensor  # (B,) the batch's row of each utterance


class Spelt(NamedTuple):
    """A prefix as tokens."""

    tokens: tuple[int, ...]
    starts: tuple[int, ...]  # of the frames that were searched, the one in which each was added

    def without_last(self, token: int) -> "Spelt":
        """The same without `token` at its end."""
        ends = self.tokens[-1:] == (token,)
        return Spelt(self.tokens[:-1], self.starts[:-1]) if ends else self


def search(frames: Frames, width: int, fusion: Fusion | None = None) -> Found:
    """Run a beam of `width` prefixes over all frames."""
    beam = Beam.empty(len(frames.skipped), width, frames.skipped.device)
    if fusion:
        beam = beam._replace(states=fusion.start(beam.last.shape, beam.last.device))
    offset = frames.skipped.clone()
    origins, grown, ended = [], [], []
    for frame in frames.frames:
        if (n := len(frame.log_probs)) < len(beam.last):
            ended.append(beam.rows(slice(n, None)))
            beam = beam.rows(slice(n))
        if frame.after_blank is not None:
            beam = beam.through_blank(frame.after_blank)
        beam, chosen = advance(beam, frame, fusion)
        # Rounding grows with the numbers' size, so the best is kept at 0.
        best = beam.acoustic.amax(1)
        best = best.masked_fill(best == IMPOSSIBLE, 0.0)  # fusion may forbid all that is possible
        offset[:n] += best
        beam = beam.raised(-best[:, None])
        origins.append(chosen.origin)
        grown.append(chosen.token)
    return Found(Beam.joined([beam, *reversed(ended)]), offset, origins, grown, frames.order)


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

    parent, in_beam = beam.parents()
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
    return after.without_dead(best > IMPOSSIBLE)._replace(states=states), chosen


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


def spell(found: Found, places: Tensor) -> list[list[Spelt]]:
    """The prefixes at `places` (B, n) of the last beam, in its order of rows."""
    places = places.cpu()
    paths = torch.full((*places.shape, len(found.tokens)), BLANK)
    if not found.tokens:
        return [[Spelt((), ()) for _ in path] for path in paths]
    # All frames in one copy, as each would have to wait for a GPU.
    n_rows = [len(frame) for frame in found.tokens]
    tokens, origins = (torch.cat(x).cpu().split(n_rows) for x in (found.tokens, found.origins))
    for t in reversed(range(len(n_rows))):
        n = n_rows[t]
        paths[:n, :, t] = tokens[t].gather(1, places[:n])
        places[:n] = origins[t].gather(1, places[:n])
    return [[_spelt(path) for path in rows] for rows in paths]


def _spelt(path: Tensor) -> Spelt:
    starts = (path != BLANK).nonzero().squeeze(1)
    return Spelt(tuple(path.take(starts).tolist()), tuple(starts.tolist()))
