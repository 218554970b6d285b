"""Many strings in two arrays."""

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

import numpy as np


class PackedStrings(Sequence[str]):
    """A sequence of strings kept as one UTF-8 buffer and its offsets.

    Forked workers share arrays; a list of Python strings they would copy bit by bit, as each
    look-up writes a reference count into the string's memory page.

    Args:
        data: (n_bytes,) uint8, all strings one after the other.
        offsets: (n + 1,) int64, where each string begins and the last one ends.
    """

    def __init__(self, data: np.ndarray, offsets: np.ndarray) -> None:
        self.data = data
        self.offsets = offsets

    @classmethod
    def of(cls, strings: Iterable[str]) -> "PackedStrings":
        """Pack `strings`; names that are not UTF-8 on disk survive."""
        packer = Packer()
        for string in strings:
            packer.add(string)
        return packer.packed()

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> str:
        index = range(len(self))[index]  # negative and out-of-range as for a list
        piece = self.data[self.offsets[index] : self.offsets[index + 1]]
        return piece.tobytes().decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        return (self[i] for i in range(len(self)))


class Packer:
    """Packs strings as they come, so that a corpus never lies in memory as Python objects."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._offsets = array("q", [0])

    def add(self, string: str) -> None:
        """Append one string."""
        self._data += string.encode("utf-8", "surrogateescape")
        self._offsets.append(len(self._data))

    def packed(self) -> PackedStrings:
        """All strings, without a copy; nothing can be added from then on."""
        return PackedStrings(
            np.frombuffer(self._data, np.uint8), np.frombuffer(self._offsets, np.int64)
        )


class PickedStrings(Sequence[str]):
    """Some of the strings of several sequences, in an order of choice; nothing is copied.

    Args:
        pieces: sequences that count as one, end to end.
        rows: (n,) int, places in them.
    """

    def __init__(self, pieces: Sequence[Sequence[str]], rows: np.ndarray) -> None:
        self._pieces = pieces
        self._starts = [0, *accumulate(map(len, pieces))]
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> str:
        piece, row = place(self._starts, int(self._rows[index]))
        return self._pieces[piece][row]

    def __iter__(self) -> Iterator[str]:
        return (self[i] for i in range(len(self)))


def place(starts: Sequence[int], row: int) -> tuple[int, int]:
    """Which piece a row of several, laid end to end, lies in, and its row there.

    Args:
        starts: where each piece begins, ascending.
    """
    piece = bisect_right(starts, row) - 1
    return piece, row - starts[piece]
