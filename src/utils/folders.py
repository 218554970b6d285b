"""One run a folder: neither two at once, nor a new one over an old one."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from src.utils.command_line import ARGUMENTS, in_quotes
from src.utils.errors import UserError
from src.utils.files import remove_leftovers
from src.utils.locks import alone_in
from src.utils.provenance import FILES


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

    def refuse() -> None:
        raise UserError(
            f"run_dir={folder}: another process is training in this folder. Wait until it has "
            "ended, or choose another run_dir."
        )

    with alone_in(folder, refuse):
        if not resumed and any((folder / "checkpoints").glob("*.pt")):
            again = in_quotes("resume", str(folder))
            raise UserError(
                f"run_dir={folder}: holds a run already, which a new one would overwrite. Continue "
                f"it with {again}, choose another run_dir, or delete the folder."
            )
        for part in (folder, folder / "checkpoints", folder / "pictures"):
            remove_leftovers(part)
        yield


def remove_unbegun(folder: Path) -> None:
    """Delete a run folder that holds nothing but what each start writes; any other stays."""
    written = {name: folder / name for name in (ARGUMENTS, *FILES, "train.log", "log.jsonl")}
    if not {path.name for path in folder.iterdir()} <= written.keys():
        return
    log = written["log.jsonl"]
    if log.exists() and log.stat().st_size:
        return
    with contextlib.suppress(OSError):  # what caused the removal is told, not this
        for path in written.values():
            path.unlink(missing_ok=True)
        folder.rmdir()


def wait_until_gone(folder: Path, seconds: float = 10.0) -> None:
    """Return when another process has removed the folder, or when it has had `seconds` to."""
    end = time.monotonic() + seconds
    while folder.exists() and time.monotonic() < end:
        time.sleep(0.05)
