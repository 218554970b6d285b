"""What the rest of the house may tell a logger, and nothing else.

Loggers know no model, no text and no Hydra: they take numbers, pictures, sounds, tables and
sentences, each with the step (optimizer steps, the only clock) they belong to.
"""

import numpy as np


class Logger:
    """Does nothing; a logger overrides what its medium can show.

    Scalars are named `split/metric`; rates are fractions, never percent.
    """

    essential = False  # a run stops when an essential logger fails; others are only switched off

    def rewind(self, step: int, *, validated: bool = True) -> None:
        """The run resumes after `step`: forget whatever was logged of later steps.

        Args:
            validated: whether the validation at `step`, if there was one, is over. If not it is
                done again, so its events (`validation/…`) are forgotten too.
        """

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Numbers, by name."""

    def image(self, step: int, name: str, rgb: np.ndarray) -> None:
        """A picture, (H, W, 3) uint8."""

    def audio(self, step: int, name: str, waveform: np.ndarray, sample_rate: int) -> None:
        """A sound, (N,) float32 in −1 … 1."""

    def table(self, step: int, name: str, columns: list[str], rows: list[list]) -> None:
        """Rows of strings and numbers, one cell a column."""

    def text(self, step: int, name: str, text: str) -> None:
        """A sentence or a page."""

    def close(self) -> None:
        """Everything is written when this returns; may be called twice."""


class Nothing(Logger):
    """The extra logger of those who want none beside log.jsonl and the console."""

    def __init__(self, run_dir: str | None = None) -> None:
        self.run_dir = run_dir
