"""Many strings in two arrays."""

from collections.abc import Iterable, Iterator, Sequence

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
        encoded = [string.encode("utf-8", "surrogateescape") for string in strings]
        offsets = np.zeros(len(encoded) + 1, dtype=np.int64)
        np.cumsum([len(item) for item in encoded], out=offsets[1:])
        return cls(np.frombuffer(b"".join(encoded), dtype=np.uint8), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> str:
        index = range(len(self))[index]  # negative and out-of-range as for a list
        piece = self.data[self.offsets[index] : self.offsets[index + 1]]
        return piece.tobytes().decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        return (self[i] for i in range(len(self)))

    def take(self, rows: Iterable[int]) -> "PackedStrings":
        """The strings at `rows`, in that order."""
        return PackedStrings.of(self[int(row)] for row in rows)
