"""Checkpoints: tensors and plain values only, whole or absent, loaded without running code."""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from src.trainer.weights_file import SUFFIX, from_published
from src.utils.errors import UserError
from src.utils.published import published_file, tell_namesake
from src.utils.tensor_files import save_tensors

FORMAT = 1
# What inference rebuilds from a stored config; src.build holds the exact names.
TARGET = re.compile(r"src\.(text|transforms|models)\.\w+")


def save_checkpoint(path: str | Path, state: dict[str, Any]) -> None:
    """Write `state` whole or not at all.

    Raises:
        UserError: the folder can't be written or the disk is full; an older file stays.
    """
    save_tensors(path, of_format(state))


def of_format(state: dict[str, Any]) -> dict[str, Any]:
    """What is written of a state: the same and the format's number."""
    return {"format": FORMAT, **state}


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU after checking it against its own checksums.

    Nothing in the file is executed: PyTorch's `weights_only` unpickler and safetensors, in which
    checkpoints are published, know tensors and plain values, and a config whose `_target_` is no
    part of ours is refused as a whole.

    Raises:
        UserError: absent, damaged, not a checkpoint of this project, or of a newer format.
    """
    path = find_checkpoint(path)
    try:
        published = path.suffix == SUFFIX
        state = from_published(path.read_bytes()) if published else _read_archive(path)
    except Exception as error:  # a damaged file may make either reader stumble anywhere
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
    for where, target in _targets(state.get("config"), ""):
        if not TARGET.fullmatch(target):
            raise UserError(
                f"{path}: {where}_target_={target[:80]}: only parts of src.text, src.transforms "
                "and src.models may stand there. Don't use this file: its maker may mean harm."
            )
    return state


def _read_archive(path: Path) -> Any:
    """What torch.save wrote, after a look at its CRC-32s."""
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip() or _marked_as_folder(archive)
    if damaged:
        raise zipfile.BadZipFile(f"{damaged} is not as it was written")
    return torch.load(path, map_location="cpu", weights_only=True)


def _marked_as_folder(archive: zipfile.ZipFile) -> str | None:
    """The first entry that bears the mark of a folder.

    PyTorch reads nothing into such a tensor and hands out what was in memory before.
    """
    return next((info.filename for info in archive.infolist() if info.external_attr & 0x10), None)


def _targets(node: Any, where: str) -> Iterator[tuple[str, str]]:
    """Place and value of every `_target_` in a config, however deep."""
    items = node.items() if isinstance(node, dict) else ()
    items = enumerate(node) if isinstance(node, list | tuple) else items
    for key, value in items:
        if key == "_target_":
            yield where, str(value)
        yield from _targets(value, f"{where}{key}.")


def find_checkpoint(path: str | Path) -> Path:
    """`path` itself, the best checkpoint of the run folder it names, or the verified file of the
    published model of that name.

    Raises:
        UserError: none of these; or a published model whose file is not there or altered.
    """
    name, path = str(path), Path(path)
    candidates = [
        path,
        path / "best.pt",
        path / "checkpoints/best.pt",
        path / "checkpoints/last.pt",
    ]
    for candidate in candidates:
        if candidate.is_file():
            tell_namesake(name)
            return candidate
    if (file := published_file(name)) is not None:
        return file
    raise UserError(
        f"{path}: no checkpoint there. `make quickstart` trains a small one in minutes, "
        "`python download_model.py --list` lists the published ones."
    )
