"""Is a stored model what it says? Right checksums only tell that a file is as it was written."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from src.language_models.grams import HIGHEST_ORDER

KINDS = {
    "keys": np.int64,
    "log_probs": np.float32,
    "targets": np.int32,
    "backoffs": np.float32,
    "shorter": np.int32,
    "words": np.uint8,
    "word_offsets": np.int64,
}


def check_info(info: Any, kind: str) -> int:
    """The order that a file of this `kind` tells.

    Raises:
        ValueError: what is wrong, as part of a sentence.
    """
    if not isinstance(info, Mapping) or info.get("kind") != kind:
        raise ValueError("it holds something else")
    order = info.get("order")
    if type(order) is not int or not 1 <= order <= HIGHEST_ORDER:
        raise ValueError(f"its order is {order!r}, expected 1 to {HIGHEST_ORDER}")
    return order


def check_arrays(arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse arrays that `NGram.score` would stumble over, or that mean nothing.

    Raises:
        ValueError: what is wrong, as part of a sentence.
    """
    for name, kind in KINDS.items():
        if name not in arrays:
            raise ValueError(f"it has no {name}")
        found = arrays[name]
        if found.dtype != kind or found.ndim != 1:
            told = f"{found.dtype} on {found.ndim} axes"
            raise ValueError(f"its {name} are {told}, expected {np.dtype(kind)} on one")
    offsets = arrays["word_offsets"]
    ends = (0, len(arrays["words"]))
    if not len(offsets) > 1 or tuple(offsets[[0, -1]]) != ends or (np.diff(offsets) < 0).any():
        raise ValueError("its word_offsets don't fit its words")
    _check_grams(arrays, n_words=len(offsets) - 1)


def _check_grams(arrays: Mapping[str, np.ndarray], n_words: int) -> None:
    keys, n_states = arrays["keys"], len(arrays["backoffs"])
    # The empty context is state 0, so that its n-grams come first, and every word has one.
    if not np.array_equal(keys[:n_words], np.arange(n_words)):
        raise ValueError("its keys don't begin with all words")
    for name, n in (("log_probs", len(keys)), ("targets", len(keys)), ("shorter", n_states)):
        if len(arrays[name]) != n:
            raise ValueError(f"it has {len(arrays[name])} {name}, expected {n}")
    if (keys[1:] <= keys[:-1]).any():
        raise ValueError("its keys don't ascend")
    limits = {"keys": n_states * n_words, "targets": n_states, "shorter": n_states}
    for name, limit in limits.items():
        if not (arrays[name].min() >= 0 and arrays[name].max() < limit):
            raise ValueError(f"its {name} are out of range")
    for name in ("log_probs", "backoffs"):
        if not arrays[name].max() < np.inf:  # nor NaN; −inf is a word that never comes
            raise ValueError(f"its {name} are out of range")
