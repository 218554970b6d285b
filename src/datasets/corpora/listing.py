"""What the list of a corpus says, row by row, whatever its layout.

A corpus is a function that yields a `Row` for each recording with a transcript and a `Flaw` for
each line that is none; a flaw never ends a run.
"""

import codecs
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from src.datasets.files import safe_name
from src.datasets.rejections import LISTED_TWICE
from src.utils.errors import UserError
from src.utils.tables import counted

SPLITS = ("train", "validation", "test")
ALL = "all"  # in place of a split: whatever there is
NOT_UTF8 = "whose transcript is not UTF-8 text"
MALFORMED = "malformed"


class Row(NamedTuple):
    """A recording, or a part of one, and what is said in it."""

    id: str
    path: str  # below the corpus's root, or absolute
    text: str
    speaker: str = ""  # "" where unknown
    split: str = ""  # one of SPLITS where the corpus tells, else ""
    start_s: float | None = None  # None is the whole file
    duration_s: float | None = None  # None where the list doesn't tell


class Flaw(NamedTuple):
    """A line that gives no row, and why."""

    id: str
    reason: str
    explanation: str = ""
    speaker: str = ""
    split: str = ""


class Listing(NamedTuple):
    """All rows of a corpus, each id once and safe as a file name, and all that is wrong."""

    rows: list[Row]
    flaws: list[Flaw]


def listed(found: Iterable[Row | Flaw]) -> Listing:
    """Sort rows from flaws; a second row of an id, or text or path that can't be, is a flaw."""
    listing = Listing([], [])
    taken: dict[str, str] = {}  # key → id as the corpus writes it
    for item in found:
        if isinstance(item, Flaw):
            listing.flaws.append(item)
            continue
        row = item._replace(id=safe_name(item.id), text=" ".join(item.text.split()))
        key = row.id.casefold()  # predictions are files of this name
        if key in taken:
            same = taken[key] == item.id
            told = "" if same else f"{item.id} and {taken[key]} would be one file name"
            listing.flaws.append(flaw_of(row, LISTED_TWICE, told))
        elif not _is_text(row.text):
            listing.flaws.append(flaw_of(row, NOT_UTF8))
        elif "\0" in row.path:  # which the system refuses as no path at all
            listing.flaws.append(flaw_of(row, MALFORMED, "a zero byte in its path"))
        else:
            listing.rows.append(row)
        taken.setdefault(key, item.id)
    return listing


def flaw_of(row: Row, reason: str, explanation: str = "") -> Flaw:
    """A row that proved useless."""
    return Flaw(row.id, reason, explanation, row.speaker, row.split)


@contextmanager
def open_list(path: Path, newline: str | None = None) -> Iterator[IO[str]]:
    """A list as text: UTF-8, or UTF-16 where it begins with a mark of byte order.

    Bytes that are not UTF-8 come as lone surrogates, so that they cost their row, not the file.

    Raises:
        UserError: it can't be read, or is damaged UTF-16.
    """
    try:
        with path.open("rb") as file:
            head = file.read(2)
        encoding = "utf-16" if head in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
        with path.open(encoding=encoding, errors="surrogateescape", newline=newline) as file:
            yield file
    except (OSError, UnicodeError) as error:
        raise UserError(
            f"{path}: could not be read as text ({error}). Save it as UTF-8, or take the corpus's "
            "own file again."
        ) from error


def lines_of(path: Path, fallback: str | None = None) -> list[str]:
    """The lines of a small list, stripped, without blank ones.

    Args:
        fallback: encoding of a file that is not UTF-8 as a whole, such as "latin-1".
    """
    return list(numbered_lines(path, fallback).values())


def numbered_lines(path: Path, fallback: str | None = None) -> dict[int, str]:
    """The same with the number of each, from 1 up."""
    with open_list(path) as file:
        text = file.read()
    if fallback is not None and not _is_text(text):
        text = re.sub(r"\r\n?", "\n", path.read_bytes().decode(fallback))
    return {i: line.strip() for i, line in enumerate(text.split("\n"), 1) if line.strip()}


def table_of(path: Path, needed: Iterable[str]) -> Iterator[dict[str, str] | Flaw]:
    """Each line of a tab-separated list as column → value; quotes mean nothing.

    Raises:
        UserError: the first line lacks a column that is needed.
    """
    return (line for _, line in numbered_table(path, needed))


def numbered_table(
    path: Path, needed: Iterable[str]
) -> Iterator[tuple[int, dict[str, str] | Flaw]]:
    """The same with the number of each line, from 2 up; blank ones are passed over."""
    with open_list(path) as file:
        names = file.readline().rstrip("\n").split("\t")
        if missing := [name for name in needed if name not in names]:
            raise UserError(
                f"{path}: has no column {', '.join(missing)} (it has {', '.join(names)[:200]}). "
                "Expected names of columns in the first line, tabs between them."
            )
        for number, line in enumerate(file, 2):
            values = line.rstrip("\n").split("\t")
            if len(values) == len(names):
                yield number, dict(zip(names, values, strict=True))
            elif line.strip():
                told = f"{path.name} line {number}"
                explanation = f"{counted(len(values), 'column')} instead of {len(names)}"
                yield number, Flaw(told, MALFORMED, explanation)


def find_home(root: Path, mark: str, corpus: str, advice: str) -> Path:
    """The folder that has `mark`, a file or folder, in it: `root`, or one up to two below.

    Raises:
        UserError: there is none, or there are several.
    """
    depths = ("", "*/", "*/*/")
    marks = next(filter(None, (sorted(root.glob(depth + mark)) for depth in depths)), [])
    homes = [path.parents[mark.count("/")] for path in marks]
    if len(homes) == 1:
        return homes[0]
    if not homes:
        raise UserError(
            f"{root.resolve()}: is no {corpus}, which has {mark} in it. Set dataset.root to the "
            f"corpus. {advice}"
        )
    names = ", ".join(str(home) for home in homes[:10])
    raise UserError(f"{root}: has {len(homes)} folders with {mark} in them; name one: {names}.")


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
