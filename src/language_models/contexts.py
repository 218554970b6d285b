"""The n-grams of a back-off model as a tree of numbers, each found from that of its beginning."""

import numpy as np

from src.utils.errors import UserError

ROOT = 0  # the empty n-gram
MOST = 2**31 - 1  # n-grams, and words: numbers are stored as int32, and keys then fit into int64


class Misplaced(ValueError):
    """An n-gram that can't stand in its list: its row there, and what is wrong with it."""

    def __init__(self, row: int, fault: str) -> None:
        super().__init__(row, fault)
        self.row, self.fault = row, fault


class Contexts:
    """Added order by order, from 1 up, n-grams are numbered from 1 up.

    An n-gram's key is the number of its beginning times the number of words, plus its last word.
    Numbers rise with keys: a later order's beginnings have higher numbers.

    Args:
        n_words: words are 0 … n_words − 1.

    Attributes:
        keys: (n,) int64, ascending; number i has key i − 1.
    """

    def __init__(self, n_words: int) -> None:
        self.n_words = n_words
        self.keys = np.zeros(0, np.int64)

    def add(self, ids: np.ndarray) -> np.ndarray:
        """Number the n-grams of the next order.

        Args:
            ids: (n, order) words.

        Returns:
            (n,) rows of `ids` in the order of their numbers.

        Raises:
            Misplaced: one is listed twice, or without its beginning.
            UserError: there are more than can be numbered.
        """
        if max(self.n_words, len(self.keys) + len(ids)) > MOST:
            raise UserError(
                f"A language model of {self.n_words:,} words and {len(self.keys) + len(ids):,} or "
                f"more n-grams: at most {MOST:,} of each can be numbered. Prune it more, or limit "
                "its vocabulary."
            )
        *beginning, last = ids.T
        numbers = np.full(len(ids), ROOT, np.int64)
        for n, words in enumerate(beginning, 1):
            numbers = self.child(numbers, words)
            if (missing := np.flatnonzero(numbers < 0)).size:
                first = "first word" if n == 1 else f"first {n} words"
                raise Misplaced(int(missing[0]), f"is listed without its {first}")
        keys = numbers * self.n_words + last
        rows = np.argsort(keys, kind="stable")  # fast where they are in order, as most files are
        keys = keys[rows]
        if (twice := np.flatnonzero(keys[1:] == keys[:-1])).size:
            raise Misplaced(int(rows[twice + 1].min()), "is listed twice")
        self.keys = np.concatenate([self.keys, keys])
        return rows

    def child(self, numbers: np.ndarray, words: np.ndarray) -> np.ndarray:
        """The n-grams `numbers` made longer by `words`; −1 where that is none of ours."""
        if not len(self.keys):
            return np.full(len(numbers), -1)
        keys = numbers * self.n_words + words
        places = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[places] == keys, places + 1, -1)
