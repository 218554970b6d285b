"""Pictures drawn as SVG: they take the page's colours, by day and by night, and any width."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scripts.reporting.markup import Markup, join, tag
from scripts.reporting.scores import NOTHING, Confusions
from src.utils.tables import counted

WIDTH, HEIGHT = 420, 260  # units of the drawing: about pixels on a phone
LEFT, RIGHT, TOP, BOTTOM = 52, 24, 10, 40
MOST_POINTS = 1000  # of one curve; more are drawn as the least and the greatest of each stretch
LARGEST = 1e30  # beyond it lies nothing that anybody would want to see
N_COLOURS = 8  # of style.css: c0 … c7
CELL = 17  # of the heat map
MARGIN = 3  # cells for the names of rows and columns
MOST_SYMBOLS = 48  # of the heat map, those with the most errors


@dataclass(frozen=True)
class Series:
    """One curve."""

    label: str
    colour: int  # which run's
    points: Sequence[tuple[int, float]]  # (step, value), in order of the steps
    dashed: bool = False
    marked: bool = False  # few points that count each: validations

    @property
    def style(self) -> str:
        """Classes of style.css."""
        return f"c{self.colour % N_COLOURS}" + (" dashed" if self.dashed else "")


def line_chart(title: str, series: Sequence[Series], unit: str) -> Markup:
    """Curves over optimizer steps with a legend and, folded, the numbers behind them."""
    shown = [(s, thinned(finite(s.points))) for s in series]
    values = [value for _, points in shown for _, value in points]
    steps = [step for _, points in shown for step, _ in points]
    if not values:
        return tag("figure", tag("figcaption", title), tag("p", "No finite value was logged."))
    x_ticks, y_ticks = ticks(0, max(steps)), ticks(min(0.0, *values), max(values))
    place = _Placed(x_ticks[-1], y_ticks[0], y_ticks[-1])
    drawing = tag(
        "svg",
        tag("title", f"{title}: {described(series, unit)}"),
        *_grid(place, x_ticks, y_ticks),
        *(_curve(s, points, place) for s, points in shown if points),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        class_="chart",
    )
    caption = tag("figcaption", title, tag("span", f" {unit}", class_="quiet"))
    return tag("figure", caption, drawing, legend(series))


def described(series: Sequence[Series], unit: str) -> str:
    """What a picture of the curves shows, in words: from which value to which."""
    parts = []
    for s in series:
        points = finite(s.points)
        if points:
            (first, begin), (last, end) = points[0], points[-1]
            parts.append(
                f"{s.label} from {number(begin)} at step {first:,} to {number(end)} {unit} "
                f"at step {last:,}, least {number(min(value for _, value in points))}"
            )
    return "; ".join(parts)


def legend(series: Sequence[Series]) -> Markup:
    """Which colour and which line is whose."""
    items = []
    for s in series:
        line = tag("line", x1=0, y1=6, x2=26, y2=6, class_=f"curve {s.style}")
        key = tag("svg", line, viewBox="0 0 26 12", class_="key", aria_hidden="true")
        items.append(tag("li", key, s.label))
    return tag("ul", *items, class_="legend")


def finite(points: Iterable[tuple[int, float]]) -> list[tuple[int, float]]:
    """Those that can be drawn."""
    return [(step, value) for step, value in points if abs(value) < LARGEST]


def thinned(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """At most MOST_POINTS, with every peak that a narrow picture of all of them would show."""
    if len(points) <= MOST_POINTS:
        return points
    size = math.ceil(len(points) / (MOST_POINTS // 2))
    kept: list[tuple[int, float]] = []
    for start in range(0, len(points), size):
        stretch = points[start : start + size]
        ends = {min(stretch, key=lambda p: p[1]), max(stretch, key=lambda p: p[1])}
        kept += sorted(ends)
    return kept


def ticks(low: float, high: float, n: int = 5) -> list[float]:
    """Round numbers that enclose low … high, about n of them."""
    apart = high - low > 1e-12 * max(abs(low), abs(high))  # else by a float's last bits only
    span = next(s for s in ((high - low) * apart, abs(high), 1.0) if s > 1 / LARGEST)
    power = 10.0 ** math.floor(math.log10(span / n))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m * n >= span * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [i * step for i in range(first, max(last, first + 1) + 1)]


def number(value: float) -> str:
    """Four digits at most."""
    if value and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.2g}"
    return f"{value:.4g}"


def heat_map(confusions: Confusions) -> Markup:
    """What was said (rows) against what was heard instead (columns).

    The colour is the share of the times that a unit was said, or of all insertions in the last
    row; what was heard right is left out, since it would drown the rest.
    """
    errors: dict[str, int] = {}
    for (said, heard), n in confusions.errors.items():
        for unit in {said, heard} - {NOTHING}:
            errors[unit] = errors.get(unit, 0) + n
    most = sorted(errors, key=lambda unit: (-errors[unit], unit))[:MOST_SYMBOLS]
    units = [*sorted(most), NOTHING]
    column = {unit: i for i, unit in enumerate(units)}
    inserted = sum(n for (said, _), n in confusions.errors.items() if said == NOTHING)
    cells = []
    for (said, heard), n in sorted(confusions.errors.items()):
        if said in column and heard in column:
            share = n / max(1, inserted if said == NOTHING else confusions.said[said])
            cells.append(_cell(column[heard], column[said], said, heard, n, share))
    return _framed(units, cells)


def shown(unit: str) -> str:
    """A unit as people can see it."""
    return {NOTHING: "∅", " ": "␣"}.get(unit, unit)


class _Placed:
    """Where a step and a value lie in the drawing."""

    def __init__(self, last_step: float, low: float, high: float) -> None:
        self.last_step, self.low, self.high = last_step, low, high

    def x(self, step: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * step / self.last_step, 1)

    def y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share, 1)


def _grid(place: _Placed, x_ticks: list[float], y_ticks: list[float]) -> list[Markup]:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = []
    for value in y_ticks:
        y = place.y(value)
        parts.append(tag("line", x1=LEFT, x2=right, y1=y, y2=y, class_="grid"))
        parts.append(tag("text", number(value), x=LEFT - 6, y=y + 4, class_="end"))
    for step in x_ticks:
        parts.append(tag("text", f"{step:,.10g}", x=place.x(step), y=bottom + 18, class_="middle"))
    parts.append(tag("text", "step", x=(LEFT + right) / 2, y=HEIGHT - 4, class_="middle"))
    return parts


def _curve(series: Series, points: list[tuple[int, float]], place: _Placed) -> Markup:
    places = [(place.x(step), place.y(value)) for step, value in points]
    line = " ".join(f"{x:g},{y:g}" for x, y in places)
    parts = [tag("polyline", points=line, class_=f"curve {series.style}")]
    if series.marked or len(points) == 1:
        for (x, y), (step, value) in zip(places, points, strict=True):
            told = tag("title", f"{series.label}: {number(value)} at step {step:,}")
            parts.append(tag("circle", told, cx=x, cy=y, r=3, class_=series.style))
    return join(*parts)


def _cell(x: int, y: int, said: str, heard: str, n: int, share: float) -> Markup:
    told = tag(
        "title", f"{shown(said)} → {shown(heard)}: {counted(n, 'time')}, {100 * share:.1f} %"
    )
    left, top = (x + MARGIN) * CELL, (y + MARGIN) * CELL
    at = {"x": left, "y": top, "width": CELL - 1, "height": CELL - 1}
    # The square root: else one frequent confusion would leave the others invisible.
    return tag("rect", told, **at, class_="heat", fill_opacity=f"{0.08 + 0.92 * share**0.5:.3f}")


def _framed(units: list[str], cells: list[Markup]) -> Markup:
    side = (len(units) + MARGIN) * CELL
    names = []
    for i, unit in enumerate(units):
        begin, middle = (i + MARGIN) * CELL, (i + MARGIN + 0.5) * CELL
        names.append(tag("text", shown(unit)[:3], x=MARGIN * CELL - 4, y=middle + 4, class_="end"))
        names.append(tag("text", shown(unit)[:3], x=middle, y=MARGIN * CELL - 5, class_="middle"))
        at = {"x": begin, "y": begin, "width": CELL - 1, "height": CELL - 1}
        names.append(tag("rect", **at, class_="right"))
    title = f"Confusions of {len(units) - 1} units; the table beside lists the most frequent."
    return tag(
        "svg",
        tag("title", title),
        tag("text", "heard", x=side / 2 + CELL, y=12, class_="middle"),
        tag("text", "said", x=10, y=side / 2 + CELL, class_="middle upright"),
        *names,
        *cells,
        viewBox=f"0 0 {side} {side}",
        width=side,
        height=side,
        role="img",
        class_="map",
    )
