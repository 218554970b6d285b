"""How far a run has come, and how fast it goes."""

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

from tqdm import tqdm

from src.trainer.reports import BESIDE, StepReport
from src.utils import parallel
from src.utils.tables import counted


@dataclass
class Progress:
    """Everything the loop counts; travels in the checkpoint."""

    step: int = 0  # optimizer steps taken or skipped: the one clock
    data_epoch: int = 0  # finished passes over the training data
    next_batch: int = 0  # first unseen batch of this pass
    n_batches: int = 0  # of a pass, by which `next_batch` counts; 0 = of an earlier version
    steps_per_epoch: int = 0  # by which `step` counts; 0 likewise
    monitored: str = ""  # the metric that `best` is of
    best: float | None = None  # best monitored value so far; lower is better
    best_loss: float | None = None  # validation loss there, where finite
    best_step: int = 0
    stale_validations: int = 0  # validations since the best one
    validated_step: int = 0  # when held-out speech was last read to its end
    skipped_in_a_row: int = 0
    n_non_finite: int = 0
    n_out_of_memory: int = 0
    n_impossible: int = 0
    audio_s: float = 0.0
    wall_s: float = 0.0  # of earlier sittings; `elapsed_s` adds this one

    def __post_init__(self) -> None:
        self.start_clock()

    def start_clock(self) -> None:
        """This sitting begins now."""
        self._started = time.monotonic()

    def elapsed_s(self) -> float:
        """Seconds of work over all sittings."""
        return self.wall_s + time.monotonic() - self._started

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a checkpoint or a summary."""
        return {**asdict(self), "wall_s": self.elapsed_s()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Progress":
        """Back from `to_dict`; keys this version doesn't know are dropped."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in known})

    def advance(self, n_batches: int) -> None:
        """One optimizer step was launched on the next `n_batches` batches."""
        self.step += 1
        self.next_batch += n_batches

    def count(self, report: StepReport) -> None:
        """Add what a step found out."""
        self.audio_s += report.audio_s
        self.n_impossible += report.n_impossible
        self.skipped_in_a_row = self.skipped_in_a_row + 1 if report.skipped else 0
        self.n_non_finite += report.skipped == "non-finite"
        self.n_out_of_memory += report.skipped == "out of memory"

    def begin_data_epoch(self) -> None:
        """All batches of this pass were seen."""
        # One statement, since a signal may come between two.
        self.data_epoch, self.next_batch = self.data_epoch + 1, 0

    def fit(self, n_batches: int, steps_per_epoch: int) -> str:
        """Count by batches of another size from now on; what that changes, in a sentence, or ""."""
        before = self.n_batches, self.steps_per_epoch
        self.n_batches, self.steps_per_epoch = n_batches, steps_per_epoch
        if 0 in before or before == (n_batches, steps_per_epoch):
            return ""
        self.next_batch = round(self.next_batch * n_batches / before[0])
        told = f"a pass had {counted(before[0], 'batch', 'batches')} and has {n_batches}"
        if steps_per_epoch != before[1]:
            told += (
                f", an epoch {counted(before[1], 'step')} and now {steps_per_epoch}: the run ends "
                "at another step, and the learning rate follows (trainer.accumulate "
                "makes up for batches)"
            )
        return f"{told}. Of the pass under way some utterances may come twice, others not at all."

    def monitor(self, name: str) -> str:
        """Judge this metric from now on; the one before, whose best is forgotten, or ""."""
        before, self.monitored = self.monitored, name
        if before in ("", name):
            return ""
        self.best, self.best_loss, self.best_step, self.stale_validations = None, None, 0, 0
        return before

    def judged(self) -> dict[str, Any]:
        """All that `judge` changes, to be taken back by `put_back`."""
        names = ("best", "best_loss", "best_step", "stale_validations", "validated_step")
        return {name: getattr(self, name) for name in names}

    def put_back(self, judged: dict[str, Any], *names: str) -> None:
        """Undo `judge`, or what it did to some of them."""
        for name in names or judged:
            setattr(self, name, judged[name])

    def judge(self, value: float, loss: float = math.inf) -> bool:
        """Note a monitored value; True where it is the best so far, which NaN never is.

        Of equal values the lower loss is better: a young network may have a WER of 100 % for
        many validations, and learn all the while.
        """

        def ranked(value: float | None, loss: float | None) -> tuple[float, float]:
            return tuple(math.inf if x is None or math.isnan(x) else x for x in (value, loss))

        is_best = not math.isnan(value) and ranked(value, loss) < ranked(self.best, self.best_loss)
        self.validated_step = self.step
        self.stale_validations = 0 if is_best else self.stale_validations + 1
        if is_best:
            self.best, self.best_step = value, self.step
            self.best_loss = loss if math.isfinite(loss) else None
        return is_best

    def troubles(self) -> dict[str, int]:
        """Counts of what went wrong so far, without the zeros."""
        names = ("n_impossible", "n_non_finite", "n_out_of_memory")
        return {name: getattr(self, name) for name in names if getattr(self, name)}


class Meter:
    """Averages over the steps since the last log line."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start a new window."""
        self.take_up([])

    def take_up(self, reports: list[StepReport]) -> None:
        """Go on with a window of an earlier sitting, whose time does not count for the speed."""
        self.reports = reports
        self.n_earlier = len(reports)
        self.start_clock()

    def start_clock(self) -> None:
        """The window's time begins now."""
        self.started = time.monotonic()
        self.waited_s = 0.0

    def waiting_for(self, batches: Iterable) -> Iterator:
        """Hand `batches` on, and note the time spent waiting for each."""
        iterator = iter(batches)
        while True:
            start = time.monotonic()
            try:
                batch = next(iterator)
            except StopIteration:
                return
            self.waited_s += time.monotonic() - start
            yield batch

    def summary(self) -> dict[str, float]:
        """Losses, gradient norm, speed and share of time spent waiting, over the window."""
        elapsed = max(1e-9, time.monotonic() - self.started)
        learned = [report for report in self.reports if not report.skipped]
        timed = self.reports[self.n_earlier :]
        values = {
            "audio_s_per_s": sum(r.audio_s for r in timed) / elapsed,
            "steps_per_s": len(timed) / elapsed,
            "data_wait": min(1.0, self.waited_s / elapsed),
        }
        if padded_s := sum(r.padded_s for r in self.reports):
            values["padding"] = 1 - sum(r.audio_s for r in self.reports) / padded_s
        if learned:
            values["loss"] = sum(r.loss for r in learned) / len(learned)
            values["grad_norm"] = sum(r.grad_norm for r in learned) / len(learned)
        for name in BESIDE:
            if parts := [p for r in learned if (p := getattr(r, name)) is not None]:
                values[name] = sum(parts) / len(parts)
        return values

    def postfix(self, learning_rate: float) -> dict[str, str]:
        """What stands behind the progress bar: the last step, and how fast the window went."""
        window = self.summary()
        loss = self.reports[-1].loss if self.reports else float("nan")
        return {
            "loss": f"{loss:.3f}",
            "lr": f"{learning_rate:.1e}",
            "audio s/s": f"{window['audio_s_per_s']:.0f}",
            "data wait": f"{window['data_wait']:.0%}",
        }


def training_bar(total_steps: int, step: int) -> tqdm:
    """A progress bar over optimizer steps that begins at `step`."""
    return tqdm(
        total=total_steps,
        initial=step,
        desc="training",
        unit="step",
        dynamic_ncols=True,
        # No bar where nobody watches: log lines tell the same.
        disable=None if parallel.is_first() else True,
    )
