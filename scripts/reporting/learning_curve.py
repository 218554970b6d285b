"""A learning curve over hours of speech, both axes logarithmic."""

from collections.abc import Sequence

import numpy as np

from src.logger.pictures import INK, QUIET, new_figure, to_rgb
from src.metrics.learning_curve import Foretold, PowerLaw


def drawn_curve(
    name: str,
    trained: Sequence[tuple[float, float]],
    law: PowerLaw,
    foretold: Sequence[tuple[float, Foretold]],
    beside: Sequence[tuple[float, float, str]] = (),
) -> np.ndarray:
    """Dots for what was trained, a line for the law, bars for what it foretells; (H, W, 3) uint8.

    Args:
        name: of the rate.
        trained: (hours, rate) of each model.
        foretold: (hours, what to expect there).
        beside: (hours, rate, name) of others' models.
    """
    from matplotlib.ticker import LogLocator

    figure = new_figure(width=7.0, height=4.2)
    axes = figure.subplots()
    hours = [h for h, *_ in (*trained, *foretold, *beside)]
    line = np.geomspace(min(hours), max(hours), 50)
    axes.loglog(line, 100 * law.factor * line**-law.exponent, color=QUIET, linewidth=1)
    axes.plot(*zip(*((h, 100 * r) for h, r in trained), strict=True), "o", color=INK)
    for h, told in foretold:
        axes.plot([h, h], [100 * told.low, 100 * told.high], color=INK, linewidth=1.5)
        axes.plot([h], [100 * told.rate], "o", color=INK, markerfacecolor="white")
    for h, rate, who in beside:
        axes.plot([h], [100 * rate], "x", color="#c0392b")
        axes.annotate(who, (h, 100 * rate), (-4, 4), textcoords="offset points", ha="right")
    axes.set_xlabel("hours of training speech")
    axes.set_ylabel(f"{name}, %")
    ticks = sorted(set(hours))
    axes.set_xticks(ticks, [f"{h:g}" for h in ticks], minor=False)
    axes.minorticks_off()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    return to_rgb(figure)
