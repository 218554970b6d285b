"""A reader of TextGrids that knows nothing of our writer: values in the order of the format."""

import re
from typing import NamedTuple


class Tier(NamedTuple):
    name: str
    xmin: float
    xmax: float
    intervals: list[tuple[float, float, str]]


def read(text: str) -> dict[str, Tier]:
    """Tiers by name. Praat looks at numbers, "strings" and <flags> only, so does this."""
    found = re.findall(r'"(?:[^"]|"")*"|<\w+>|(?<![\w\[])-?\d+(?:\.\d+)?(?![\w\]])', text)
    values = iter(v[1:-1].replace('""', '"') if v.startswith('"') else v for v in found)
    assert [next(values) for _ in range(2)] == ["ooTextFile", "TextGrid"]
    start, end = float(next(values)), float(next(values))
    assert next(values) == "<exists>"
    tiers = {}
    for _ in range(int(next(values))):
        assert next(values) == "IntervalTier"
        name, xmin, xmax = next(values), float(next(values)), float(next(values))
        rows = [
            (float(next(values)), float(next(values)), next(values))
            for _ in range(int(next(values)))
        ]
        tiers[name] = Tier(name, xmin, xmax, rows)
        check(tiers[name], start, end)
    assert next(values, None) is None
    return tiers


def check(tier: Tier, start: float, end: float) -> None:
    """What Praat demands: from start to end, each a little long, none missing or over another."""
    assert (tier.xmin, tier.xmax) == (start, end)
    reached = start
    for xmin, xmax, _ in tier.intervals:
        assert xmin == reached < xmax
        reached = xmax
    assert reached == end
