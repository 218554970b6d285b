"""One tidy line a call, above the progress bar."""

import math
import re

from tqdm import tqdm

from src.logger.base import Logger
from src.utils.tables import counted, percent, table

# wer, wer_beam, word_error, data_wait are fractions; audio_s_per_s and learning_rate are not.
_RATE = re.compile(r"(^|_)(wer|cer|data_wait)(_|$)|^per(_|$)|_per$|_error$|error_rate")


class Console(Logger):
    """Scalars as `step 200  train/loss 1.234  val/per 12.3 %`, and the head of each table.

    Args:
        table_rows: rows shown of a table; log.jsonl has them all.
        cell_width: characters shown of a cell.
    """

    def __init__(self, table_rows: int = 3, cell_width: int = 60) -> None:
        self.table_rows = table_rows
        self.cell_width = cell_width

    def scalars(self, step: int, values: dict[str, float]) -> None:
        numbers = [f"{name} {_number(name, value)}" for name, value in values.items()]
        self._say(step, "  ".join(numbers))

    def table(self, step: int, name: str, columns: list[str], rows: list[list]) -> None:
        shown = [
            [self._clip(_cell(column, cell)) for column, cell in zip(columns, row, strict=True)]
            for row in rows[: self.table_rows]
        ]
        title = (
            f"{name}, {len(shown)} of {counted(len(rows), 'row')}" if shown else f"{name}, no rows"
        )
        self._say(step, f"{title}\n{table(shown, columns)}")

    def text(self, step: int, name: str, text: str) -> None:
        self._say(step, f"{name}  {text}")

    def _say(self, step: int, message: str) -> None:
        tqdm.write(f"step {step:,}  {message}")  # print() would tear the bar

    def _clip(self, text: str) -> str:
        return text if len(text) <= self.cell_width else text[: self.cell_width - 1] + "…"


def _cell(column: str, cell: object) -> str:
    return _number(column, cell) if isinstance(cell, float) else str(cell)


def _number(name: str, value: float) -> str:
    value = float(value)
    if _RATE.search(name.rsplit("/", 1)[-1].lower()):
        return percent(value)
    if math.isfinite(value) and value == round(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.4g}"
