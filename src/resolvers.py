"""What configs/base.yaml asks for by name: where a run writes."""

import functools
import os
from pathlib import Path

from src.utils.command_line import holds_run
from src.utils.errors import UserError

_was_there: dict[Path, bool] = {}  # run folder → before Hydra made it


def run_folder(resume: str | None, run_dir: str) -> str:
    """Where the run writes: into the folder it continues, else into a new one."""
    if resume and not holds_run(str(resume)):
        raise UserError(
            f"resume={resume}: no checkpoints/last.pt in there. Name the folder of an earlier run "
            "(ls -d saved/*/*), or leave resume out to start a new one."
        )
    folder, was_there = _agreed(resume or run_dir)
    _was_there.setdefault(Path(folder).resolve(), was_there)
    return folder


def is_new(run_dir: str | Path) -> bool:
    """Whether the folder was not there when the run's config first named it: Hydra makes it before
    any code of ours runs. True once, since a later run of this process finds it there."""
    return not _was_there.pop(Path(run_dir).resolve(), True)


def sweep_folder(run_dir: str) -> str:
    """Where a sweep keeps its trials: a folder that several processes would fight for."""
    n = int(os.environ.get("WORLD_SIZE", "1"))
    if n > 1:
        raise UserError(
            f"--multirun: trains in one process, torchrun has started {n}. Start the sweep without "
            "torchrun, or each of its trials with torchrun and without --multirun."
        )
    return run_dir


def log_file(path: str) -> str:
    """Where Hydra writes the run's log: of several processes only the first has one."""
    return path if os.environ.get("RANK", "0") == "0" else os.devnull


def _agreed(folder: str) -> tuple[str, bool]:
    """The folder and whether it is there, as the first process of several has it."""
    return _from_first(folder) if "WORLD_SIZE" in os.environ else (folder, os.path.lexists(folder))


@functools.cache
def _from_first(folder: str) -> tuple[str, bool]:
    # The clocks of the others may say another second, and the first may have made it by now.
    from src.utils import parallel

    parallel.start()
    return parallel.from_first((folder, os.path.lexists(folder)))
