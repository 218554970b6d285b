"""What a run folder tells of a checkpoint in it."""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from src.utils.plain_yaml import plain_yaml

_PART = r"[^/\s,\[\]{}'\"]+"
_PLACE = re.compile(rf"(?<![\w.~-])(?:~|/{_PART})(?:/{_PART})*/({_PART})")


@dataclass(frozen=True)
class Run:
    """Nothing where there is no such file."""

    config: dict[str, Any] | None  # resolved, of training
    command: str  # with which it was trained, places of that machine taken off
    audio_s: float | None  # seconds of speech heard in training, repeats counted


def read_run(checkpoint: Path) -> Run:
    """The run that a checkpoint lies in: RUN/checkpoints/FILE, or RUN/FILE."""
    folder = checkpoint.parent
    folder = folder.parent if folder.name == "checkpoints" else folder
    config, environment, summary = (
        _read(folder / name) for name in ("config.yaml", "environment.json", "summary.json")
    )
    command, audio_s = environment.get("command"), summary.get("audio_s")
    return Run(
        config or None,
        without_places(command) if isinstance(command, str) else "",
        audio_s if isinstance(audio_s, int | float) else None,
    )


def without_places(command: str) -> str:
    """A command whose absolute paths are only names: /data/LibriSpeech → LibriSpeech.

    They are of the machine it ran on, and tell of its owner.
    """
    words = [_PLACE.sub(r"\1", word) for word in shlex.split(command)]
    if words and Path(words[0]).name.startswith("python"):
        words[0] = "python"
    return shlex.join(words)


def targets(node: Any) -> Iterator[str]:
    """Every `_target_` in a config, however deep, in order."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield str(node["_target_"])
        for value in node.values():
            yield from targets(value)
    elif isinstance(node, list):
        for value in node:
            yield from targets(value)


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else plain_yaml(text)
    except (OSError, ValueError, TypeError, yaml.YAMLError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
