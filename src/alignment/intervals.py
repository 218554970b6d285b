"""Frames of tokens → words and tokens with their times."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from src.alignment.viterbi import Alignment
from src.utils.means import geometric_mean


class Interval(NamedTuple):
    """A word or a token, from … until, in seconds."""

    label: str
    start_s: float
    end_s: float
    confidence: float  # 0 … 1


class Timing(NamedTuple):
    """When everything in a recording was said."""

    words: list[Interval]
    tokens: list[Interval]  # those between words (the space, "|") too
    duration_s: float
    score: float  # natural log of the path's probability
    confidence: float  # geometric mean over the tokens of all words

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return {
            "duration_s": self.duration_s,
            "score": round(self.score, 5),
            "confidence": round(self.confidence, 5),
            "words": [_record("word", interval) for interval in self.words],
            "tokens": [_record("token", interval) for interval in self.tokens],
        }


def timing_of(
    alignment: Alignment,
    symbols: Sequence[str],
    words: Sequence[str],
    between: str,
    frame_s: float,
    duration_s: float,
) -> Timing:
    """Times of the words and tokens of an alignment.

    Args:
        symbols: of each token of the alignment.
        words: as they are to be shown.
        between: the symbol that stands between two words.
        frame_s: seconds from one frame to the next.
        duration_s: of the recording; no interval goes beyond it.
    """
    duration_s = math.floor(duration_s * 1e6) / 1e6
    bounds = np.stack((alignment.first, alignment.end)) * frame_s
    starts, ends = np.minimum(bounds, duration_s).round(6).tolist()
    confidences = alignment.confidences.tolist()
    tokens = [Interval(*parts) for parts in zip(symbols, starts, ends, confidences, strict=True)]
    groups = _groups(tokens, between)
    return Timing(
        [
            Interval(word, spoken[0].start_s, spoken[-1].end_s, mean_confidence(spoken))
            for word, spoken in zip(words, groups, strict=True)
        ],
        tokens,
        duration_s,
        alignment.score,
        mean_confidence([token for spoken in groups for token in spoken]),
    )


def mean_confidence(tokens: Sequence[Interval]) -> float:
    """Geometric mean of their confidences, as for predictions."""
    return geometric_mean([token.confidence for token in tokens])


def _groups(tokens: list[Interval], between: str) -> list[list[Interval]]:
    """The tokens of each word."""
    groups: list[list[Interval]] = [[]]
    for token in tokens:
        if token.label == between:
            groups.append([])
        else:
            groups[-1].append(token)
    return groups


def _record(kind: str, interval: Interval) -> dict[str, Any]:
    record = interval._asdict()
    return {kind: record.pop("label"), **record, "confidence": round(interval.confidence, 5)}
