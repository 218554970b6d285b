"""Checkpoints: tensors and plain values only, whole or absent, loaded without running code."""

import io
import logging
import math
import os
import pickle
import shutil
import zipfile
from pathlib import Path
from typing import Any

import torch

from src.utils.errors import UserError
from src.utils.files import atomic_write

logger = logging.getLogger(__name__)

FORMAT = 1


def save_checkpoint(path: str | Path, state: dict[str, Any]) -> None:
    """Write `state` whole or not at all.

    It is serialised in memory first, so that a full disk is met by a plain write, whose
    failure leaves the older file in place.

    Raises:
        UserError: the folder can't be written or the disk is full.
    """
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    with atomic_write(path) as file:
        file.write(buffer.getbuffer())


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU after checking it against its own checksums (CRC-32).

    Raises:
        UserError: absent, damaged, not a checkpoint of this project, or of a newer format.
    """
    path = find_checkpoint(path)
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged:
            raise zipfile.BadZipFile(f"{damaged} does not match its checksum")
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (zipfile.BadZipFile, RuntimeError, EOFError, pickle.UnpicklingError, OSError) as error:
        reason = str(error).split("\n")[0][:200]
        raise UserError(
            f"{path}: not a readable checkpoint ({reason}). It is damaged or was not written by "
            "this project; take an older one from the same folder, or train or download it again."
        ) from error
    if not isinstance(state, dict) or not isinstance(state.get("format"), int):
        raise UserError(f"{path}: a PyTorch file, but not a checkpoint of this project.")
    if state["format"] > FORMAT:
        raise UserError(
            f"{path}: written in format {state['format']}, this version reads up to {FORMAT}; "
            "update the project."
        )
    return state


def find_checkpoint(path: str | Path) -> Path:
    """`path` itself, or the best checkpoint of the run folder it names."""
    path = Path(path)
    candidates = [
        path,
        path / "best.pt",
        path / "checkpoints/best.pt",
        path / "checkpoints/last.pt",
    ]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise UserError(
        f"{path}: no checkpoint there. `make quickstart` trains a small one in minutes, "
        "`python download_model.py --list` lists the published ones."
    )


class Checkpoints:
    """The checkpoint folder of a run: last.pt, best.pt and the top k by the monitored value.

    Args:
        folder: where they are kept.
        keep_top_k: how many of the best validated checkpoints stay beside last and best.
    """

    def __init__(self, folder: str | Path, keep_top_k: int) -> None:
        self.folder = Path(folder)
        self.keep_top_k = keep_top_k

    @property
    def last(self) -> Path:
        """Where the newest state is."""
        return self.folder / "last.pt"

    def save_last(self, state: dict[str, Any]) -> None:
        """Replace last.pt."""
        save_checkpoint(self.last, state)

    def keep(self, step: int, name: str, value: float, is_best: bool) -> None:
        """Keep last.pt under its step and value if among the top k, and as best.pt if best.

        Files are only ever replaced by renaming, so a hard link is as good as a copy.
        """
        if is_best:
            _link(self.last, self.folder / "best.pt")
        if self.keep_top_k < 1:
            return
        label = name.replace("/", "-")
        _link(self.last, self.folder / f"top_{label}={value:.5f}_step={step}.pt")
        for worse in sorted(self.folder.glob(f"top_{label}=*.pt"), key=_value)[self.keep_top_k :]:
            worse.unlink(missing_ok=True)


def _value(path: Path) -> tuple[bool, float, int]:
    value, step = path.stem.split("=")[-2:]
    number = float(value.removesuffix("_step"))
    return math.isnan(number), number, int(step)  # NaN has no order of its own: last


def _link(source: Path, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.new")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, temporary)
    temporary.replace(target)
