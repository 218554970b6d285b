"""Frames of tokens → words and tokens with their times."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from src.alignment.viterbi import Alignment
from src.text.bpe import WORD_START
from src.text.words_within import words_within
from src.utils.means import geometric_mean


class Interval(NamedTuple):
    """A word or a token, from … until, in seconds."""

    label: str
    start_s: float
    end_s: float
    confidence: float  # 0 … 1, of a word as in predictions


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
        between: the symbol that stands between two words; pieces begin with "▁" at a new one.
        frame_s: seconds from one frame to the next.
        duration_s: of the recording; no interval goes beyond it.
    """
    duration_s = math.floor(duration_s * 1e6) / 1e6
    bounds = np.stack((alignment.first, alignment.end)) * frame_s
    starts, ends = np.minimum(bounds, duration_s).round(6).tolist()
    confidences = alignment.confidences.tolist()
    tokens = [Interval(*parts) for parts in zip(symbols, starts, ends, confidences, strict=True)]
    pieces = any(symbol.startswith(WORD_START) for symbol in symbols)
    spans, sure = words_within(symbols, pieces, (between,))
    of_words = [confidence for first, end in spans for confidence in confidences[first:end]]
    return Timing(
        [
            Interval(
                word,
                tokens[first].start_s,
                tokens[end - 1].end_s,
                sure(confidences, first, end),
            )
            for word, (first, end) in zip(words, spans, strict=True)
        ],
        tokens,
        duration_s,
        alignment.score,
        geometric_mean(of_words),
    )


def _record(kind: str, interval: Interval) -> dict[str, Any]:
    record = interval._asdict()
    return {kind: record.pop("label"), **record, "confidence": round(interval.confidence, 5)}
