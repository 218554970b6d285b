"""Tensors and plain values in files that are either whole or absent."""

import io
from pathlib import Path
from typing import Any

import torch

from src.utils.files import atomic_write


def serialised(state: dict[str, Any]) -> memoryview:
    """The bytes of `torch.save`, made in memory.

    Where a file's own write fails meanwhile, by a full disk or Ctrl-C, PyTorch's writer tells of
    something else or ends the process ("terminate called after …").
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getbuffer()


def save_tensors(path: str | Path, state: dict[str, Any]) -> None:
    """Write `state` whole or not at all.

    Raises:
        UserError: the folder can't be written or the disk is full; an older file stays.
    """
    content = serialised(state)
    with atomic_write(path) as file:
        file.write(content)
