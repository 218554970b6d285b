"""CTC prefix beam search over a batch: all utterances and all prefixes at once, on any device.

Source: Graves 2012, section 7.5.3; Hannun et al. 2014 (arXiv 1408.2873), algorithm 1, with the
language model's share of a prefix kept apart from the probability of its alignments.
"""

from typing import NamedTuple, Protocol, Self

import torch
from torch import Tensor

from src.batch import padding_mask
from src.decoders.emissions import BLANK

MULTIPLIER = 0x9E3779B97F4A7C15 - 2**64  # odd, so that prefixes of one length never fall together
IMPOSSIBLE = -torch.inf
NOBODY = 2**62  # far from the numbers of places without a prefix, so that none is another's parent


class Chosen(NamedTuple):
    """The prefixes that a beam keeps after a frame; every tensor is (B, W)."""

    origin: Tensor  # int64, place in the beam before
    stays: Tensor  # bool, the prefix has not grown
    column: Tensor  # int64, else which of the frame's K tokens it grew by
    token: Tensor  # int64, and that token; the blank where it stays


class Fusion(Protocol):
    """What adds to the score of a prefix as it grows: a language model, a lexicon."""

    boundary: int | None  # a token that changes nothing where a text ends on it

    def start(self, shape: tuple[int, int], device: torch.device) -> tuple[Tensor, ...]:
        """States of the empty prefix, int64 tensors of `shape`, (B, W)."""

    def grow(self, states: tuple[Tensor, ...], tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (B, W, K) of growing prefixes in `states` (B, W) by `tokens` (B, K), natural log,
        −inf where that is forbidden; and a memo for `follow`."""

    def follow(
        self, states: tuple[Tensor, ...], memo: Tensor, chosen: Chosen
    ) -> tuple[Tensor, ...]:
        """States of the prefixes that are kept, (B, W)."""

    def finish(self, states: tuple[Tensor, ...]) -> Tensor:
        """What ending here adds, (B, W), −inf where no text may end."""


class Frames(NamedTuple):
    """The frames that a search has to look at, and in each the tokens that may begin.

    The longest utterance comes first, so that those which have a t-th frame are the first b.
    """

    log_probs: list[Tensor]  # T times (b, V)
    tokens: list[Tensor]  # T times (b, K), without the blank, likeliest first; K varies
    starts: list[Tensor]  # T times (b, K), their log-probabilities, −inf where they may not begin
    after_blank: list[Tensor | None]  # T times (b, 1) bool: frames were skipped before; None = none
    skipped: Tensor  # (B,) summed log-probability of the blanks in skipped frames
    order: Tensor  # (B,) the batch's row of each utterance


def read_frames(
    log_probs: Tensor,
    lengths: Tensor,
    *,
    token_threshold: float | None,
    blank_threshold: float | None,
    n_tokens: int,
) -> Frames:
    """Leave out what can't matter.

    Args:
        log_probs: (B, T, V) float32. lengths: (B,) int64.
        token_threshold: natural log. A token less probable than this in a frame begins nowhere
            in it; the frame's best token always may.
        blank_threshold: natural log. Frames whose blank is more probable are skipped as if it
            were certain.
        n_tokens: at most so many tokens begin in a frame.
    """
    padding = padding_mask(lengths, log_probs.shape[1], log_probs.device)
    blank = log_probs[:, :, BLANK]
    skip = padding if blank_threshold is None else padding | (blank > blank_threshold)
    n_kept, order = (~skip).sum(1).sort(descending=True, stable=True)
    skipped = blank.double().masked_fill(padding | ~skip, 0.0).sum(1)[order]
    n_frames = int(n_kept[0]) if len(n_kept) else 0
    # Kept frames first, in their order.
    places = skip[order].to(torch.uint8).argsort(dim=1, stable=True)[:, :n_frames]
    kept = log_probs[order[:, None], places].transpose(0, 1).contiguous()  # (T, B, V)
    before = torch.nn.functional.pad(places[:, :-1], (1, 0), value=-1)
    exists = torch.arange(n_frames, device=kept.device)[:, None] < n_kept  # (T, B)
    jumps = (places - before > 1).t() & exists
    starts, tokens = _starts(kept, token_threshold, n_tokens)
    widths = (starts.isfinite() & exists[:, :, None]).sum(2).amax(1).clamp_(min=1).tolist()
    rows, jumped = exists.sum(1).tolist(), jumps.any(1).tolist()
    return Frames(
        [kept[t, :n] for t, n in enumerate(rows)],
        [tokens[t, :n, :k] for t, (n, k) in enumerate(zip(rows, widths, strict=True))],
        [starts[t, :n, :k] for t, (n, k) in enumerate(zip(rows, widths, strict=True))],
        [jumps[t, :n, None] if jumped[t] else None for t, n in enumerate(rows)],
        skipped,
        order,
    )


def _starts(log_probs: Tensor, threshold: float | None, n_tokens: int) -> tuple[Tensor, Tensor]:
    """Log-probabilities (T, B, K) of the tokens that may begin in each frame, and the tokens."""
    others = log_probs.clone()
    others[:, :, BLANK] = IMPOSSIBLE
    starts, tokens = others.topk(min(n_tokens, others.shape[2] - 1), dim=2)
    if threshold is not None:
        least = log_probs.amax(2, keepdim=True).clamp(max=threshold)
        starts = starts.masked_fill(starts < least, IMPOSSIBLE)
    return starts, tokens


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
    inputs = zip(*frames[:4], strict=True)
    for log_probs, tokens, starts, after_blank in inputs:
        if (n := len(log_probs)) < len(beam.last):
            ended.append(beam.rows(slice(n, None)))
            beam = beam.rows(slice(n))
        if after_blank is not None:
            beam = _through_blank(beam, after_blank)
        beam, origin, token = advance(beam, log_probs, tokens, starts, width, fusion)
        # Rounding grows with the numbers' size, so the best is kept at 0.
        best = beam.acoustic.amax(1)
        best = best.masked_fill(best == IMPOSSIBLE, 0.0)  # fusion may forbid all that is possible
        offset[:n] += best
        beam = beam._replace(blank=beam.blank - best[:, None], token=beam.token - best[:, None])
        origins.append(origin)
        grown.append(token)
    return Found(_joined([beam, *reversed(ended)]), offset, origins, grown, frames.order)


def _joined(beams: list[Beam]) -> Beam:
    """The rows of all beams, one after another."""
    *columns, states = zip(*beams, strict=True)
    joined = [tuple(map(torch.cat, zip(*states, strict=True)))]
    return Beam(*map(torch.cat, columns), *joined)


def advance(
    beam: Beam, log_probs: Tensor, tokens: Tensor, starts: Tensor, width: int, fusion: Fusion | None
) -> tuple[Beam, Tensor, Tensor]:
    """The beam after one more frame of (B, V) `log_probs`; where each prefix comes from, and the
    token it grew by.

    Each prefix either stays (a blank, or its last token held on) or grows by a token. A grown
    prefix that is in the beam already is the same text, so its probability moves there.
    """
    n, n_prefixes = beam.last.shape
    n_tokens = tokens.shape[1]
    before = beam.acoustic
    stay_blank = before + log_probs[:, BLANK, None]
    stay_token = beam.token + log_probs.gather(1, beam.last)

    # A token right after itself is a new one only across a blank.
    same = tokens[:, None, :] == beam.last[:, :, None]  # (B, W, K)
    grow = torch.where(same, beam.blank[:, :, None], before[:, :, None]) + starts[:, None, :]

    is_child = beam.parent[:, :, None] == beam.prefix[:, None, :]  # (B, W, W)
    has_parent, parent = is_child.max(2)
    begins, column = same.max(2)
    twice = has_parent & begins  # grown from its parent, this prefix is in the beam already
    place = parent * n_tokens + column
    moved = grow.flatten(1).gather(1, place).masked_fill_(~twice, IMPOSSIBLE)
    stay_token = torch.logaddexp(stay_token, moved)

    ranks = torch.empty(n, n_prefixes * (1 + n_tokens) + 1, device=grow.device)
    stay, grown = ranks[:, :n_prefixes], ranks[:, n_prefixes:-1].view(n, n_prefixes, n_tokens)
    torch.add(torch.logaddexp(stay_blank, stay_token), beam.bonus, out=stay)
    bonus, memo = beam.bonus[:, :, None].expand_as(grow), None
    if fusion:
        added, memo = fusion.grow(beam.states, tokens)
        bonus = added.add_(bonus)
    torch.add(grow, bonus, out=grown)
    ranks.scatter_(1, (place + n_prefixes).masked_fill_(~twice, ranks.shape[1] - 1), IMPOSSIBLE)
    best, places = ranks[:, :-1].topk(width, dim=1)
    chosen = _chosen(places, tokens, n_prefixes)
    alive = best > IMPOSSIBLE
    states = fusion.follow(beam.states, memo, chosen) if fusion else ()
    after = _follow(beam, chosen, alive, (stay_blank, stay_token), (grow, bonus), states)
    return after, chosen.origin, chosen.token


def _chosen(places: Tensor, tokens: Tensor, n_prefixes: int) -> Chosen:
    """What `places` (B, W) among W prefixes that stay and W·K that grew are."""
    stays = places < n_prefixes
    cell = (places - n_prefixes).clamp_(min=0)
    n_tokens = tokens.shape[1]
    origin = torch.where(stays, places, cell // n_tokens)
    column = cell % n_tokens
    return Chosen(origin, stays, column, tokens.gather(1, column).masked_fill_(stays, BLANK))


def _follow(
    beam: Beam,
    chosen: Chosen,
    alive: Tensor,
    stay: tuple[Tensor, Tensor],
    grown: tuple[Tensor, Tensor],
    states: tuple[Tensor, ...],
) -> Beam:
    """The beam of the chosen prefixes; places that are not `alive` hold none."""
    origin, stays, column, token = chosen
    prefix = beam.prefix.gather(1, origin)
    nobody = _nobody(origin.shape[1], origin.device)
    cell = origin * grown[0].shape[2] + column
    grow, bonus = (part.flatten(1).gather(1, cell) for part in grown)

    def either(kept: Tensor, new: Tensor) -> Tensor:
        return torch.where(stays, kept.gather(1, origin), new)

    return Beam(
        torch.where(stays, prefix, prefix * MULTIPLIER + token).where(alive, nobody),
        either(beam.parent, prefix).where(alive, nobody - NOBODY),
        either(beam.last, token),
        stay[0].gather(1, origin).masked_fill_(~(stays & alive), IMPOSSIBLE),
        either(stay[1], grow).masked_fill_(~alive, IMPOSSIBLE),
        either(beam.bonus, bonus).masked_fill_(~alive, 0.0),
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
    is_child = beam.parent[:, :, None] == beam.prefix[:, None, :]  # (B, W, W)
    has_parent, parent = is_child.max(2)
    moves = has_parent & (beam.last == boundary)
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
