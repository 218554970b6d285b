"""SIGKILL from inside, at a line of code of choice: moments that a clock would hardly ever hit."""

import os
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

import src

# Files whose lines count.
PLACES: dict[str, set[str]] = {
    "anywhere": {
        *("trainer.py", "stepper.py", "progress.py", "validation.py", "evaluate.py", "jsonl.py"),
        *("checkpoint.py", "checkpoint_folder.py", "files.py", "folders.py", "provenance.py"),
        *("loader.py", "schedules.py", "weights.py", "training.py"),
    },
    "saving": {"checkpoint_folder.py", "checkpoint.py"},
    "validating": {"validation.py", "evaluate.py"},
    "logging": {"jsonl.py"},
    "writing": {"files.py"},
}
SOURCE = str(Path(src.__file__).parent)


class Killer:
    """Counts the lines that a process executes in `src`, and kills it at one of them.

    Args:
        place: a key of PLACES: which lines count.
        after: the line to die before; None only counts.
        note: file that takes "file:line function" of the death, or by `tell` the lines of each
            file that were executed, as "file n".
    """

    def __init__(self, place: str, after: int | None, note: Path) -> None:
        self.files = PLACES[place]
        self.after = after
        self.note = note
        self.counts: Counter[str] = Counter()
        self.n = 0

    def arm(self) -> None:
        """From now on, in this thread of this process and in no child of it."""
        self.process = os.getpid()
        sys.settrace(self._enter)

    def tell(self) -> None:
        """Write the counts of a whole life."""
        sys.settrace(None)
        lines = [f"{name} {n}\n" for name, n in sorted(self.counts.items())]
        self.note.write_text("".join(lines), encoding="utf-8")

    def _enter(self, frame: FrameType, event: str, argument: object):
        path = frame.f_code.co_filename
        watched = path.startswith(SOURCE) and path.rpartition("/")[2] in self.files
        return self._line if watched and os.getpid() == self.process else None

    def _line(self, frame: FrameType, event: str, argument: object):
        if event != "line":
            return self._line
        name = frame.f_code.co_filename.rpartition("/")[2]
        self.counts[name] += 1
        self.n += 1
        if self.n == self.after:
            where = f"{name}:{frame.f_lineno} {frame.f_code.co_name}"
            self.note.write_text(where, encoding="utf-8")
            os.kill(self.process, signal.SIGKILL)
        return self._line
