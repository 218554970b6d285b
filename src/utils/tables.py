"""Plain-text tables and percentages for people; no colours, no boxes."""

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence

_NUMERIC = re.compile(r"[-−+]?[\d,]*\.?\d+(e[-+]?\d+)?( %( \[.*\])?)?|n/a|nan|-?inf|–|", re.I)


def table(rows: Iterable[Sequence[object]], header: Sequence[str]) -> str:
    """Columns aligned by two spaces under a ruled header; numbers to the right.

    Args:
        rows: cells of any type, as many a row as `header` has; line breaks become spaces.
        header: column titles.

    Returns:
        Lines joined by newlines, none at the end, no trailing spaces.
    """
    cells = [[" ".join(str(cell).split("\n")) for cell in row] for row in rows]
    columns = list(zip(header, *cells, strict=True))
    widths = [max(map(_width, column)) for column in columns]
    to_right = [all(_NUMERIC.fullmatch(c) for c in column[1:]) for column in columns]
    lines = [header, ["─" * width for width in widths], *cells]
    return "\n".join(_line(line, widths, to_right) for line in lines)


def counted(n: int, thing: str, things: str = "") -> str:
    """`1 utterance`, `1,260 utterances`: `things` is for what takes more than an s, `batches`."""
    return f"{n:,} {thing if n == 1 else things or f'{thing}s'}"


def rounded(value: float) -> str:
    """Four significant digits, as `1.234`, `124,600`."""
    return f"{float(f'{value:.4g}'):,.15g}"


def percent(rate: float, interval: tuple[float, float] | None = None) -> str:
    """A fraction as `12.3 %`, with its confidence interval `12.3 % [11.0, 13.6]`; NaN is n/a."""
    if math.isnan(rate):
        return "n/a"
    text = f"{100 * rate:.1f} %"
    if interval is None or any(map(math.isnan, interval)):
        return text
    return f"{text} [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"


def _line(cells: Sequence[str], widths: list[int], to_right: list[bool]) -> str:
    padded = []
    for cell, width, right in zip(cells, widths, to_right, strict=True):
        space = " " * (width - _width(cell))
        padded.append(space + cell if right else cell + space)
    return "  ".join(padded).rstrip()


def _width(text: str) -> int:
    """Terminal columns: wide characters take two, combining marks none."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )
