"""What a search has to look at: frames that are not surely blank, and tokens that may begin."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from src.batch import padding_mask
from src.decoders.emissions import BLANK

IMPOSSIBLE = -torch.inf


class Frame(NamedTuple):
    """One frame of the b utterances that have it, and the N tokens that may begin in it."""

    log_probs: Tensor  # (b, V)
    allowed: Tensor  # (b, V), −inf where a token may not begin
    columns: Tensor  # (b, V) int64, place of each token among those of its utterance
    starts: Tensor  # (b, K) int64, the utterance's places among the N
    rows: Tensor  # (N,) int64, utterance
    tokens: Tensor  # (N,) int64
    begins: Tensor  # (N,) log-probability of each
    column: Tensor  # (N,) int64, its place among those of its utterance
    after_blank: Tensor | None  # (b, 1) bool, frames were skipped before it; None = none


class Frames(NamedTuple):
    """The frames that a search has to look at.

    The longest utterance comes first, so that those which have a t-th frame are the first b.
    """

    frames: list[Frame]
    skipped: Tensor  # (B,) summed log-probability of the blanks in skipped frames
    order: Tensor  # (B,) the batch's row of each utterance
    places: Tensor  # (B, T) int64, which of the utterance's frames each is


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
        blank_threshold: natural log. Frames whose blank is more probable are skipped as if
            nothing else could be.
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
    allowed = _allowed(kept, token_threshold, n_tokens).masked_fill(~exists[:, :, None], IMPOSSIBLE)
    return Frames(list(_frames(kept, allowed, exists, jumps)), skipped, order, places)


def _allowed(log_probs: Tensor, threshold: float | None, n_tokens: int) -> Tensor:
    """`log_probs` (T, B, V) of the tokens that may begin, −inf for all others."""
    least = torch.full_like(log_probs[:, :, :1], IMPOSSIBLE)
    if threshold is not None:
        least = log_probs.amax(2, keepdim=True).clamp(max=threshold)
    others = log_probs.masked_fill(log_probs < least, IMPOSSIBLE)
    others[:, :, BLANK] = IMPOSSIBLE
    if n_tokens < others.shape[2] - 1:
        best = others.topk(n_tokens, dim=2).indices
        others = torch.full_like(others, IMPOSSIBLE).scatter(2, best, others.gather(2, best))
    return others


def _frames(kept: Tensor, allowed: Tensor, exists: Tensor, jumps: Tensor) -> Iterator[Frame]:
    """Frame by frame, from tensors (T, B, V) and masks (T, B)."""
    may_begin = allowed.isfinite()
    columns = may_begin.cumsum(2) - 1
    begins = may_begin.nonzero()  # sorted by frame, then utterance
    log_probs, column = allowed[may_begin], columns[may_begin]
    n_starts = may_begin.sum((1, 2))
    # The first start of each utterance's frame among those of the frame.
    firsts = may_begin.sum(2).cumsum(1) - may_begin.sum(2)
    widths = columns[:, :, -1].amax(1).add(1).clamp_(min=1)
    facts = torch.stack([exists.sum(1), n_starts, widths, jumps.any(1)], 1).tolist()
    done = 0
    for t, (n, n_here, width, jumped) in enumerate(facts):
        here = slice(done, done + n_here)
        done += n_here
        # Places beyond an utterance's own are never chosen; they only have to exist.
        starts = firsts[t, :n, None] + torch.arange(width, device=kept.device)
        yield Frame(
            kept[t, :n],
            allowed[t, :n],
            columns[t, :n].clamp(min=0),
            starts.clamp_(max=max(0, n_here - 1)),
            begins[here, 1],
            begins[here, 2],
            log_probs[here],
            column[here],
            jumps[t, :n, None] if jumped else None,
        )
