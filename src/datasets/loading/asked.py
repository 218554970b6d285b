"""The batches that reading processes were asked for, so that others can be asked when they die."""

import itertools
from collections import deque
from collections.abc import Iterable, Iterator

from torch.utils.data import Sampler


class Asked(Sampler[list[int]]):
    """The batches of one pass, and which of them were asked for and have not arrived.

    A `DataLoader` that is started anew meets the latter first, and so loses and repeats nothing.

    Attributes:
        is_over: whether the last batch was asked for.
    """

    def begin(self, batches: Iterable[list[int]]) -> None:
        self._coming = iter(batches)
        self._asked: deque[list[int]] = deque()
        self._n_one_by_one = 0
        self.is_over = False

    def take_care(self) -> None:
        """Give one batch at a time until all that are asked for now have arrived.

        A recording that kills who reads it would else take with it, each time, the batches before
        it that had been read and not yet handed over.
        """
        self._n_one_by_one = len(self._asked)

    def __iter__(self) -> Iterator[list[int]]:
        self._coming = itertools.chain(self._asked, self._coming)
        self._asked = deque()
        self.is_over = False
        return self

    def __next__(self) -> list[int]:
        if self._asked and self._n_one_by_one:
            raise StopIteration
        try:
            batch = next(self._coming)
        except StopIteration:
            self.is_over = True
            raise
        self._asked.append(batch)
        return batch

    def arrived(self) -> None:
        self._asked.popleft()
        self._n_one_by_one = max(0, self._n_one_by_one - 1)

    def first(self) -> list[int]:
        """The batch that is waited for; empty where none was asked for yet."""
        return self._asked[0] if self._asked else []


class Arrived:
    """The same for a stream, which knows its batches: how many of a pass have arrived."""

    is_over = True  # when the stream ends

    def begin(self, batches: Iterable[list[int]]) -> None:
        self.n_arrived = 0

    def take_care(self) -> None:
        """Nothing: the batches that are lost with a worker are read again in any case."""

    def arrived(self) -> None:
        self.n_arrived += 1

    def first(self) -> list[int]:
        """Unknown here."""
        return []
