"""Files that are either whole or absent."""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from src.utils.errors import UserError


@contextlib.contextmanager
def atomic_write(path: str | Path, mode: str = "wb", *, sync: bool = True) -> Iterator[IO[Any]]:
    """Open a file that appears under `path` only once it is complete; until then see its `name`.

    It is written beside its final place, flushed and renamed, so a reader meets the old file
    or the new one, never a half of either. A process killed meanwhile leaves a hidden
    `.NAME.….part`, which `remove_leftovers` clears away.

    Args:
        mode: "wb" or "w" (UTF-8).
        sync: wait until it is on disk, so that a power cut can't halve it either; files made
            by the thousand and easily made again may do without.

    Raises:
        UserError: the folder can't be written or the disk is full; what was there stays.
    """
    path = Path(path)
    encoding = None if "b" in mode else "utf-8"
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Cut, so that a name as long as the file system allows still fits.
        descriptor, name = tempfile.mkstemp(".part", f".{path.name[:40]}.", path.parent)
        os.close(descriptor)
        temporary = Path(name)
        with temporary.open(mode, encoding=encoding) as file:
            yield file
            file.flush()
            if sync:
                os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
        temporary = None
        if sync:
            sync_folder(path.parent)
    except OSError as error:
        raise UserError(
            f"{path}: could not be written ({error.strerror or error}). What was there before is "
            "untouched; free some space or choose another folder, then run the command again."
        ) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()


def sync_folder(folder: str | Path) -> None:
    """Wait until the names in a folder are on disk: a power cut would else undo a renaming."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        pass  # some network file systems can't, and rename durably anyway
    finally:
        os.close(handle)


def remove_leftovers(folder: str | Path) -> None:
    """Delete what `atomic_write` left half-written in a folder that nobody else writes to now."""
    for path in Path(folder).glob(".*.part"):
        with contextlib.suppress(OSError):
            path.unlink()


def write_json(path: str | Path, value: Any, *, sync: bool = True) -> None:
    """Write `value` as indented UTF-8 JSON, atomically; `sync` as in `atomic_write`."""
    with atomic_write(path, "w", sync=sync) as file:
        json.dump(value, file, ensure_ascii=False, indent=2, allow_nan=False)
        file.write("\n")


def read_object(path: str | Path) -> dict[str, Any]:
    """The JSON object in a file that is of use if it is there; {} where it is gone or damaged."""
    try:
        found = json.loads(Path(path).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def walk(top: str | Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """As os.walk, along links too, but each folder once: a link to one above it ends there."""
    seen = set()
    for folder, below, names in os.walk(top, followlinks=True):
        status = Path(folder).stat()
        place = (status.st_dev, status.st_ino)
        if place in seen:
            below.clear()
            continue
        seen.add(place)
        yield Path(folder), below, names


def inside(folder: str | Path, name: str) -> Path:
    """`folder` / `name`, for a name that came from elsewhere.

    Raises:
        UserError: the name leads out of the folder.
    """
    path = Path(folder, name)
    if not path.resolve().is_relative_to(Path(folder).resolve()):
        raise UserError(f"{name}: leads out of {folder}; rename the utterance or file.")
    return path


def check_writable(path: str | Path) -> None:
    """Raise UserError if no file can be written under `path`, before hours are spent on it."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UserError(
            f"{path}: could not be written ({error.strerror or error}); choose another folder."
        ) from error


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file, read in pieces."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
