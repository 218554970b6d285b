"""TensorBoard event files."""

from pathlib import Path

import numpy as np

from src.logger.base import Logger
from src.utils.errors import UserError


class TensorBoard(Logger):
    """Writes `run_dir/tensorboard`, from the first event on.

    A folder that can't be written is met then: the run goes on without TensorBoard.

    Args:
        run_dir: folder of the run.
        flush_s: seconds between two writes to the disk.

    Raises:
        UserError: tensorboard is not installed.
    """

    def __init__(self, run_dir: str | Path, flush_s: float = 30) -> None:
        self._folder = str(Path(run_dir) / "tensorboard")
        self._flush_s = flush_s
        self._make_writer = _import_writer()
        self._opened = None
        self._purge_step: int | None = None

    def rewind(self, step: int, *, validated: bool = True) -> None:
        self.close()
        self._purge_step = step + 1

    def scalars(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def image(self, step: int, name: str, rgb: np.ndarray) -> None:
        self._writer.add_image(name, rgb, step, dataformats="HWC")

    def audio(self, step: int, name: str, waveform: np.ndarray, sample_rate: int) -> None:
        clipped = np.clip(waveform, -1, 1)  # the writer's int16 would wrap around
        self._writer.add_audio(name, clipped[None, :], step, sample_rate=sample_rate)

    def table(self, step: int, name: str, columns: list[str], rows: list[list]) -> None:
        lines = [columns, ["---"] * len(columns), *rows]
        markdown = "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)
        self._writer.add_text(name, markdown, step)

    def text(self, step: int, name: str, text: str) -> None:
        self._writer.add_text(name, text, step)

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    @property
    def _writer(self):
        if self._opened is None:
            self._opened = self._make_writer(
                self._folder, purge_step=self._purge_step, flush_secs=int(self._flush_s)
            )
        return self._opened


def _import_writer():
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UserError(
            "logger=tensorboard: TensorBoard is not installed; run `pip install tensorboard` "
            "or choose logger=jsonl."
        ) from error
    return SummaryWriter


def _cell(value: object) -> str:
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
