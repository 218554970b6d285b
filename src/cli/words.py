"""The words after `python train.py`: in Hydra's order, and those of a run that is gone on with."""

import re
from collections.abc import Sequence
from pathlib import Path

from src.utils.command_line import (
    ARGUMENTS,
    Arguments,
    holds_run,
    in_quotes,
    is_override,
    key_and_value,
)
from src.utils.errors import UserError
from src.utils.files import read_object


def flags_first(words: Sequence[str]) -> list[str]:
    """Hydra's parser takes flags on one side of the overrides only; people write them anywhere."""
    return sorted(words, key=is_override)


def as_begun(words: Sequence[str]) -> list[str]:
    """The words of a command line; where they resume a run and name no config, its own before them.

    What is given now takes the place of what was given then. A folder may come from elsewhere:
    of its words only the config's name and plain overrides are taken, none that reach Hydra.

    Raises:
        UserError: the folder does not tell how its run was started.
    """
    folder = _resumed(words)
    if folder is None or any(re.match(r"(-cn|--config-name)\b", word) for word in words):
        return list(words)
    begun = _begun(folder)
    given = {key_and_value(word)[0] for word in words if is_override(word)}
    kept = [word for word in begun.overrides if key_and_value(word)[0] not in given]
    return flags_first([f"-cn={begun.config_name}", *kept, *words])


def _resumed(words: Sequence[str]) -> Path | None:
    """The folder that `resume=` names, if it is one; a bad one is told of later."""
    given = [word for word in words if is_override(word) and key_and_value(word)[0] == "resume"]
    if not given:
        return None
    from hydra.core.override_parser.overrides_parser import OverridesParser

    value = OverridesParser.create().parse_overrides(given)[-1].value()
    return Path(value) if isinstance(value, str) and value and holds_run(value) else None


def _begun(folder: Path) -> Arguments:
    kept, again = read_object(folder / ARGUMENTS), in_quotes("resume", str(folder))
    name, overrides = kept.get("config_name"), kept.get("overrides")
    if not isinstance(name, str) or not isinstance(overrides, list):
        raise UserError(
            f"resume={folder}: no {ARGUMENTS} in there that tells how the run was started; give "
            f"its command again (environment.json has it), followed by {again}."
        )
    named = re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)*", name)
    foreign = [] if named else [name]
    foreign += [word for word in overrides if not _is_plain(word)]
    if foreign:
        raise UserError(
            f"{folder / ARGUMENTS}: {foreign[0]!r} is not taken from a folder; give the run's "
            f"command again, followed by {again}."
        )
    return Arguments(name, overrides)


def _is_plain(word: object) -> bool:
    """Whether it sets a value of the run; what reaches Hydra could run any code."""
    if not isinstance(word, str) or not is_override(word):
        return False
    return "hydra" not in key_and_value(word)[0]
