"""Random back-off models, and their definition in plain Python."""

import math
from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from src.language_models import BOS, EOS, UNK, Grams

Gram = tuple[str, ...]
ALPHABET = ("a", "b", "c", "d")


@st.composite
def models(draw, max_order: int = 5) -> Grams:
    """Any back-off model closed under beginnings; ends of n-grams may be missing.

    Back-off weights of 1 are common, so that contexts without use occur.
    """
    words = draw(st.permutations([UNK, BOS, EOS, *ALPHABET[: draw(st.integers(1, 4))]]))
    order = draw(st.integers(1, max_order))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    density = draw(st.sampled_from([0.1, 0.3, 0.7]))
    ids = [random.permutation(len(words))[:, None]]
    for _ in range(order - 1):
        longer = [(*row, w) for row in ids[-1].tolist() for w in range(len(words))]
        keep = random.random(len(longer)) < min(density, 40 / max(len(longer), 1))
        longer = np.array(longer).reshape(-1, len(ids) + 1)[keep]
        ids.append(random.permutation(longer))
    return Grams(
        tuple(words),
        [part.astype(np.int32) for part in ids],
        [-random.exponential(3.0, len(part)).astype(np.float32) for part in ids],
        [
            np.float32(random.normal(size=len(part)) * (random.random(len(part)) < 0.6))
            for part in ids
        ],
    )


def as_dict(grams: Grams) -> dict[Gram, tuple[float, float]]:
    """Log-probability and back-off of each n-gram, by its words."""
    return {
        tuple(grams.words[i] for i in row): (float(log_prob), float(backoff))
        for part in zip(grams.ids, grams.log_probs, grams.backoffs, strict=True)
        for row, log_prob, backoff in zip(*map(np.ndarray.tolist, part), strict=True)
    }


def log_prob(known: dict[Gram, tuple[float, float]], context: Gram, word: str) -> float:
    """What a back-off model is: the n-gram's own value, or one for less context."""
    if (*context, word) in known:
        return known[*context, word][0]
    if not context:
        return -math.inf
    return known.get(context, (0.0, 0.0))[1] + log_prob(known, context[1:], word)


def history(order: int, words: Sequence[str]) -> Gram:
    """The words that a model of this order looks back on."""
    return tuple(words[max(0, len(words) - order + 1) :])
