"""ARPA files, the exchange format of back-off language models; gzip too.

Source: the format as SRILM's ngram-format(5) describes it.
"""

import gzip
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np

from src.language_models.contexts import Contexts, Misplaced
from src.language_models.grams import HIGHEST_ORDER, NEVER, Grams
from src.utils.errors import UserError
from src.utils.files import atomic_write

LN10 = float(np.log(10))
EXACT = 9  # digits that give back every float32
MOST_DIGITS = 12  # of a count: more mean a damaged file
HIGHEST_BACKOFF = 99.0  # log10, likewise
# Lines read at once; more of them, each a list, would wake Python's garbage collector, which takes
# twice as long as all the reading.
BLOCK = 500
WRITTEN = 50_000  # lines written at once
Row = list[bytes]


def is_arpa(path: Path) -> bool:
    """Whether a file's name promises this format."""
    return path.name.removesuffix(".gz").endswith(".arpa")


def read_arpa(path: str | Path) -> Grams:
    """The n-grams of an ARPA file, as text or gzip whatever its name says.

    Raises:
        UserError: not there, or not a whole ARPA file; says in which line.
    """
    path = Path(path)
    try:
        with _open(path) as file:
            return _Reader(path, file).read()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(
            f"{path}: could not be read as an ARPA file ({error}). It may be cut off; fetch or "
            "write it again."
        ) from error


def write_arpa(grams: Grams, path: str | Path, digits: int = EXACT) -> None:
    """Write an ARPA file, atomically; compressed where the name ends in .gz.

    Args:
        digits: of each logarithm, significant ones. Four make a packed file a third smaller.

    Raises:
        UserError: a word can't stand in such a file, or the folder can't be written, or the disk
            is full.
    """
    path = Path(path)
    for word in grams.words:
        if word.encode().split() != [word.encode()]:
            raise UserError(f"{path}: the word {word!r} is empty or has a space, as no word may.")
    with atomic_write(path) as file:
        if path.suffix != ".gz":
            file.writelines(_pieces(grams, digits))
            return
        with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
            packed.writelines(_pieces(grams, digits))


@contextmanager
def _open(path: Path) -> Iterator[IO[bytes]]:
    with path.open("rb") as file:
        is_packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if is_packed:
            with gzip.open(file) as unpacked:
                yield unpacked
        else:
            yield file


class _Odd(ValueError):
    """Lines that are not as they should be; says how they should."""


class _Reader:
    """Reads a block of lines at once, and tells in which line something is wrong."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path = path
        self.file = file
        self.n_lines = 0  # read so far
        self.words: list[str] = []
        self.index: dict[bytes, int] = {}

    def read(self) -> Grams:
        """The whole file."""
        counts = self._counts()
        parts = [self._section(k, counts) for k in range(1, len(counts) + 1)]
        if (end := self._line()) != b"\\end\\":
            raise self._wrong(f"\\end\\ after {counts[-1]} {len(counts)}-grams", end)
        for line in self.file:  # to the very end, where gzip has a checksum
            self.n_lines += 1
            if line.strip():
                raise self._wrong("nothing after \\end\\", line)
        ids, log_probs, backoffs = map(list, zip(*parts, strict=True))
        return Grams(tuple(self.words), ids, log_probs, backoffs)

    def _counts(self) -> list[int]:
        """n-grams of each order, as the file announces them."""
        for line in self.file:  # what stands before is a comment
            self.n_lines += 1
            if line.strip() == b"\\data\\":
                break
        else:
            raise UserError(f"{self.path}: has no \\data\\ line, so it is no ARPA file.")
        counts = []
        while (line := self._line()).startswith(b"ngram "):
            order, _, count = (part.strip() for part in line[6:].partition(b"="))
            if order != b"%d" % (len(counts) + 1) or not count.isdigit():
                raise self._wrong(f"'ngram {len(counts) + 1}=COUNT'", line)
            if len(counts) == HIGHEST_ORDER or len(count) > MOST_DIGITS:
                raise self._wrong(
                    f"orders up to {HIGHEST_ORDER} and counts up to {MOST_DIGITS} digits", line
                )
            counts.append(int(count))
        if line != b"\\1-grams:" or not counts or not counts[0]:
            raise self._wrong("lines 'ngram ORDER=COUNT', not 0 for 1, then '\\1-grams:'", line)
        return counts

    def _section(self, k: int, counts: list[int]) -> tuple[np.ndarray, ...]:
        """Words, log-probabilities and back-offs of all k-grams."""
        if k > 1 and (line := self._line()) != b"\\%d-grams:" % k:
            raise self._wrong(f"'\\{k}-grams:' after {counts[k - 2]} {k - 1}-grams", line)
        blocks, lines, n_left = [self._none(k)], [], counts[k - 1]
        while n_left:
            numbers, rows = self._rows(n_left)
            blocks.append(self._block(numbers, rows, k, counts))
            lines.append(numbers)
            n_left -= len(rows)
        ids, log_probs, backoffs = map(np.concatenate, zip(*blocks, strict=True))
        if k == 1:
            self.contexts = Contexts(len(self.words))
        try:
            self.contexts.add(ids)
        except Misplaced as error:
            gram = " ".join(self.words[i] for i in ids[error.row])
            place = f"{self.path}, line {np.concatenate(lines)[error.row]}"
            raise UserError(f"{place}: the {k}-gram {gram!r} {error.fault}.") from None
        return ids, log_probs, backoffs

    def _rows(self, n_most: int) -> tuple[np.ndarray, list[Row]]:
        """The fields of some of the next lines that are not blank, and these lines' numbers."""
        # Split as bytes: only ASCII spaces end a word, a no-break space belongs to it.
        rows = [line.split() for line in islice(self.file, min(n_most, BLOCK))]
        if not rows:
            raise UserError(f"{self.path}: ends after line {self.n_lines}, without \\end\\.")
        numbers = np.arange(len(rows)) + self.n_lines + 1
        self.n_lines += len(rows)
        if not all(rows):
            filled = np.flatnonzero([bool(row) for row in rows])
            numbers, rows = numbers[filled], [rows[i] for i in filled]
        return numbers, rows

    def _block(
        self, numbers: np.ndarray, rows: list[Row], k: int, counts: list[int]
    ) -> tuple[np.ndarray, ...]:
        """The same as `_parsed`, and says which line is odd."""
        if not rows:
            return self._none(k)
        n_most = k + 2 if k < len(counts) else k + 1
        try:
            return self._parsed(rows, k, n_most)
        except _Odd:
            for number, row in zip(numbers.tolist(), rows, strict=True):
                try:
                    self._parsed([row], k, n_most)
                except _Odd as odd:
                    self.n_lines = number
                    what = f"one of {counts[k - 1]} {k}-grams, with {odd}"
                    raise self._wrong(what, b" ".join(row)) from None
            raise

    def _parsed(self, rows: list[Row], k: int, n_most: int) -> tuple[np.ndarray, ...]:
        """Words, log-probabilities and back-offs of lines split into at most `n_most` fields."""
        if not set(map(len, rows)) <= {k + 1, n_most}:
            words = "1 word" if k == 1 else f"{k} words"
            raise _Odd(f"a logarithm, {words}" + " and perhaps a back-off" * (n_most > k + 1))
        rows = [row if len(row) > k + 1 else [*row, b"0"] for row in rows]
        logs, *columns, backs = zip(*rows, strict=True)
        try:
            values = np.array([list(map(float, logs)), list(map(float, backs))])
        except ValueError:
            raise _Odd("numbers around the words") from None
        if not (values[0] <= 1e-4).all():  # so NaN is refused too
            raise _Odd("a logarithm of at most 0")
        if not (values[1] <= HIGHEST_BACKOFF).all():
            raise _Odd(f"a back-off of at most {HIGHEST_BACKOFF:.0f}")
        ids = np.array([self._indices(column, k) for column in columns], np.int32).T
        log_probs, backoffs = (np.maximum(values, -99) * LN10).astype(np.float32)
        return ids, np.minimum(log_probs, 0), backoffs

    def _indices(self, words: Sequence[bytes], k: int) -> list[int]:
        try:
            if k > 1:
                return list(map(self.index.__getitem__, words))
            decoded = [word.decode() for word in words]
        except KeyError as error:
            word = error.args[0].decode(errors="replace")
            raise _Odd(f"words of the 1-grams, where {word!r} is missing") from None
        except UnicodeDecodeError:
            raise _Odd("a word in UTF-8") from None
        known = len(self.index)
        if len(set(words)) < len(words) or not self.index.keys().isdisjoint(words):
            raise _Odd("a word that was not listed before")
        self.index.update(zip(words, range(known, known + len(words)), strict=True))
        self.words += decoded
        return list(range(known, known + len(words)))

    @staticmethod
    def _none(k: int) -> tuple[np.ndarray, ...]:
        return np.zeros((0, k), np.int32), np.zeros(0, np.float32), np.zeros(0, np.float32)

    def _line(self) -> bytes:
        """The next line that is not blank."""
        while line := self.file.readline():
            self.n_lines += 1
            if line := line.strip():
                return line
        raise UserError(f"{self.path}: ends after line {self.n_lines}, without \\end\\.")

    def _wrong(self, expected: str, met: bytes) -> UserError:
        what = repr(met[:80].decode(errors="replace"))
        return UserError(f"{self.path}, line {self.n_lines}: expected {expected}; met {what}.")


def _pieces(grams: Grams, digits: int) -> Iterator[bytes]:
    """The file's text, in pieces of many lines."""
    yield b"\\data\\\n"
    yield from (b"ngram %d=%d\n" % (k, len(ids)) for k, ids in enumerate(grams.ids, 1))
    words = np.array(grams.words, dtype=object)
    for k, ids in enumerate(grams.ids, 1):
        yield b"\n\\%d-grams:\n" % k
        # Orders that never back off have no third column.
        number = f"%.{digits}g"
        line = f"{number}\t{' '.join(['%s'] * k)}" + (f"\t{number}\n" if k < grams.order else "\n")
        for begin in range(0, len(ids), WRITTEN):
            part = slice(begin, begin + WRITTEN)
            columns = [_log10(grams.log_probs[k - 1][part]), *words[ids[part]].T.tolist()]
            if k < grams.order:
                columns.append(_log10(grams.backoffs[k - 1][part]))
            yield "".join(map(line.__mod__, zip(*columns, strict=True))).encode()
    yield b"\n\\end\\\n"


def _log10(logs: np.ndarray) -> list[float]:
    return np.where(logs <= np.float32(NEVER), -99.0, logs.astype(np.float64) / LN10).tolist()
