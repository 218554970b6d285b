"""The n-grams of a language model as plain arrays, as a file lists them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BOS, EOS, UNK = "<s>", "</s>", "<unk>"
SPACE = "<space>"  # how models of characters write the space between words
HIGHEST_ORDER = 12  # far above what anybody estimates: a higher one means a damaged file
NEVER = -99 * np.log(10)  # how ARPA files write the logarithm of nothing


@dataclass(frozen=True)
class Grams:
    """A back-off model: what it knows of each n-gram, order by order.

    p(w | context) is that of the n-gram (context, w) where it is listed, else the context's
    back-off weight times p(w | context without its first word).
    """

    words: Sequence[str]  # their places are the indices below
    ids: list[np.ndarray]  # of order k: (n_k, k) int32
    log_probs: list[np.ndarray]  # (n_k,) float32, natural log
    backoffs: list[np.ndarray]  # (n_k,) float32, natural log, 0 where there is none

    @property
    def order(self) -> int:
        """Words of the longest n-grams."""
        return len(self.ids)

    def __len__(self) -> int:
        return sum(map(len, self.ids))
