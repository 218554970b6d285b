"""Sentences from files of text, as they are printed: no word is changed here."""

import gzip
import lzma
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import IO

from tqdm import tqdm

from src.utils.errors import UserError

_OPENERS = {b"\x1f\x8b": gzip.open, b"\xfd7": lzma.open}  # by a file's first two bytes
_MARK = re.compile(r"[.!?;…]+[\"'”’»)\]]*(?=\s|$)")
_SHORT = re.compile(
    r"(?:^|[\s“‘(])(?:[A-Z]|Mr|Mrs|Ms|Mme|Dr|St|Messrs|Prof|Rev|Hon|Capt|Col|Gen|Lieut|Sergt|Jr|Sr"
    r"|Esq|No|Vol|viz|vs|etc|cf|i\.e|e\.g)\.$"
)
_HEADING = 40  # characters; no line of a paragraph but its last is shorter


def lines(paths: Iterable[Path]) -> Iterator[str]:
    """The lines of several files, plain, gzip or xz, with a progress bar over their bytes.

    Raises:
        UserError: one is not there, cut off, damaged, or not UTF-8.
    """
    paths = list(paths)
    n_bytes = sum(path.stat().st_size for path in paths if path.is_file())
    with tqdm(total=n_bytes, unit="B", unit_scale=True, leave=False, disable=None) as bar:
        for path in paths:
            bar.set_description(path.name)
            yield from _lines_of(path, bar)


def _lines_of(path: Path, bar: tqdm) -> Iterator[str]:
    number, before = 0, bar.n
    try:
        with path.open("rb") as raw, _unpacked(raw) as file:
            for number, line in enumerate(file, 1):
                yield line.decode()
                if number % 1000 == 0 and raw.seekable():
                    bar.update(before + raw.tell() - bar.n)  # raw: packed, as it lies on disk
            if raw.seekable():
                bar.update(before + raw.tell() - bar.n)
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}, line {number}: is not UTF-8 ({error.reason}). Convert the file, as with "
            "iconv -f latin1 -t utf8."
        ) from None
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        where = f" after line {number}" if number else ""
        raise UserError(
            f"{path}: could not be read{where} ({getattr(error, 'strerror', None) or error}). "
            "Fetch it again, or name another file."
        ) from error


@contextmanager
def _unpacked(raw: BufferedReader) -> Iterator[IO[bytes]]:
    opener = _OPENERS.get(raw.peek(2)[:2])  # a pipe can't be read again
    if opener is None:
        yield raw
    else:
        with opener(raw) as file:
            yield file


def sentences(printed: Iterable[str]) -> Iterator[str]:
    """Running text, a line or many lines a paragraph, cut into sentences.

    A paragraph ends at a blank line, at a line that ends a sentence, and after a line so short
    that it must be a heading or its last.
    """
    paragraph = ""
    for line in printed:
        line = " ".join(line.split())
        paragraph = f"{paragraph} {line}".strip()
        if len(line) < _HEADING or (_ends(paragraph) or [0])[-1] == len(paragraph):
            yield from _split(paragraph)
            paragraph = ""
    yield from _split(paragraph)


def _split(paragraph: str) -> Iterator[str]:
    ends = [*_ends(paragraph), len(paragraph)]
    for begin, end in zip([0, *ends], ends, strict=False):
        if sentence := paragraph[begin:end].strip():
            yield sentence


def _ends(paragraph: str) -> list[int]:
    """Where sentences end in a text with single spaces.

    Not after an abbreviation or an initial; nor where a small letter goes on, as in “Oh!” said he.
    """
    found = []
    for mark in _MARK.finditer(paragraph):
        goes_on = paragraph[mark.end() + 1 : mark.end() + 2].islower() and ";" not in mark[0]
        if not goes_on and not _SHORT.search(paragraph[max(0, mark.start() - 9) : mark.end()]):
            found.append(mark.end())
    return found
