"""Tokens to words: where each begins and ends, and how sure it is."""

import itertools
import math
from collections.abc import Sequence


def word_spans(between: Sequence[bool]) -> list[tuple[int, int]]:
    """Of each word, its first token and the one after its last.

    Args:
        between: of each token, whether it stands between words (the space, "|").
    """
    runs = itertools.groupby(range(len(between)), key=lambda token: bool(between[token]))
    words = [list(run) for is_between, run in runs if not is_between]
    return [(word[0], word[-1] + 1) for word in words]


def word_confidence(confidences: Sequence[float], start: int, end: int) -> float:
    """Product of the confidences of a word's tokens and of the token on either side, 0 … 1.

    Were tokens wrong independently of each other, it would be the probability that all of them are
    right. Beside a word stands what parts it from others, or nothing: where that is doubtful, so
    is the word, which might be two, or half of one. docs/decoding.md compares it with other ways.

    Args:
        confidences: of all tokens, 0 … 1.
        start, end: the word's first token and the one after its last.
    """
    return math.prod(confidences[max(start - 1, 0) : end + 1])
