"""Words of a command line, and what a run is started with, as its folder keeps it."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from src.utils.files import write_json

ARGUMENTS = "arguments.json"
WHERE = ("run_dir", "resume")  # say where a run writes, not what it is


class Arguments(NamedTuple):
    """What a run is started with."""

    config_name: str
    overrides: Sequence[str]


def is_override(word: str) -> bool:
    return word.startswith("~") or ("=" in word and not word.startswith("-"))


def key_and_value(override: str) -> tuple[str, str]:
    key, _, value = override.partition("=")
    return key.lstrip("+~"), value


def in_quotes(key: str, value: str) -> str:
    """KEY=VALUE for a command line, in quotes where the shell or Hydra would misread the value."""
    is_plain = re.fullmatch(r"[A-Za-z_./][\w./-]*", value, re.ASCII)
    is_plain = is_plain and value.lower() not in ("null", "true", "false", "nan", "inf")
    return f"{key}={value}" if is_plain else shlex.quote(for_hydra(key, value))


def for_hydra(key: str, value: str) -> str:
    """KEY="VALUE" for `compose`, whatever letters the value has."""
    # Hydra takes a backslash as it is, but for those before a quote.
    value = re.sub(r'(\\*)("|$)', lambda found: 2 * found[1] + found[2].replace('"', r"\""), value)
    return f'{key}="{value}"'


def of_the_run(overrides: Sequence[str]) -> list[str]:
    """The overrides that say what a run is."""
    return [word for word in map(str, overrides) if key_and_value(word)[0] not in WHERE]


def holds_run(folder: str | Path) -> bool:
    """Whether there is a run to resume; one killed before its first save has a config."""
    return any(Path(folder, name).is_file() for name in ("checkpoints/last.pt", "config.yaml"))


def keep_arguments(run_dir: str | Path, arguments: Arguments) -> None:
    """Note in the run's folder what it was started with, for `src.cli.as_begun`.

    Raises:
        UserError: the folder can't be written.
    """
    kept = Arguments(arguments.config_name, of_the_run(arguments.overrides))
    write_json(Path(run_dir, ARGUMENTS), kept._asdict())
