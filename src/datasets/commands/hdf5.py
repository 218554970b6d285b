"""HDF5 files that several workers can read, and that are either whole or absent."""

import contextlib
import errno
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from src.utils.errors import UserError
from src.utils.interrupts import ctrl_c_waits

_PROBE = Path(__file__).with_name("hdf5_probe.py")
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# What h5py raises when it stumbles over damage; it depends on where that lies.
DAMAGE = (OSError, KeyError, IndexError, RuntimeError, ValueError, TypeError, MemoryError)


class ReadOnlyArray:
    """A dataset of an HDF5 file that each process opens for itself, at its first read.

    HDF5's own state (file offset, metadata cache) must not be shared by processes, so the
    handle is tied to the process that opened it: a forked worker gives its copy of the
    parent's handle back and opens its own; a spawned worker gets path and name only.
    """

    def __init__(self, path: str | Path, name: str) -> None:
        self.path = Path(path)
        self.name = name
        self._dataset: h5py.Dataset | None = None
        self._pid = 0

    def __getitem__(self, row: int) -> np.ndarray:
        """One row, read from disk.

        Raises:
            UserError: the file can't be opened (see `open_for_reading`), or the row is damaged.
        """
        try:
            if self._pid != os.getpid():
                # HDF5 gives whoever opens the same file twice in one process the same descriptor,
                # so the parent's must be closed here first. A closed copy leaves the parent's open.
                self.close()
                self._dataset, self._pid = open_for_reading(self.path)[self.name], os.getpid()
            return self._dataset[row]
        except UserError:
            raise
        except DAMAGE as error:
            raise UserError(
                f"{self.path}: row {row} of {self.name} can't be read ({error}). The file is "
                "damaged; make it again."
            ) from error

    def close(self) -> None:
        """Give the handle back; the next read opens a new one."""
        if self._dataset:  # h5py objects are false once their file is closed
            self._dataset.file.close()
        self._dataset, self._pid = None, 0

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "name": self.name, "_dataset": None, "_pid": 0}


@contextlib.contextmanager
def checked(path: Path) -> Iterator[h5py.File]:
    """The file at `path` for as long as the block runs, its metadata tried out beforehand.

    Ours carry checksums on it, which the HDF5 library holds it to. Older files carry none, and
    are read in a process of their own first (a quarter of a second).

    Raises:
        UserError: it is no HDF5 file, its end is missing, or the block stumbles over damage.
    """
    if not _has_checksums(path):
        _probe(path)
    with open_for_reading(path) as file:
        try:
            yield file
        except UserError:
            raise
        except DAMAGE as error:
            raise _damaged(path, str(error)) from error


def _has_checksums(path: Path) -> bool:
    """Whether the superblock is of version 3, which HDF5 1.10 and later write on demand."""
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError:
        return True  # which opening it will explain
    return head[:8] == _SIGNATURE and head[8:] >= b"\3"


def _probe(path: Path) -> None:
    command = [sys.executable, "-P", str(_PROBE), str(path)]
    probe = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace")
    if probe.returncode:
        lines = probe.stderr.strip().splitlines()
        told = lines[-1] if lines and probe.returncode > 0 else "it makes the HDF5 library fail"
        raise _damaged(path, told)


def _damaged(path: Path, reason: str) -> UserError:
    return UserError(
        f"{path}: not a readable HDF5 file ({reason}). It may be cut short or another kind of "
        "file; delete it and make it again."
    )


def open_for_reading(path: Path) -> h5py.File:
    """The file at `path`, opened read-only.

    Raises:
        UserError: it is no HDF5 file, or its end is missing.
    """
    try:
        # No lock: these files appear whole and are never changed in place, and file locks
        # fail on many cluster file systems and read-only mounts.
        # No chunk cache: a clip is one chunk and is read once an epoch.
        return h5py.File(path, "r", locking=False, rdcc_nbytes=0)
    except OSError as error:
        if "locking flag" in str(error):  # this process has it open already, as notebooks do
            return h5py.File(path, "r")
        raise _damaged(path, str(error)) from error


class KeptFailure(io.FileIO):
    """A file that HDF5 may write into and close without harm when the disk is full.

    HDF5 can't close a file whose writes failed: it tries them again, gives up, and crashes the
    process (seen with HDF5 2.0, h5py 3.16). So the first failure is kept for `check`, what
    follows is dropped, and HDF5 hears of neither.
    """

    failure: OSError | None = None

    def write(self, data) -> int:
        rest = memoryview(data).cast("B")
        n_bytes = len(rest)
        while rest and not self.failure:  # a nearly full disk takes a part first
            with self._kept():
                rest = rest[super().write(rest) :]
        return n_bytes

    def truncate(self, size: int | None = None) -> int:
        with self._kept():
            super().truncate(size)
        return size or 0

    def check(self) -> None:
        """Raise the OSError that was kept, if there is one."""
        if self.failure:
            raise self.failure

    @contextlib.contextmanager
    def _kept(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.failure = self.failure or error


@contextlib.contextmanager
def written_aside(path: Path) -> Iterator[KeptFailure]:
    """Yield an empty file for `h5py.File`; it gets the name `path` when the block ends well.

    A run that was killed leaves only the temporary file beside `path`, which the next run
    takes over and empties; any other failure removes it. Readers meet a whole file or none.

    Raises:
        UserError: the folder can't be written, the disk is full, or another process is
            writing the same file.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        with _opened_alone(partial, path) as file:
            yield file
            file.check()
            os.fsync(file.fileno())
            partial.replace(path)
    except OSError as error:
        raise UserError(
            f"{path}: could not be written ({error.strerror or error}). Nothing was left behind; "
            "free some space or choose another name, then run the command again."
        ) from error


@contextlib.contextmanager
def _opened_alone(partial: Path, path: Path) -> Iterator[KeptFailure]:
    """`partial`, emptied and locked; removed at the end, unless it has got another name."""
    with contextlib.ExitStack() as at_the_end:
        with ctrl_c_waits():  # or it might come between making the file and seeing to its end
            file = at_the_end.enter_context(_locked(partial, path))
            at_the_end.callback(_remove, partial, file)
        os.ftruncate(file.fileno(), 0)
        yield file


def _locked(partial: Path, path: Path) -> KeptFailure:
    """`partial`, made if need be, under a lock that the system drops should we be killed."""
    from src.utils.locks import lock  # POSIX only; readers do without

    def create(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_CREAT, 0o666)

    while True:
        file = KeptFailure(partial, "r+", opener=create)
        if not lock(file.fileno()):
            file.close()
            raise UserError(
                f"{path}: another process is writing this file. Wait for it to finish, or stop it "
                "and run the command again."
            )
        # Whoever held the lock before may have given the file its final name since we opened it.
        if _is_still(partial, file):
            return file
        file.close()


def _remove(partial: Path, file: KeptFailure) -> None:
    if _is_still(partial, file):  # the next writer's may have this name already
        partial.unlink()


def _is_still(partial: Path, file: KeptFailure) -> bool:
    try:
        return os.path.samestat(partial.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
