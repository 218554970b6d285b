"""Results as tables for people, and as JSON with what they were measured on."""

import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.benchmarks.race import Result, Spread, ratio
from scripts.benchmarks.recipe import Recipe
from scripts.benchmarks.stopwatch import PHASES
from src.utils.files import write_json
from src.utils.provenance import git_commit
from src.utils.tables import counted, percent, table


def comparison(results: Mapping[str, Result]) -> str:
    """Speed of each, how many times faster ours is, processor time, padding, steps, memory.

    The processor time is that of trainer and workers for a second of audio. It tells more than
    the clock where other jobs share the processors.
    """
    rows = []
    for name, result in results.items():
        speed = Spread.of(result.speeds)
        times = shown(ratio(results["ours"], result), 2) if name != "ours" else "–"
        rows.append(
            (
                name,
                shown(speed, 1),
                times,
                f"{1000 * Spread.of(result.cpu).median:.1f}",
                percent(result.padding),
                result.rounds[0]["n_steps"],
                f"{result.peak_bytes / 2**30:.2f}",
            )
        )
    header = ("", "audio s/s", "ours is × faster", "CPU ms", "padding", "steps", "peak GiB")
    return table(rows, header)


def breakdown(results: Mapping[str, Result]) -> str:
    """Milliseconds for each second of audio, phase by phase."""
    rows = []
    for name, result in results.items():
        each = [1000 * result.phases[phase] / result.phases_audio_s for phase in PHASES]
        rows.append((name, *(f"{ms:.2f}" for ms in each), f"{sum(each):.2f}"))
    return table(rows, ("ms per audio second", *PHASES, "together"))


def growth(key: str, points: Mapping[str, Mapping[str, Result]]) -> str:
    """How speed and memory go with one size, ours beside the limit.

    Args:
        key: what grows.
        points: its value → results.
    """
    rows = []
    for value, results in points.items():
        ours, limit = results["ours"], results["limit"]
        step_ms = 1000 * ours.rounds[0]["seconds"] / ours.rounds[0]["n_steps"]
        rows.append(
            (
                value,
                f"{ours.facts['n_weights'] / 1e6:.1f}",
                shown(Spread.of(ours.speeds), 1),
                shown(ratio(ours, limit), 2),
                f"{step_ms:.0f}",
                f"{ours.peak_bytes / 2**30:.2f}",
            )
        )
    return table(rows, (key, "M weights", "audio s/s", "ours ÷ limit", "ms a step", "peak GiB"))


def shown(spread: Spread, digits: int) -> str:
    """`12.3 (11.9 … 12.8)`: median and range."""
    ends = f"{spread.least:.{digits}f} … {spread.most:.{digits}f}"
    return f"{spread.median:.{digits}f} ({ends})"


def title(recipe: Recipe, results: Mapping[str, Result]) -> str:
    """What was measured, in one line."""
    facts = results["ours"].facts
    return (
        f"{recipe.model}, {facts['n_weights'] / 1e6:.1f} M weights, {facts['device']}, "
        f"{recipe.precision}, {recipe.max_batch_s:g} s a batch, "
        f"{counted(recipe.n_workers, 'worker')}, {counted(recipe.n_threads, 'thread')}, "
        f"{results['ours'].rounds[0]['audio_s']:.0f} s of audio a pass"
    )


def environment() -> dict[str, Any]:
    """Command, commit and machine."""
    return {
        "command": sys.orig_argv[1:],
        "commit": git_commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
    }


def save(path: Path, measured: list[tuple[Recipe, Mapping[str, Result]]]) -> None:
    """Everything that was measured, with the machine and the commit, as JSON."""
    runs = [
        {
            "recipe": vars(recipe) | {"root": Path(recipe.root).name},
            "results": {name: result.to_dict() for name, result in results.items()},
        }
        for recipe, results in measured
    ]
    write_json(path, {"environment": environment(), "runs": runs})
