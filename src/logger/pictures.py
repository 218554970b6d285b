"""Pictures as arrays: a spectrogram with what was heard in it.

matplotlib is imported when a picture is drawn, not before, and without pyplot: no window
system, no global state, safe in threads.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from src.utils.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 120
INK, QUIET = "#1b1f24", "#8b949e"


def spectrogram_with_tokens(
    features: np.ndarray,
    hop_s: float,
    tokens: Sequence[tuple[str, float]],
    title: str = "",
    posteriors: np.ndarray | None = None,
    frame_s: float | None = None,
    symbols: Sequence[str] = (),
) -> np.ndarray:
    """The features of one utterance over time, each decoded token above the moment it is heard.

    Args:
        features: (T, F), low frequencies first, without padding.
        hop_s: seconds from one feature frame to the next.
        tokens: (symbol, time in seconds) in order of time; a space is drawn as ␣.
        title: any text, also of several lines ("reference …\\nheard …").
        posteriors: (T_out, V) probabilities 0 … 1 of the emitted frames, blank in column 0.
        frame_s: seconds from one emitted frame to the next; needed with `posteriors`.
        symbols: the V symbols, to label the posteriors' curves; may be empty.

    Returns:
        (H, W, 3) uint8; W grows with the duration.
    """
    duration_s = max(len(features), 1) * hop_s
    figure = new_figure(width=min(max(8.0, 2.2 + duration_s * 2.4), 40.0), height=4.0)
    if posteriors is None:
        picture = figure.subplots()
        bottom = picture
    else:
        if frame_s is None:
            raise ValueError("posteriors need frame_s, the seconds between two of their rows")
        figure.set_figheight(5.6)
        picture, bottom = figure.subplots(2, sharex=True, height_ratios=[2, 1])
        _draw_posteriors(bottom, posteriors, frame_s, symbols)
    _draw_features(picture, features, duration_s)
    _draw_tokens(picture, tokens, duration_s)
    _set_title(figure, title)
    bottom.set_xlabel("time, s")
    return to_rgb(figure)


def save_png(picture: "np.ndarray | Figure", path: str | Path) -> None:
    """Write a picture, (H, W, 3) uint8 or a matplotlib figure, atomically as PNG.

    Raises:
        UserError: the folder can't be written or the disk is full.
    """
    from PIL import Image

    rgb = picture if isinstance(picture, np.ndarray) else to_rgb(picture)
    with atomic_write(path) as file:
        Image.fromarray(rgb).save(file, format="PNG")


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure of that many inches, white, with room for its labels."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, facecolor="white", layout="constrained")


def to_rgb(figure: "Figure") -> np.ndarray:
    """What the figure looks like, (H, W, 3) uint8."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _draw_features(axes: "Axes", features: np.ndarray, duration_s: float) -> None:
    finite = features[np.isfinite(features)]
    low, high = np.percentile(finite, [2, 99.7]) if finite.size else (0.0, 1.0)
    extent = (0.0, duration_s, 0.0, float(features.shape[1]))
    axes.imshow(
        features.T,
        origin="lower",
        aspect="auto",
        extent=extent,
        cmap="magma",
        vmin=low,
        vmax=max(high, low + 1e-6),
        interpolation="nearest",
    )
    axes.set_ylabel("feature bin")
    axes.spines[:].set_visible(False)
    axes.tick_params(color=QUIET, labelcolor=INK)


def _draw_tokens(axes: "Axes", tokens: Sequence[tuple[str, float]], duration_s: float) -> None:
    """A mark at each token's time and the token above it, pushed right where it is crowded."""
    width_s = _seconds_per_character(axes, duration_s)
    rows_end = [-np.inf, -np.inf]  # where the last token of either row ends
    for symbol, time_s in tokens:
        shown = "␣" if symbol == " " else symbol
        needed_s = (len(shown) + 0.6) * width_s
        row = 0 if time_s - needed_s / 2 >= rows_end[0] or rows_end[0] <= rows_end[1] else 1
        rows_end[row] = max(time_s - needed_s / 2, rows_end[row]) + needed_s
        centre_s = rows_end[row] - needed_s / 2
        axes.axvline(time_s, color="white", alpha=0.35, linewidth=0.8)
        axes.annotate(
            shown,
            xy=(time_s, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(centre_s, 1.035 + 0.085 * row),
            textcoords=("data", "axes fraction"),
            ha="center",
            va="bottom",
            fontsize=10,
            color=QUIET if shown == "␣" else INK,
            arrowprops={"arrowstyle": "-", "color": QUIET, "linewidth": 0.6, "shrinkA": 0},
            parse_math=False,
            annotation_clip=False,
        )


def _seconds_per_character(axes: "Axes", duration_s: float) -> float:
    """How much of the time axis a 10-point character takes (7 points wide, margins off)."""
    axis_inches = axes.figure.get_figwidth() - 0.8
    return 7.0 / 72 * duration_s / axis_inches


def _draw_posteriors(
    axes: "Axes", posteriors: np.ndarray, frame_s: float, symbols: Sequence[str]
) -> None:
    """Blank as a grey line, every symbol that ever leads as a coloured one with its name."""
    times_s = (np.arange(len(posteriors)) + 0.5) * frame_s
    axes.plot(times_s, posteriors[:, 0], color=QUIET, linewidth=1.0, linestyle=":")
    leaders = np.unique(posteriors.argmax(1)) if len(posteriors) else np.array([], int)
    for token in leaders[leaders > 0]:
        curve = posteriors[:, token]
        (line,) = axes.plot(times_s, curve, linewidth=1.6)
        axes.fill_between(times_s, curve, alpha=0.15, color=line.get_color())
    axes.set_ylim(0, 1.02)
    axes.set_ylabel("probability")
    axes.spines[["top", "right"]].set_visible(False)


def _set_title(figure: "Figure", title: str) -> None:
    if title:
        figure.suptitle(
            title, x=0.01, ha="left", fontsize=11, color=INK, wrap=True, parse_math=False
        )
