"""The most probable CTC path of a known text, exactly, for recordings of any length.

`torchaudio.functional.forced_align` keeps a pointer for each frame and state: 22 GB for an hour.
Here only the scores at the start of each stretch of frames are kept. Walking back, a stretch is
gone through once more, and of it only the few states that can lead to where the path went on.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from src.utils.errors import UserError

BLANK = 0
STRETCH = 2048  # frames; memory is T · S / STRETCH numbers, and STRETCH² pointers


class Alignment(NamedTuple):
    """The frames of each of S tokens: `first` … `end` − 1."""

    first: np.ndarray  # (S,) int64
    end: np.ndarray  # (S,) int64
    confidences: np.ndarray  # (S,), largest posterior in each token's frames, 0 … 1
    score: float  # natural log of the path's probability


def n_frames_needed(tokens: Sequence[int]) -> int:
    """Frames of the shortest path: one a token, and a blank between two that are alike."""
    tokens = np.asarray(tokens)
    return len(tokens) + int((tokens[1:] == tokens[:-1]).sum())


def align(log_probs: np.ndarray, tokens: Sequence[int], stretch: int = STRETCH) -> Alignment:
    """Where the best path has each token.

    Args:
        log_probs: (T, V) float32, natural logs; blank = 0.
        tokens: the text, S ≥ 1 tokens without blanks.
        stretch: frames between two rows of scores that are kept.

    Raises:
        UserError: too few frames for the text, or no path has a probability above 0.
    """
    needed = n_frames_needed(tokens)
    if len(log_probs) < needed:
        raise UserError(
            f"its {len(tokens):,} tokens need at least {needed:,} frames, but there are "
            f"{len(log_probs):,}; is this the transcript of this recording?"
        )
    path, score = _best_path(log_probs, np.asarray(tokens, np.int64), stretch)
    odd = np.arange(1, 2 * len(tokens), 2)
    first, end = np.searchsorted(path, odd, "left"), np.searchsorted(path, odd, "right")
    runs = zip(first, end, tokens, strict=True)
    peaks = [log_probs[begin:stop, token].max() for begin, stop, token in runs]
    return Alignment(first, end, np.minimum(np.exp(peaks), 1.0), score)


def _best_path(log_probs: np.ndarray, tokens: np.ndarray, stretch: int) -> tuple:
    """State of each frame, (T,) int64, and the log-probability of that path.

    State 2i + 1 is token i, the even ones are the blanks around the tokens.
    """
    symbols = np.full(2 * len(tokens) + 1, BLANK)
    symbols[1::2] = tokens
    leap = np.full(len(symbols), -np.inf)  # cost of passing over the blank before a state
    leap[3::2][tokens[1:] != tokens[:-1]] = 0

    kept, scores = _forward(log_probs, symbols, leap, stretch)
    state = len(symbols) - 1 if scores[-1] >= scores[-2] else len(symbols) - 2
    score = float(scores[state])
    if not np.isfinite(score):
        raise UserError(
            "the model gives no path through this text a probability above 0 (or it says NaN); "
            "the weights or the audio are broken, try another checkpoint."
        )
    path = np.empty(len(log_probs), np.int64)
    for row in reversed(range(len(kept))):
        frames = log_probs[row * stretch : (row + 1) * stretch]
        low = max(0, state - 2 * len(frames))  # a path climbs two states a frame at most
        near = slice(low, state + 1)
        steps = _steps(frames, kept[row][near], symbols[near], leap[near])
        for t in reversed(range(len(frames))):
            path[row * stretch + t] = state
            state -= int(steps[t, state - low])
    return path, score


def _forward(log_probs: np.ndarray, symbols: np.ndarray, leap: np.ndarray, stretch: int) -> tuple:
    """Scores before each stretch, and after the last frame, each (states,) float64."""
    n_frames, n_states = len(log_probs), len(symbols)
    scores = np.full(n_states, -np.inf)
    scores[0] = 0.0  # before the first frame, from where it reaches state 0 or 1
    kept = []
    for t, frame in enumerate(log_probs):
        if t % stretch == 0:
            kept.append(scores.copy())
        # Nothing above can have been reached, nothing below can still reach the end.
        band = slice(max(0, n_states - 2 * (n_frames - t)), 2 * t + 2)
        scores[band] = _best_before(scores[band], leap[band], _below(scores, band.start))
        scores[band] += frame[symbols[band]]
    return kept, scores


def _below(scores: np.ndarray, start: int) -> np.ndarray:
    """The scores of the two states below `start`; −inf where there are none."""
    return np.array([scores[s] if s >= 0 else -np.inf for s in (start - 2, start - 1)])


def _best_before(scores: np.ndarray, leap: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Best score with which each state is entered: from itself, the one below, or the second."""
    wide = np.concatenate((below, scores))
    best = np.maximum(wide[2:], wide[1:-1])
    return np.maximum(best, wide[:-2] + leap, out=best)


def _steps(log_probs: np.ndarray, scores: np.ndarray, symbols: np.ndarray, leap: np.ndarray):
    """How many states the best path into each state climbs in each frame, (T, states) int8."""
    steps = np.empty((len(log_probs), len(scores)), np.int8)
    none = np.full(2, -np.inf)
    for t, frame in enumerate(log_probs):
        best = _best_before(scores, leap, none)
        steps[t] = 2
        steps[t, 1:][best[1:] == scores[:-1]] = 1
        steps[t][best == scores] = 0
        scores = best + frame[symbols]
    return steps
