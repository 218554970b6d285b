"""One run a folder: neither two at once, nor a new one over an old one."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from src.utils.errors import UserError
from src.utils.files import remove_leftovers

_held: set[int] = set()


@contextlib.contextmanager
def only_run_in(folder: str | Path, *, resumed: bool) -> Iterator[None]:
    """Keep `folder` to this process until it leaves or ends, however it ends.

    What a killed process left half-written in it is cleared away.

    Args:
        resumed: whether it continues the run that the folder holds.

    Raises:
        UserError: another process works in the folder, or it holds a run that isn't continued.
    """
    folder = Path(folder)
    handle = os.open(folder, os.O_RDONLY)
    _held.add(handle)
    try:
        _lock(handle, folder)
        if not resumed and any((folder / "checkpoints").glob("*.pt")):
            raise UserError(
                f"run_dir={folder}: holds a run already, which a new one would overwrite. Continue "
                f"it with resume={folder}, choose another run_dir, or delete the folder."
            )
        for part in (folder, folder / "checkpoints", folder / "pictures"):
            remove_leftovers(part)
        yield
    finally:
        if handle in _held:  # not so in a forked child
            _held.remove(handle)
            os.close(handle)


def _lock(handle: int, folder: Path) -> None:
    # On the folder itself, so no file is left behind; the system lets go when the process ends.
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UserError(
            f"run_dir={folder}: another process is training in this folder. Wait until it has "
            "ended, or choose another run_dir."
        ) from error
    except OSError:
        pass  # some network file systems know no locks


def _let_go() -> None:
    """A forked child, such as a reading worker, holds no lock: it may outlive a killed trainer by
    seconds, in which the run could not be resumed."""
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_let_go)
