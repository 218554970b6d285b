"""Does an exported file say what the checkpoint says, whatever the batch and its padding?"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from rapidfuzz.distance import Levenshtein
from torch import Tensor

from src.batch import Emissions
from src.utils.errors import UserError

EXTRA_S = 0.3  # of padding more than needed, in one of the batches


@dataclass(frozen=True)
class Comparison:
    """How an exported file differs from the checkpoint it was made of."""

    n_batches: int
    most: int  # clips in the largest batch
    worst: float  # largest difference of a log-probability, over all valid frames
    errors: int  # greedy tokens substituted, deleted or inserted
    tokens: int  # greedy tokens of the checkpoint

    @property
    def token_error(self) -> float:
        """Errors over tokens, as a fraction."""
        return self.errors / max(1, self.tokens)


def compare(run: Callable, eager: Callable, clips: Sequence[np.ndarray], rate: int) -> Comparison:
    """Both on clips alone, in pairs, and all together, with more padding than needed as well.

    Args:
        run, eager: waveforms (B, N) and lengths (B,) to `Emissions`.
        clips: (N,) float32 each.
        rate: samples per second.

    Raises:
        UserError: an utterance gets another number of frames, or a value that is no number.
    """
    worst, errors, tokens, sizes = 0.0, 0, 0, []
    for waveforms, lengths in batches(clips, rate):
        found, wanted = run(waveforms, lengths), eager(waveforms, lengths)
        if found.lengths.tolist() != wanted.lengths.tolist():
            raise UserError(
                f"clips of {lengths.tolist()} samples: the exported file emits "
                f"{found.lengths.tolist()} frames, the checkpoint {wanted.lengths.tolist()}. "
                "Choose another format."
            )
        sizes.append(len(lengths))
        for ours, theirs in zip(valid(found), valid(wanted), strict=True):
            difference = (ours - theirs).abs().max().item() if len(ours) else 0.0
            worst = max(worst, difference if difference == difference else float("inf"))
            errors += Levenshtein.distance(greedy(ours), greedy(theirs))
            tokens += len(greedy(theirs))
    return Comparison(len(sizes), max(sizes), worst, errors, tokens)


def batches(clips: Sequence[np.ndarray], rate: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Waveforms (B, N) and lengths (B,) of many shapes; no two are alike where the clips aren't."""
    for clip in clips:
        yield side_by_side([clip])
    for start in range(0, len(clips) - 1, 2):
        yield side_by_side(clips[start : start + 2])
    yield side_by_side(clips)
    short = clips[0][: rate // 100]
    yield side_by_side([short])
    yield side_by_side([*clips[::-1], short], extra=int(EXTRA_S * rate))


def side_by_side(clips: Sequence[np.ndarray], extra: int = 0) -> tuple[Tensor, Tensor]:
    """Clips padded with zeros to (B, N), `extra` samples more than needed, and their lengths."""
    lengths = torch.tensor([len(clip) for clip in clips])
    waveforms = torch.zeros(len(clips), int(lengths.max()) + extra)
    for row, clip in zip(waveforms, clips, strict=True):
        row[: len(clip)] = torch.from_numpy(clip)
    return waveforms, lengths


def valid(emissions: Emissions) -> list[Tensor]:
    """The frames (T_out, V) of each utterance."""
    rows = zip(emissions.log_probs, emissions.lengths.tolist(), strict=True)
    return [log_probs[:n] for log_probs, n in rows]


def greedy(log_probs: Tensor) -> list[int]:
    """Likeliest tokens of (T_out, V) without repeats and blanks."""
    best = log_probs.argmax(-1).unique_consecutive() if len(log_probs) else log_probs.new_zeros(0)
    return [int(token) for token in best if token != 0]
