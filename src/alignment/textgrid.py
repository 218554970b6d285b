"""Interval tiers as Praat reads them: the long text format of a TextGrid, in UTF-8.

https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html
"""

from collections.abc import Mapping, Sequence

from src.alignment.intervals import Interval


def textgrid(tiers: Mapping[str, Sequence[Interval]], duration_s: float) -> str:
    """The text of a TextGrid file; what no interval covers becomes an empty one.

    Args:
        tiers: name → intervals in order of time, none beyond another or beyond `duration_s`.
        duration_s: of the recording, more than 0.
    """
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', ""]
    lines += ["xmin = 0", f"xmax = {_number(duration_s)}", "tiers? <exists>"]
    lines += [f"size = {len(tiers)}", "item []:"]
    for n, (name, intervals) in enumerate(tiers.items(), 1):
        covered = without_gaps(intervals, duration_s)
        lines += [f"    item [{n}]:", '        class = "IntervalTier"']
        lines += [f"        name = {_quoted(name)}", "        xmin = 0"]
        lines += [f"        xmax = {_number(duration_s)}"]
        lines += [f"        intervals: size = {len(covered)}"]
        for k, (label, start_s, end_s) in enumerate(covered, 1):
            lines += [f"        intervals [{k}]:", f"            xmin = {_number(start_s)}"]
            lines += [f"            xmax = {_number(end_s)}"]
            lines += [f"            text = {_quoted(label)}"]
    return "\n".join(lines) + "\n"


def without_gaps(
    intervals: Sequence[Interval], duration_s: float
) -> list[tuple[str, float, float]]:
    """(label, start_s, end_s) one after another from 0 to the end, "" where nobody speaks."""
    covered, reached_s = [], 0.0
    for label, start_s, end_s, _ in intervals:
        if start_s > reached_s:
            covered.append(("", reached_s, start_s))
        covered.append((label, start_s, end_s))
        reached_s = end_s
    if reached_s < duration_s or not covered:
        covered.append(("", reached_s, duration_s))
    return covered


def _number(seconds: float) -> str:
    """Microseconds are enough; never as 1e-05, which not every reader understands."""
    return f"{seconds:.6f}".rstrip("0").rstrip(".")


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
