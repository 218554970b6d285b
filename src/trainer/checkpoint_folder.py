"""The checkpoints of one run: what is kept, and which to go on from when one is damaged."""

import logging
import math
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from src.logger import read_log
from src.trainer.checkpoint import load_checkpoint, of_format
from src.utils.errors import UserError
from src.utils.files import atomic_write
from src.utils.tables import counted
from src.utils.tensor_files import serialised

logger = logging.getLogger(__name__)

MAX_FAILURES = 3  # steps in a row at which saving failed


@dataclass(frozen=True)
class Validated:
    """What held-out speech says of a state."""

    name: str  # of the monitored metric
    value: float  # lower is better
    is_best: bool
    metrics: dict[str, float] = field(default_factory=dict)  # all that were measured


class Checkpoints:
    """last.pt, previous.pt (the save before), best.pt and the top k by the monitored value.

    Args:
        folder: where they are kept.
        keep_top_k: how many of the best validated checkpoints stay beside the others.
    """

    def __init__(self, folder: str | Path, keep_top_k: int) -> None:
        self.folder = Path(folder)
        self.keep_top_k = keep_top_k
        self._unsaved: set[int] = set()  # steps since the last success

    @property
    def last(self) -> Path:
        """Where the newest state is."""
        return self.folder / "last.pt"

    @property
    def failures(self) -> int:
        """Steps in a row that could not be saved."""
        return len(self._unsaved)

    def save(
        self, state: dict[str, Any], validated: Validated | None = None, *, must: bool = False
    ) -> bool:
        """Replace last.pt, or warn that it could not be: a full disk may have room later.

        Args:
            state: with its "step".
            validated: keep it as best or among the top k as well.
            must: raise rather than warn.

        Returns:
            Whether it is on disk.

        Raises:
            UserError: `must`, or the third step in a row. A validation, which saves before and
                after itself, counts once, since no time has passed in which room could come.
        """
        try:
            self._save(state, validated)
        except UserError as error:
            self._unsaved.add(state["step"])
            if must or self.failures >= MAX_FAILURES:
                raise
            logger.warning(
                "step %d was not saved, attempt %d of %d, and training goes on: %s",
                *(state["step"], self.failures, MAX_FAILURES, error),
            )
            return False
        self._unsaved.clear()
        return True

    def _save(self, state: dict[str, Any], validated: Validated | None) -> None:
        content = serialised(of_format(state))
        with atomic_write(self.last) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            # Before it becomes last.pt: a run killed in here validates again and ends up alike.
            if validated:
                self._keep(Path(file.name), state["step"], validated)
            if self.last.exists():
                _link(self.last, self.folder / "previous.pt")

    def _keep(self, source: Path, step: int, validated: Validated) -> None:
        """Keep a file under its step and value if among the top k, and as best.pt if best."""
        if validated.is_best:
            _link(source, self.folder / "best.pt")
        if self.keep_top_k < 1:
            return
        label = validated.name.replace("/", "-")
        _link(source, self.folder / f"top_{label}={validated.value:.5f}_step={step}.pt")
        for worse in sorted(self.folder.glob(f"top_{label}=*.pt"), key=rank)[self.keep_top_k :]:
            worse.unlink(missing_ok=True)


def newest_good(folder: str | Path) -> tuple[Path, dict[str, Any]] | None:
    """The newest checkpoint that a run can go on from, and its content.

    That is last.pt. Where it is damaged or gone, it is the one of the highest step among
    previous.pt, best.pt and the top k, told in a warning.

    Args:
        folder: of the run; checkpoints are in `checkpoints/`.

    Returns:
        None where nothing was ever saved.

    Raises:
        UserError: none of them can be used.
    """
    checkpoints = Path(folder) / "checkpoints"
    last = checkpoints / "last.pt"
    names = ("last.pt", "previous.pt", "best.pt", "top_*.pt")
    paths = [path for name in names for path in sorted(checkpoints.glob(name))]
    troubles: list[str] = [] if last in paths or not paths else [f"{last}: is gone."]
    newest = None
    for path in paths:
        try:
            state = _load_resumable(path)
        except UserError as error:
            troubles.append(str(error))
            continue
        if newest is None or state["step"] > newest[1]["step"]:
            newest = path, state
        if path == last:
            return newest
    if newest is None and troubles:
        raise UserError(f"{checkpoints}: no checkpoint can be used. {troubles[0]}")
    if newest is not None:
        path, state = newest
        lost = max(0, _logged_step(folder) - state["step"])
        logger.warning(
            "%s Going on from %s, step %d: %s after it in log.jsonl will be trained again.",
            *(" ".join(troubles), path.name, state["step"], counted(lost, "step")),
        )
    return newest


def _load_resumable(path: Path) -> dict[str, Any]:
    state = load_checkpoint(path)
    if not {"optimizer", "progress", "random", "unlogged"} <= state.keys():
        raise UserError(
            f"{path}: holds weights only, or is of an earlier version; start a new run with "
            f"init_from={path}"
        )
    return state


def _logged_step(folder: str | Path) -> int:
    """How far the run came, as its log tells."""
    log = Path(folder) / "log.jsonl"
    return max((event["step"] for event in read_log(log)), default=0) if log.exists() else 0


def rank(path: Path) -> tuple[bool, float, int]:
    """Sorts files of the top k, the best first: whether NaN, the value, minus the step."""
    value, step = path.stem.split("=")[-2:]
    number = float(value.removesuffix("_step"))
    # NaN has no order of its own: last. Of equals the newer has learnt more.
    return math.isnan(number), number, -int(step)


def _link(source: Path, target: Path) -> None:
    """Give a file a second name. Files are only ever replaced, so a link is as good as a copy."""
    temporary = target.with_name(f".{target.name}.part")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:  # a file system without hard links
        with atomic_write(target) as copy, source.open("rb") as file:
            shutil.copyfileobj(file, copy)
    else:
        temporary.replace(target)
