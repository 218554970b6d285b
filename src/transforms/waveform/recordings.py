"""Folders of sound that is mixed into speech, read once."""

from pathlib import Path

import torch
from torch import Tensor

from src import audio
from src.batch import to_int16
from src.utils.errors import UserError
from src.utils.files import walk


def read_folder(folder: str, sample_rate: int, max_hours: float) -> list[Tensor]:
    """All recordings of a folder and below, in the order of their names, (N,) int16 each.

    Raises:
        UserError: no such folder, no recordings in it, more than `max_hours`, or one of them
            can't be read.
    """
    paths = find(folder)
    hours = sum(audio.duration_s(path) for path in paths) / 3600
    if hours > max_hours:
        raise UserError(
            f"{folder}: {hours:.1f} hours of recordings, more than max_hours={max_hours:g}, which "
            "would all be kept in memory. Name a part of it, or raise max_hours."
        )
    return [to_int16(torch.from_numpy(audio.read(path, sample_rate))) for path in paths]


def find(folder: str) -> list[Path]:
    """The visible recordings of a folder and below, sorted; UserError where there are none."""
    paths = sorted(
        place / name
        for place, _, names in walk(folder)
        for name in names
        if Path(name).suffix.lower() in audio.EXTENSIONS and not name.startswith(".")
    )
    if not paths:
        raise UserError(
            f"folder={folder}: holds no recordings; give a folder of files that end in "
            f"{' '.join(audio.EXTENSIONS)}."
        )
    return paths
