"""One process at a time, by locks that the system drops when their holder ends, however it ends."""

import contextlib
import fcntl
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from src.utils.errors import UserError

logger = logging.getLogger(__name__)

_held: set[int] = set()


def lock(handle: int, *, wait: bool = False) -> bool:
    """Lock an open file or folder; whether it could be had.

    A file system that knows no locks, as some network ones do, gives them to everyone.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


@contextlib.contextmanager
def in_turn(folder: Path, doing: str) -> Iterator[None]:
    """Keep `folder` to this process for as long as the block runs, after whoever is there now.

    Args:
        doing: what all of them do, such as "packing recordings"; for the log.

    Raises:
        UserError: see `alone_in`.
    """
    waiting = "%s: another process is %s there; waiting for it."
    with alone_in(folder, lambda: logger.info(waiting, folder, doing)):
        yield


@contextlib.contextmanager
def alone_in(folder: Path, when_taken: Callable[[], None]) -> Iterator[None]:
    """Keep `folder`, which is made if need be, to this process for as long as the block runs.

    Args:
        when_taken: called where another process has it; if it raises nothing, we wait.

    Raises:
        UserError: the folder can't be made or opened.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)  # the folder itself, so no file is left behind
    except OSError as error:
        raise UserError(
            f"{folder}: could not be written ({error.strerror or error}); choose another folder."
        ) from error
    _held.add(handle)
    try:
        if not lock(handle):
            when_taken()
            lock(handle, wait=True)
        yield
    finally:
        if handle in _held:  # not so in a forked child
            _held.remove(handle)
            os.close(handle)


def _let_go() -> None:
    """A forked child, such as a reading worker, holds no lock: it may outlive its killed parent by
    seconds, in which nobody could go on with the parent's work."""
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_let_go)
