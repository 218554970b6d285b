"""Pictures as arrays: a spectrogram with what was heard in it.

matplotlib is imported when a picture is drawn, not before, and without pyplot: no window
system, no global state, safe in threads.
"""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from src.utils.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 120
ROW_S = 4.0  # at most so many seconds side by side: letters stay readable
MAX_ROWS = 10  # an hour must still fit into memory; its rows are longer
INK, QUIET = "#1b1f24", "#8b949e"

Tokens = Sequence[tuple[str, float]]


def spectrogram_with_tokens(
    features: np.ndarray,
    hop_s: float,
    tokens: Tokens,
    title: str = "",
    posteriors: np.ndarray | None = None,
    frame_s: float | None = None,
    symbols: Sequence[str] | None = None,
) -> np.ndarray:
    """The features of one utterance over time, each decoded token above the moment it is heard.

    Long utterances break into rows of at most 4 s, as music does.

    Args:
        features: (T, F), low frequencies first, without padding.
        hop_s: seconds from one feature frame to the next.
        tokens: (symbol, time in seconds) in order of time; a space is drawn as ␣.
        title: any text in a monospaced font, also of several lines
            ("reference  left\\nheard      left").
        posteriors: (T_out, V) probabilities 0 … 1 of the emitted frames, blank in column 0.
        frame_s: seconds from one emitted frame to the next; needed with `posteriors`.
        symbols: name of each column of `posteriors`, written at its peaks.

    Returns:
        (H, W, 3) uint8; H grows with the duration.
    """
    if posteriors is not None and frame_s is None:
        raise ValueError("posteriors need frame_s, the seconds between two of their rows")
    duration_s = max(len(features), 1) * hop_s
    n_rows = min(math.ceil(duration_s / ROW_S), MAX_ROWS)
    heights = [2.6] if posteriors is None else [2.6, 1.1]  # inches
    width = 12.0 if duration_s > 2.5 else 8.0
    figure = new_figure(width, n_rows * (sum(heights) + 0.6) + 0.9)
    panels = figure.subplots(n_rows * len(heights), height_ratios=heights * n_rows, squeeze=False)
    contrast = _contrast(features)
    inside = [(symbol, min(time_s, duration_s)) for symbol, time_s in tokens]
    for row, axes in enumerate(panels.reshape(n_rows, len(heights))):
        span_s = (duration_s * row / n_rows, duration_s * (row + 1) / n_rows)
        _draw_features(axes[0], features, hop_s, contrast)
        here = [t for t in inside if row == min(int(t[1] / duration_s * n_rows), n_rows - 1)]
        _draw_tokens(axes[0], here, span_s)
        if posteriors is not None:
            _draw_posteriors(axes[1], posteriors, frame_s, symbols)
            axes[0].tick_params(labelbottom=False)
        for panel in axes:
            panel.set_xlim(*span_s)
    panels[-1, 0].set_xlabel("time, s")
    _set_title(figure, title)
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


def _contrast(features: np.ndarray) -> tuple[float, float]:
    """The values drawn black and brightest; a few outliers must not darken the rest."""
    finite = features[np.isfinite(features)]
    if finite.size == 0:
        return 0.0, 1.0
    low, high = np.percentile(finite, [2, 99.7])
    return float(low), float(max(high, low + 1e-6))


def _draw_features(
    axes: "Axes", features: np.ndarray, hop_s: float, contrast: tuple[float, float]
) -> None:
    axes.imshow(
        features.T,
        origin="lower",
        aspect="auto",
        extent=(0.0, max(len(features), 1) * hop_s, 0.0, float(features.shape[1])),
        cmap="magma",
        vmin=contrast[0],
        vmax=contrast[1],
        interpolation="nearest",
    )
    axes.set_ylabel("feature bin")
    axes.spines[:].set_visible(False)
    axes.tick_params(color=QUIET, labelcolor=INK)


def _draw_tokens(axes: "Axes", tokens: Tokens, span_s: tuple[float, float]) -> None:
    """A mark at each token's time and the token above it, moved aside where it is crowded."""
    row_s = span_s[1] - span_s[0]
    # A character is some 0.7 of its font size wide; the axis fills the figure but its margins.
    points = (axes.figure.get_figwidth() - 0.8) * 72
    shown = [_shown(symbol) for symbol, _ in tokens]
    n_characters = sum(len(symbol) + 0.5 for symbol in shown)
    font_size = min(10.0, points / (0.7 * max(n_characters, 1)))
    widths_s = [0.7 * font_size * (len(s) + 0.5) * row_s / points for s in shown]
    centres_s = spread([time_s for _, time_s in tokens], widths_s, *span_s)
    for symbol, (_, time_s), centre_s in zip(shown, tokens, centres_s, strict=True):
        axes.axvline(time_s, color="white", alpha=0.3, linewidth=0.8)
        axes.annotate(
            symbol,
            xy=(time_s, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(centre_s, 1.05),
            textcoords=("data", "axes fraction"),
            ha="center",
            va="bottom",
            fontsize=font_size,
            color=QUIET if symbol == "␣" else INK,
            arrowprops={"arrowstyle": "-", "color": QUIET, "linewidth": 0.6, "shrinkA": 0},
            parse_math=False,  # a "$" is a character here
            annotation_clip=False,
        )


def spread(
    centres: Sequence[float], widths: Sequence[float], start: float, end: float
) -> list[float]:
    """New centres, in the same order, whose labels don't overlap and stay in start … end.

    Labels move right as far as the one before pushes them, then left from the end; where
    their widths sum to more than the room, the first ones stick out before `start`.
    """
    lefts, edge = [], start
    for centre, width in zip(centres, widths, strict=True):
        lefts.append(max(centre - width / 2, edge))
        edge = lefts[-1] + width
    edge = end
    for i in reversed(range(len(lefts))):
        lefts[i] = min(lefts[i], edge - widths[i])
        edge = lefts[i]
    return [left + width / 2 for left, width in zip(lefts, widths, strict=True)]


def _draw_posteriors(
    axes: "Axes", posteriors: np.ndarray, frame_s: float, symbols: Sequence[str] | None
) -> None:
    """Blank as a dotted line, every token that leads somewhere in a colour of its own."""
    from matplotlib import colormaps

    times_s = (np.arange(len(posteriors)) + 0.5) * frame_s
    axes.plot(times_s, posteriors[:, 0], color=QUIET, linewidth=1.0, linestyle=":")
    for token, peaks in _peaks(posteriors).items():
        colour, values = colormaps["tab10"](token % 10), posteriors[:, token]
        axes.plot(times_s, values, color=colour, linewidth=1.4)
        axes.fill_between(times_s, values, color=colour, alpha=0.15, linewidth=0)
        for peak in peaks if symbols is not None else ():
            place = {"ha": "center", "va": "bottom", "clip_on": True, "parse_math": False}
            name = _shown(symbols[token])
            axes.text(times_s[peak], values[peak] + 0.03, name, color=colour, fontsize=8, **place)
    axes.set_ylim(0, 1.02 if symbols is None else 1.28)
    axes.set_yticks([0, 0.5, 1])
    axes.set_ylabel("probability")
    axes.spines[["top", "right"]].set_visible(False)


def _peaks(posteriors: np.ndarray) -> dict[int, list[int]]:
    """The frame of the maximum of every stretch in which one token, not the blank, leads."""
    leaders = posteriors.argmax(1) if len(posteriors) else np.zeros(0, int)
    peaks: dict[int, list[int]] = {}
    for stretch in np.split(np.arange(len(leaders)), np.flatnonzero(np.diff(leaders)) + 1):
        token = int(leaders[stretch[0]]) if len(stretch) else 0
        if token != 0:
            peak = int(stretch[posteriors[stretch, token].argmax()])
            peaks.setdefault(token, []).append(peak)
    return peaks


def _shown(symbol: str) -> str:
    return "␣" if symbol == " " else symbol


def _set_title(figure: "Figure", title: str) -> None:
    """Left-aligned; what does not fit continues under the line's second column."""
    n_characters = int((figure.get_figwidth() - 0.4) * 72 / 6.1)
    lines = []
    for line in title.splitlines():
        indent = " " * (len(line) - len(line.split("  ", 1)[-1].lstrip()))
        lines += textwrap.wrap(
            line, n_characters, subsequent_indent=indent, drop_whitespace=True
        ) or [""]
    if lines:
        figure.suptitle(
            "\n".join(lines),
            x=0.01,
            ha="left",
            fontsize=10,
            family="monospace",
            color=INK,
            parse_math=False,
        )
