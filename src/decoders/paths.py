"""Alignment paths: one token (or the blank) for each emitted frame."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor
from torchaudio.functional import forced_align

from src.batch import Hypothesis, padding_mask
from src.decoders.emissions import BLANK

PIECE = 2_000  # frames after which a pause ends a piece: 40 s; twice as many end it anyway
PAUSE = 10  # frames from one token to the next
LEAST = -1e4  # natural log in place of lower ones: forced_align loses its way among −inf


class Spelling(NamedTuple):
    """What a path spells once repeats are merged and blanks are dropped."""

    tokens: tuple[int, ...]
    frames: tuple[int, ...]  # first frame of each token's run
    ends: tuple[int, ...]  # the frame after its last
    confidences: tuple[float, ...]  # largest posterior within each token's run, 0 … 1


def collapse(paths: Tensor, log_probs: Tensor, lengths: Tensor) -> list[Spelling]:
    """Merge repeats, then drop blanks (Graves et al. 2006, the map B), for a batch at once.

    Args:
        paths: token of each frame, (B, T) int64.
        log_probs: log-probability of that token in that frame, (B, T).
        lengths: valid frames, (B,) int64; what lies behind them is never read.
    """
    padding = padding_mask(lengths, paths.shape[1])
    new_run = torch.ones_like(padding)
    new_run[:, 1:] = paths[:, 1:] != paths[:, :-1]
    run = new_run.cumsum(1) - 1  # (B, T), index of the run that each frame belongs to

    # The last run may go on into the padding; its confidence must not.
    log_probs = log_probs.masked_fill(padding, -torch.inf)
    run_peak = torch.full_like(log_probs, -torch.inf).scatter_reduce(1, run, log_probs, "amax")

    run_length = torch.zeros_like(run).scatter_add(1, run, (~padding).long())

    first = new_run & ~padding & (paths != BLANK)
    n_tokens = first.sum(1).tolist()
    starts = first.nonzero()[:, 1]
    ends = starts + run_length.gather(1, run)[first]
    columns = (paths[first], starts, ends, run_peak.gather(1, run)[first].exp())
    per_utterance = zip(*(column.split(n_tokens) for column in columns), strict=True)
    return [Spelling(*(tuple(part.tolist()) for part in parts)) for parts in per_utterance]


def best_alignment(log_probs: Tensor, tokens: tuple[int, ...]) -> Tensor:
    """The most probable path of (T, V) `log_probs` that spells `tokens`; (T,) int64.

    `tokens` must have an alignment: T is at least their number plus adjacent repeats. Where all
    are impossible, one of them is taken.
    """
    if not tokens:  # forced_align knows no empty target; only blanks spell it
        return torch.full((len(log_probs),), BLANK)
    # forced_align refuses what a model has transposed.
    log_probs = log_probs.clamp(min=LEAST).contiguous()
    path, _ = forced_align(log_probs[None], torch.tensor([tokens]), blank=BLANK)
    return path[0].long()


def with_times(
    hypotheses: Sequence[Hypothesis], log_probs: Tensor, lengths: Tensor
) -> list[Hypothesis]:
    """The hypotheses with frames, ends and confidences of their best alignments.

    Args:
        hypotheses: one for each utterance, with frames that some alignment has; a recording of
            minutes is aligned in pieces, cut between them where nothing is said.
        log_probs: (B, T, V). lengths: (B,) int64.
    """
    paths = torch.zeros(log_probs.shape[:2], dtype=torch.int64)
    for path, each, n, hypothesis in zip(
        paths, log_probs, lengths.tolist(), hypotheses, strict=True
    ):
        path[:n] = _path(hypothesis, each[:n])
    on_path = log_probs.gather(2, paths[:, :, None]).squeeze(2)
    return [
        replace(
            hypothesis,
            frames=spelling.frames,
            ends=spelling.ends,
            confidences=spelling.confidences,
        )
        for hypothesis, spelling in zip(hypotheses, collapse(paths, on_path, lengths), strict=True)
    ]


def _path(hypothesis: Hypothesis, log_probs: Tensor) -> Tensor:
    """The best path of one utterance's (T, V) `log_probs`, piece by piece; (T,) int64."""
    pieces = _pieces(hypothesis, len(log_probs))
    path = torch.cat([best_alignment(log_probs[start:end], some) for start, end, some in pieces])
    # What is possible as a whole need not be so on either side of a cut.
    if log_probs.gather(1, path[:, None]).isneginf().any():
        return best_alignment(log_probs, hypothesis.tokens)
    return path


def _pieces(hypothesis: Hypothesis, n_frames: int) -> Iterator[tuple[int, int, tuple[int, ...]]]:
    """First frame, the one after the last, and tokens of the parts to be aligned each by itself.

    An alignment takes time and memory as frames × tokens, 90,000 × 60,000 for an hour. No cut lies
    between equal tokens: one run might go on across it.
    """
    start = first = 0
    frames, tokens = hypothesis.frames, hypothesis.tokens
    for i in range(1, min(len(tokens), len(frames))):  # without frames: as a whole
        length, gap = frames[i] - start, frames[i] - frames[i - 1]
        may_end = gap >= PAUSE or length >= 2 * PIECE
        if length >= PIECE and may_end and tokens[i] != tokens[i - 1]:
            end = frames[i - 1] + (gap + 1) // 2
            yield start, end, tokens[first:i]
            start, first = end, i
    yield start, n_frames, tokens[first:]
