"""What a corpus holds, in a table, as JSON and as a picture."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from src.datasets.corpora.listing import SPLITS, Flaw, Row
from src.logger.pictures import new_figure, to_rgb
from src.utils.tables import counted, table

COLOURS = {"train": "#4c78a8", "validation": "#f2a541", "test": "#b5485d"}
N_BINS = 40


def summarise(rows: Sequence[Row], rejected: Sequence[Flaw]) -> dict[str, Any]:
    """Hours, speakers and durations of each split, characters, and rejections by reason."""
    letters = Counter(letter for row in rows for letter in row.text)
    reasons = Counter(flaw.reason for flaw in rejected)
    return {
        "splits": {split: _numbers(_of(rows, split)) for split in SPLITS if _of(rows, split)},
        "characters": dict(letters.most_common()),
        "rejected": dict(reasons.most_common()),
    }


def report(summary: dict[str, Any], rejected: Sequence[Flaw]) -> str:
    """The summary for people."""
    header = ("split", "utterances", "hours", "speakers", "shortest s", "median s", "longest s")
    lines = [table([_told(*item) for item in summary["splits"].items()], header)]
    letters = "".join(summary["characters"])
    lines += ["", f"{counted(len(letters), 'character')}, the commonest first: {letters}"]
    first = {flaw.reason: flaw for flaw in reversed(rejected)}
    reasons = [
        (f"{n:,}", reason, first[reason].id, _cut(first[reason].explanation))
        for reason, n in summary["rejected"].items()
    ]
    if reasons:
        lines += ["", table(reasons, ("left out", "why", "first", ""))]
    return "\n".join(lines)


def histogram(rows: Sequence[Row], title: str) -> np.ndarray:
    """How many utterances last how long, the splits on top of each other, (H, W, 3) uint8."""
    figure = new_figure(7, 3.6)
    axes = figure.subplots()
    there = [split for split in SPLITS if _of(rows, split)]
    axes.hist(
        [_seconds(_of(rows, split)) for split in there],
        bins=N_BINS,
        stacked=True,
        label=there,
        color=[COLOURS[split] for split in there],
    )
    axes.set_xlabel("duration, s")
    axes.set_ylabel("utterances")
    axes.set_title(title, loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9, loc="upper right")
    return to_rgb(figure)


def _of(rows: Sequence[Row], split: str) -> list[Row]:
    return [row for row in rows if row.split == split]


def _seconds(rows: Sequence[Row]) -> np.ndarray:
    return np.array([row.duration_s for row in rows])


def _numbers(rows: Sequence[Row]) -> dict[str, float | int | None]:
    seconds = _seconds(rows)
    return {
        "utterances": len(rows),
        "hours": round(float(seconds.sum()) / 3600, 4),
        "speakers": len({row.speaker for row in rows if row.speaker}) or None,
        "shortest_s": round(float(seconds.min()), 3),
        "median_s": round(float(np.median(seconds)), 3),
        "longest_s": round(float(seconds.max()), 3),
    }


def _told(split: str, numbers: dict[str, Any]) -> tuple[str, ...]:
    lengths = [f"{numbers[key]:.1f}" for key in ("shortest_s", "median_s", "longest_s")]
    speakers = "–" if numbers["speakers"] is None else f"{numbers['speakers']:,}"
    return (split, f"{numbers['utterances']:,}", f"{numbers['hours']:.2f}", speakers, *lengths)


def _cut(text: str, length: int = 240) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
