"""A run's folder as train.py leaves it, or as a killed one does: what is there, what is missing."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from src.logger import read_log
from src.metrics import Skipped, TextPair, text_pair
from src.utils.errors import UserError
from src.utils.plain_yaml import plain_yaml

SIGNS = ("log.jsonl", "config.yaml", "checkpoints", "summary.json", "environment.json")
LONGEST_TEXT = 40_000  # characters of a config or a list of packages on the page
MOST_STEPS = 10**12
MONITORED = ("wer", "per", "cer", "loss")  # of a validation, the first that there is


@dataclass
class Run:
    """What a run folder tells."""

    path: Path
    name: str = ""  # the end of the path, as far as it differs from other runs'
    curves: dict[str, dict[int, float]] = field(default_factory=dict)  # name → step → value
    examples: list[TextPair] = field(default_factory=list)  # of the last validation
    examples_step: int = 0
    logged_s: float = 0.0  # from the first line of the log to the last
    config: dict[str, Any] = field(default_factory=dict)
    config_text: str = ""
    environment: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    commit: str = ""
    packages: str = ""
    missing: list[str] = field(default_factory=list)  # sentences
    # Filled in from the checkpoint:
    n_parameters: int | None = None
    progress: dict[str, Any] = field(default_factory=dict)

    @property
    def wall_s(self) -> float | None:
        """Seconds of work over all sittings, as well as is known."""
        counted = (self.summary.get("wall_s"), self.progress.get("wall_s"), self.logged_s)
        return next((_number(s) for s in counted if isinstance(s, int | float) and s > 0), None)

    @property
    def audio_s(self) -> float | None:
        """Seconds of speech heard in training, repeats counted; None where nobody knows."""
        told = self.summary.get("audio_s", self.progress.get("audio_s"))
        return _number(told) if isinstance(told, int | float) else None

    @property
    def n_steps(self) -> int | None:
        """Optimizer steps taken, as far as the log or the summary know."""
        logged = [step for curve in self.curves.values() for step in curve]
        told = [found.get("step") for found in (self.summary, self.progress)]
        return max([*logged, *(step for step in told if isinstance(step, int))], default=None)

    def best(self) -> tuple[str, float, int] | None:
        """Name, value and step of the best validation; None where there was none."""
        for name in MONITORED:
            curve = self.curves.get(f"validation/{name}", {})
            points = [(value, step) for step, value in curve.items() if value == value]
            if points:
                value, step = min(points)
                return name, value, step
        return None


def is_run(path: Path) -> bool:
    """Whether a folder has anything that train.py writes."""
    return any((path / name).exists() for name in SIGNS)


def load_run(path: Path) -> Run:
    """All that a run folder has; what it lacks or is damaged is noted in `missing`."""
    run = Run(path)
    _read_log(run)
    run.config_text = _text(run, "config.yaml", "its configuration is unknown, so no recordings")
    run.config = _parsed(run, "config.yaml", run.config_text, plain_yaml)
    environment = _text(run, "environment.json", "the machine is unknown")
    run.environment = _parsed(run, "environment.json", environment, json.loads)
    how = "the run goes on still or was killed, and can be continued with resume="
    run.summary = _parsed(run, "summary.json", _text(run, "summary.json", how), json.loads)
    run.commit = _text(run, "git_commit.txt").strip()
    run.packages = _text(run, "packages.txt").strip()
    return run


def name_runs(runs: Sequence[Run]) -> None:
    """The last parts of their paths, as many as tell them apart."""
    paths = [run.path.resolve() for run in runs]
    depth = 1
    while depth < 9 and len({path.parts[-depth:] for path in paths}) < len(set(paths)):
        depth += 1
    for run, path in zip(runs, paths, strict=True):
        run.name = "/".join(path.parts[-depth:])


def differing_keys(configs: Sequence[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """Dotted keys whose values are not the same in all configs, and these values in order."""
    flat = [dict(_leaves(config)) for config in configs]
    keys = list(dict.fromkeys(key for leaves in flat for key in leaves))
    table = [(key, [leaves.get(key, "–") for leaves in flat]) for key in keys]
    return [(key, values) for key, values in table if len(set(values)) > 1]


def _leaves(node: Any, where: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from _leaves(value, f"{where}.{key}" if where else str(key))
    elif where:
        yield where, json.dumps(node, ensure_ascii=False, default=str)[:200]


def _read_log(run: Run) -> None:
    times, examples = [], None
    try:
        for event in read_log(run.path / "log.jsonl"):
            if not 0 <= event["step"] < MOST_STEPS:  # nothing of ours
                continue
            times.append(event.get("time"))
            if event.get("table") == "validation/examples":
                examples = event
            for name, value in event.items():
                if "/" in name and isinstance(value, int | float | str):
                    run.curves.setdefault(name, {})[event["step"]] = _number(value)
    except UserError:
        run.missing.append("log.jsonl is not there or can't be read: no curves.")
        return
    known = [_number(time) for time in times if isinstance(time, int | float)]
    run.logged_s = max(known) - min(known) if known else 0.0
    if not run.curves:
        run.missing.append("log.jsonl holds nothing yet: no curves.")
    if examples:
        run.examples, run.examples_step = list(_examples(examples)), examples["step"]


def _examples(event: dict[str, Any]) -> Iterator[TextPair]:
    columns, table = event.get("columns"), event.get("rows")
    if not isinstance(columns, list) or not isinstance(table, list):
        return
    unit = "phoneme" if "per" in columns else "character"
    for row in table:
        if isinstance(row, list) and len(row) == len(columns):
            cells = dict(zip(map(str, columns), row, strict=True))
            texts = {"text": cells.get("target"), "pred_text": cells.get("prediction")}
            found = text_pair(texts | {"unit": unit}, str(cells.get("id", "")))
            if not isinstance(found, Skipped) and found.reference:
                yield found


def _number(value: float | str) -> float:
    try:
        return float(value)
    except (ValueError, OverflowError):
        return float("nan")


def _text(run: Run, name: str, without_it: str = "") -> str:
    try:
        content = (run.path / name).read_bytes()
    except OSError:
        content = b""
    if not content.strip() and without_it:
        run.missing.append(f"{name} is not there or empty: {without_it}.")
    return content.decode(errors="replace")


def _parsed(run: Run, name: str, text: str, parse: Callable[[str], Any]) -> dict[str, Any]:
    if not text.strip():
        return {}
    try:
        found = parse(text)
    except (ValueError, TypeError, RecursionError, yaml.YAMLError):
        found = None
    if not isinstance(found, dict):
        run.missing.append(f"{name} is damaged and was left out.")
        return {}
    return found
