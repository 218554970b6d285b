"""The curves of a run, drawn from its log.jsonl."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from src.logger.jsonl import read_log
from src.logger.pictures import INK, QUIET, new_figure, to_rgb

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def training_curves(jsonl_path: str | Path) -> np.ndarray:
    """Losses, error rates and the learning rate of a log.jsonl over the steps, (H, W, 3) uint8.

    Raises:
        UserError: there is no such file.
    """
    curves: dict[str, dict[int, float]] = {}
    for event in read_log(jsonl_path):
        for name, value in event.items():
            if "/" in name and isinstance(value, int | float | str):
                curves.setdefault(name, {})[event["step"]] = _number(value)
    groups = _grouped(curves)
    figure = new_figure(width=4.6 * max(len(groups), 1), height=3.6)
    panels = figure.subplots(1, max(len(groups), 1), squeeze=False)[0]
    for axes, (label, names) in zip(panels, groups.items(), strict=False):
        _draw_curves(axes, label, {name: curves[name] for name in names})
    if not groups:
        panels[0].text(0.5, 0.5, "nothing logged yet", ha="center", color=QUIET)
    return to_rgb(figure)


def _number(value: float | str) -> float:
    try:
        return float(value)
    except ValueError:
        return float("nan")


def _grouped(curves: dict[str, dict[int, float]]) -> dict[str, list[str]]:
    """Names by panel, in this order: loss, error rate, learning rate; empty panels left out."""
    panels: dict[str, list[str]] = {"loss": [], "error rate, %": [], "learning rate": []}
    for name in sorted(curves):
        last = name.rsplit("/", 1)[-1]
        if "loss" in last:
            panels["loss"].append(name)
        elif last in ("lr", "learning_rate"):
            panels["learning rate"].append(name)
        elif last.split("_")[0] in ("wer", "cer", "per") or last.endswith(("_wer", "_cer", "_per")):
            panels["error rate, %"].append(name)
    return {label: names for label, names in panels.items() if names}


def _draw_curves(axes: "Axes", label: str, curves: dict[str, dict[int, float]]) -> None:
    factor = 100 if label.endswith("%") else 1
    for name, points in curves.items():
        steps = sorted(points)
        values = [factor * points[step] for step in steps]
        few = len(steps) <= 40
        axes.plot(steps, values, label=name, linewidth=1.5, marker="o" if few else "", markersize=3)
    axes.set_title(label, loc="left", fontsize=11, color=INK)
    axes.set_xlabel("step")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)
