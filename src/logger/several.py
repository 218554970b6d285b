"""Telling several loggers at once, none of which may spoil the run."""

import logging
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from src.logger.base import Logger
from src.logger.console import Console
from src.logger.jsonl import JSONL

_log = logging.getLogger(__name__)


class Several(Logger):
    """Passes every call on to each of `loggers`.

    Days of training matter more than a dashboard: an optional logger that raises is switched
    off with one warning. What an essential one (log.jsonl, which raises only where it can't be
    opened) raises reaches the caller: a run that leaves no record had better not begin.
    """

    def __init__(self, loggers: Iterable[Logger]) -> None:
        self.loggers = list(loggers)

    @property
    def essential(self) -> bool:
        return any(logger.essential for logger in self.loggers)

    def rewind(self, step: int, *, validated: bool = True) -> None:
        self._tell("rewind", step, validated=validated)

    def scalars(self, step: int, values: dict[str, float]) -> None:
        self._tell("scalars", step, values)

    def image(self, step: int, name: str, rgb: np.ndarray) -> None:
        self._tell("image", step, name, rgb)

    def audio(self, step: int, name: str, waveform: np.ndarray, sample_rate: int) -> None:
        self._tell("audio", step, name, waveform, sample_rate)

    def table(self, step: int, name: str, columns: list[str], rows: list[list]) -> None:
        self._tell("table", step, name, columns, rows)

    def text(self, step: int, name: str, text: str) -> None:
        self._tell("text", step, name, text)

    def close(self) -> None:
        self._tell("close")

    def _tell(self, method: str, *arguments: object, **keywords: object) -> None:
        for logger in list(self.loggers):
            try:
                getattr(logger, method)(*arguments, **keywords)
            except Exception as error:
                if logger.essential:
                    raise
                self.loggers.remove(logger)
                _log.warning(
                    "%s failed (%s: %s) and is switched off for the rest of this run; "
                    "log.jsonl goes on.",
                    type(logger).__name__,
                    type(error).__name__,
                    error,
                )


def standard_loggers(run_dir: str | Path, extra: Logger | None = None) -> Several:
    """log.jsonl and the console, which every run has, and `extra` where one is configured."""
    always: list[Logger] = [JSONL(run_dir), Console()]
    return Several(always if extra is None else [*always, extra])
