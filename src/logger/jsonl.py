"""log.jsonl: the run's own record, one JSON object a line, with no server and no viewer."""

import contextlib
import json
import logging
import math
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from src.logger.base import Logger
from src.logger.pictures import save_png
from src.utils.errors import UserError
from src.utils.files import atomic_write
from src.utils.tables import counted

_log = logging.getLogger(__name__)


class JSONL(Logger):
    """Appends to `run_dir/log.jsonl`; pictures go to `run_dir/pictures/`, sounds nowhere.

    Every line holds "step" and "time" (seconds since 1970) and one of: the scalars by name;
    "table", "columns", "rows"; "text", "value"; "image", "path" (relative to run_dir).
    NaN and infinities, which JSON lacks, are the strings "nan", "inf", "-inf", so float()
    reads any of them. Each line is handed to the system at once: killing the process loses
    nothing, and cuts at most the line being written, which the next opening removes. Lines
    that a full disk refuses are kept and tried again with the next, so that a run which waits
    for room has no gap in its record.

    Raises:
        UserError: the file can't be opened or rewound (full disk, permissions).
    """

    essential = True

    def __init__(self, run_dir: str | Path) -> None:
        self.run_dir = Path(run_dir)
        self.path = self.run_dir / "log.jsonl"
        self._refused: list[bytes] = []  # whole lines
        with self._refusals_explained():
            self.run_dir.mkdir(parents=True, exist_ok=True)
            _drop_half_line(self.path)
            self._open()

    def rewind(self, step: int, *, validated: bool = True) -> None:
        self._file.close()
        with atomic_write(self.path, "w") as file:
            for event in read_log(self.path):
                undone = event["step"] == step and not validated and _of_validation(event)
                if event["step"] <= step and not undone:
                    file.write(_line(event))
        with self._refusals_explained():
            self._open()

    def scalars(self, step: int, values: dict[str, float]) -> None:
        self._write(step, values)

    def image(self, step: int, name: str, rgb: np.ndarray) -> None:
        safe_name = re.sub(r"[^\w.-]+", "-", name)
        path = Path("pictures") / f"{safe_name}-step-{step:07d}.png"
        try:
            save_png(rgb, self.run_dir / path)
        except UserError as error:
            _log.warning("A picture is left out: %s", error)
            return
        self._write(step, {"image": name, "path": path.as_posix()})

    def table(self, step: int, name: str, columns: list[str], rows: list[list]) -> None:
        self._write(step, {"table": name, "columns": columns, "rows": rows})

    def text(self, step: int, name: str, text: str) -> None:
        self._write(step, {"text": name, "value": text})

    def close(self) -> None:
        if self._refused and not self._file.closed:
            self._flush()
            if self._refused:
                _log.warning("%s: the last %d lines are lost.", self.path, len(self._refused))
        self._file.close()

    def _open(self) -> None:
        # Unbuffered: whatever write() took is the system's, and outlives a killed process.
        self._file = self.path.open("ab", buffering=0)

    def _write(self, step: int, values: dict[str, Any]) -> None:
        event = {"step": step, "time": round(time.time(), 3)} | values
        self._refused.append(_line(event).encode())
        self._flush()

    def _flush(self) -> None:
        """Write what there is; a line goes in whole or stays for the next time."""
        waiting = len(self._refused) > 1
        try:
            while self._refused:
                self._append(self._refused[0])
                del self._refused[0]
        except OSError as error:
            if not waiting:
                _log.warning(
                    "%s: could not be written (%s). Its lines are kept until there is room.",
                    *(self.path, error.strerror or error),
                )
            return
        if waiting:
            _log.warning("%s: is written again, nothing is missing.", self.path)

    def _append(self, line: bytes) -> None:
        end = os.fstat(self._file.fileno()).st_size
        try:
            while line:  # a nearly full disk takes a part first and refuses only then
                line = line[self._file.write(line) :]
        except OSError:
            with contextlib.suppress(OSError):
                self._file.truncate(end)
            raise

    @contextlib.contextmanager
    def _refusals_explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(
                f"{self.path}: could not be written ({error.strerror or error}). The lines before "
                "are whole; free some space or choose another run folder, and start again."
            ) from error


def read_log(path: str | Path) -> Iterator[dict[str, Any]]:
    """Each event of a log.jsonl, in the order written; unreadable lines are counted and skipped.

    Raises:
        UserError: there is no such file.
    """
    n_bad = 0
    try:
        lines = Path(path).read_bytes().splitlines()
    except OSError as error:
        raise UserError(
            f"{path}: could not be read ({error.strerror or error}). A training run writes it; "
            "name the log.jsonl of a run folder."
        ) from error
    for line in lines:
        event = _event(line)
        if event is None:
            n_bad += 1
        else:
            yield event
    if n_bad:
        _log.warning("%s: skipped %s, not a whole event each.", path, counted(n_bad, "line"))


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and isinstance(event.get("step"), int) else None


def _of_validation(event: dict[str, Any]) -> bool:
    names = {*event, *(event.get(kind) for kind in ("table", "image", "text"))}
    return any(str(name).startswith("validation/") for name in names)


def _line(event: dict[str, Any]) -> str:
    return json.dumps(_plain(event), ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    """`value` in what JSON knows: NumPy and tensor scalars unpacked, non-finite as strings."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def _drop_half_line(path: Path) -> None:
    """Cut off what follows the last newline: a process was killed while writing it."""
    if not path.is_file():
        return
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.truncate(path, whole)
        _log.info("%s: removed a half-written last line.", path)
