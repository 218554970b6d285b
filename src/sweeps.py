"""The trials of a sweep: where each lies, how it went, what is still to do.

A trial is a run folder named after its overrides, so that the same command finds it again and a
longer one only adds to the sweep. Beside what every run leaves it has trial.json: its overrides,
and the line that told why it failed.
"""

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from src.utils.command_line import WHERE, key_and_value, of_the_run
from src.utils.errors import UserError
from src.utils.files import read_object, write_json
from src.utils.tables import table

FILE = "trial.json"
LONGEST = 60  # characters of the overrides in a folder's name
SHOWN = 70  # characters of an error in the table


@dataclass(frozen=True)
class Trial:
    """How one trial went, or how far it has come."""

    folder: Path
    overrides: dict[str, str]
    status: str  # finished, unfinished or failed
    metric: str  # which was monitored, "best" where nobody knows
    best: float | None  # lower is better
    step: int
    minutes: float | None  # of work; None where the trial was killed
    error: str = ""


def trial_name(overrides: Sequence[str]) -> str:
    """A folder's name: the last of the overrides as they are, and a checksum of them all."""
    words = of_the_run(overrides)
    checksum = hashlib.sha256("\n".join(sorted(words)).encode()).hexdigest()[:8]
    shown = ""
    for word in reversed(words):
        # No = and no comma: the name is written into overrides, such as resume=….
        piece = re.sub(r"[^\w.+-]+", "-", word.lstrip("+~"))
        if len(shown) + len(piece) < LONGEST:
            shown = f"{piece}_{shown}"
    return shown + checksum


def finished(folder: Path) -> dict[str, Any] | None:
    """The summary of a trial that came to its end; None of any other."""
    summary = read_object(folder / "summary.json")
    return summary if summary.get("finished") else None


def has_begun(folder: Path, config_yaml: str) -> bool:
    """Whether the folder holds a trial of this config, finished or to go on with.

    Raises:
        UserError: it is one of another config, such as a file in configs/ that was edited since.
    """
    earlier = folder / "config.yaml"
    if not earlier.is_file():
        return False
    values = [_flat(yaml.safe_load(text)) for text in (earlier.read_text("utf-8"), config_yaml)]
    then, now = ({k: v for k, v in of.items() if k not in WHERE} for of in values)
    differing = sorted(k for k in then.keys() | now.keys() if then.get(k) != now.get(k))
    if differing:
        key = differing[0]
        raise UserError(
            f"{folder}: holds a trial with {key}={then.get(key)}, now {key}={now.get(key)}. Choose "
            "another run_dir for the new sweep, or delete this folder."
        )
    return True


def note(folder: Path, overrides: Sequence[str], error: str = "") -> None:
    """Write a trial's overrides, and why it failed if it did."""
    write_json(folder / FILE, {"overrides": of_the_run(overrides), "error": error})


def value_of(summary: dict[str, Any]) -> float:
    """What a sweep wants low; NaN where nothing was measured."""
    best = summary.get("best")
    return math.nan if best is None else float(best)


def read_sweep(folder: Path) -> list[Trial]:
    """Every trial in a folder, the best first, those without a value last.

    Raises:
        UserError: there is none.
    """
    trials = [read_trial(path.parent) for path in sorted(folder.glob(f"*/{FILE}"))]
    if not trials:
        raise UserError(
            f"{folder}: no trial in there. Name the run_dir of a sweep: python train.py "
            "-cn=convnet --multirun run_dir=saved/seeds seed=1,2,3"
        )
    return sorted(trials, key=lambda trial: (trial.best is None, trial.best or 0, trial.folder))


def read_trial(folder: Path) -> Trial:
    """How the trial in a folder went."""
    noted, summary = read_object(folder / FILE), read_object(folder / "summary.json")
    overrides = dict(key_and_value(str(word)) for word in noted.get("overrides", []))
    metric, best, step = _best_kept(folder)
    error = str(noted.get("error", ""))
    status = "failed" if error else "finished" if summary.get("finished") else "unfinished"
    if not summary:
        return Trial(folder, overrides, status, metric, best, step, None, error)
    metric = str(summary.get("monitored") or metric)
    measured = value_of(summary)
    best = None if math.isnan(measured) else measured
    minutes = summary.get("wall_s", 0.0) / 60
    return Trial(folder, overrides, status, metric, best, summary["step"], minutes, error)


def varied(trials: Sequence[Trial]) -> list[str]:
    """Overridden keys in which trials differ, in the order of the command line."""
    keys = dict.fromkeys(key for trial in trials for key in trial.overrides)
    return [key for key in keys if len({trial.overrides.get(key) for trial in trials}) > 1]


def sweep_table(trials: Sequence[Trial]) -> str:
    """One line a trial: what it was asked, its best value, steps, minutes, status."""
    keys = varied(trials)
    metric = next((trial.metric for trial in trials if trial.metric != "best"), "best")
    rows = [
        [
            *(trial.overrides.get(key, "") for key in keys),
            "–" if trial.best is None else f"{trial.best:.4f}",
            f"{trial.step:,}",
            "–" if trial.minutes is None else f"{trial.minutes:.1f}",
            f"{trial.status}: {trial.error[:SHOWN]}" if trial.error else trial.status,
        ]
        for trial in trials
    ]
    return table(rows, [*keys, metric, "steps", "minutes", "status"])


def _best_kept(folder: Path) -> tuple[str, float | None, int]:
    """Metric, best value and step by the names of the checkpoints kept: a killed run has these."""
    found = []
    for path in folder.glob("checkpoints/top_*=*_step=*.pt"):
        if match := re.fullmatch(r"top_(.+)=([-\d.]+)_step=(\d+)", path.stem):
            found.append((float(match[2]), int(match[3]), match[1]))
    if not found:
        return "best", None, 0
    value, _, name = min(found)
    return name, value, max(step for _, step, _ in found)


def _flat(node: Any, name: str = "") -> dict[str, Any]:
    """Dotted keys of a config to its values."""
    if not isinstance(node, dict):
        return {name: node}
    inner = [_flat(value, f"{name}.{key}" if name else str(key)) for key, value in node.items()]
    return {key: value for found in inner for key, value in found.items()}
