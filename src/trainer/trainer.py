"""The training loop. It knows no Hydra, no wandb and no concrete model.

`train_loader` says what comes when, `Stepper` learns from it, `Validation` judges and
`Checkpoints` keeps. All that is counted is in `Progress`.
"""

import collections
import itertools
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from src.batch import Batch
from src.datasets import Loader
from src.trainer.checkpoint_folder import Checkpoints, Validated
from src.trainer.failures import tell_failure
from src.trainer.interrupts import Interrupts
from src.trainer.progress import Meter, Progress, training_bar
from src.trainer.reports import PendingReport
from src.trainer.schedules import set_learning_rate
from src.trainer.settings import Settings
from src.trainer.state import capture, find_state, put_back
from src.trainer.stepper import Stepper
from src.trainer.validation import Validation
from src.utils import parallel
from src.utils.files import write_json
from src.utils.tables import counted

logger = logging.getLogger(__name__)


class Trainer:
    """Trains a CTC recogniser until its epochs are done, patience ends or somebody stops it.

    Args:
        stepper: forward, backward, update.
        schedule: `(step, total_steps) -> factor` of the peak learning rate.
        train_loader: its `batch_sampler` is a seekable `Batches` of `src.datasets`.
        validation: judges on held-out speech.
        log: a logger of `src.logger`.
        run_dir: where checkpoints and the summary go.
        description: plain values stored in every checkpoint, enough to rebuild the model.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        stepper: Stepper,
        schedule: Callable[[int, int], float],
        train_loader: Loader,
        validation: Validation,
        log,
        run_dir: Path,
        description: dict[str, Any],
    ) -> None:
        self.settings = settings
        self.stepper = stepper
        self.schedule = schedule
        self.train_loader = train_loader
        self.validation = validation
        self.log = log
        self.run_dir = Path(run_dir)
        self.description = description
        self.checkpoints = Checkpoints(self.run_dir / "checkpoints", settings.keep_top_k)
        one_pass = -(-len(train_loader.batch_sampler) // settings.accumulate)
        self.steps_per_epoch = settings.epoch_len or one_pass
        self.total_steps = settings.n_epochs * self.steps_per_epoch
        self.progress = Progress()
        self._fit_progress()
        self.meter = Meter()
        self.unread: collections.deque[tuple[int, PendingReport]] = collections.deque()
        self.learning_rate = 0.0

    def train(self) -> int:
        """Run to the end; the exit status is 0, or 128 + the signal that ended the run.

        Raises:
            UserError: unusable data, too many failed steps or a full disk; the state before
                it is saved where that is still possible.
        """
        self.progress.start_clock()
        if parallel.is_first():  # it would tell of an earlier sitting if this one crashes
            (self.run_dir / "summary.json").unlink(missing_ok=True)
        with Interrupts() as interrupts:
            try:
                self._loop(interrupts)
                if parallel.largest(self.checkpoints.failures)[0]:
                    self.save(must=True)
            except BaseException:
                self._save_before_falling()
                raise
        if parallel.is_first():
            write_json(self.run_dir / "summary.json", self.summary(interrupts.signal))
        return interrupts.exit_status

    def _loop(self, interrupts: Interrupts) -> None:
        if self.progress.validated_step < self.progress.step and self._validation_is_due():
            self._validate()  # what the sitting before did not come to
        # Clocks and signals differ between processes: what one wants, all do.
        interrupts.signal = parallel.largest(interrupts.signal or 0)[0] or None
        if interrupts.signal or self._is_finished():
            return
        saved_at_s = self.progress.elapsed_s()
        with training_bar(self.total_steps, self.progress.step) as bar:
            self.meter.start_clock()
            for batches in self.meter.waiting_for(self.micro_batches()):
                self.train_step(batches)
                bar.set_postfix(self.meter.postfix(self.learning_rate), refresh=False)
                bar.update()
                signal, save_is_due = parallel.largest(
                    interrupts.signal or 0, self._save_is_due(saved_at_s)
                )
                interrupts.signal = signal or None
                if self._validation_is_due():
                    self._validate()
                    saved_at_s = self.progress.elapsed_s()
                elif signal or save_is_due:
                    self.save()
                    saved_at_s = self.progress.elapsed_s()
                if signal or self._is_finished():
                    return

    def train_step(self, batches: list[Batch]) -> None:
        """One optimizer step on `batches`, counted and logged.

        On a GPU the report is read one step later, so that the CPU has the next step queued
        before it waits for this one.
        """
        self._set_learning_rate(self.progress.step)
        pending = self.stepper.launch(batches, self.progress.step)
        self.progress.advance(n_batches=len(batches))
        self.stepper.is_updating = False
        self.unread.append((self.progress.step, pending))
        at_once = self.stepper.device.type == "cpu" or self.settings.non_finite == "stop"
        self._read_reports(but=0 if at_once else 1)
        if self.progress.step % self.settings.log_every == 0:
            self._log_training()

    def _set_learning_rate(self, step: int) -> None:
        factor = self.schedule(step, self.total_steps)
        self.learning_rate = set_learning_rate(self.stepper.optimizer, factor)

    def _read_reports(self, but: int = 0, *, count_only: bool = False) -> None:
        """Count what the steps found out, except the last `but` ones, and tell of failures."""
        while len(self.unread) > but:
            step, pending = self.unread.popleft()
            report = pending.read()
            self.progress.count(report)
            self.meter.reports.append(report)
            if report.skipped and not count_only:
                tell_failure(report, step, self.progress, self.settings)

    def micro_batches(self) -> Iterator[list[Batch]]:
        """The batches of one optimizer step after another, from where the run stands."""
        sampler = self.train_loader.batch_sampler
        while self.progress.step < self.total_steps:
            sampler.set_position(self.progress.data_epoch, self.progress.next_batch)
            batches = iter(self.train_loader)
            while group := list(itertools.islice(batches, self.settings.accumulate)):
                yield group
                if self.progress.step >= self.total_steps:
                    return
            self.progress.begin_data_epoch()

    def _validation_is_due(self) -> bool:
        step, settings = self.progress.step, self.settings
        every_epochs = (settings.validate_every_epochs or 0) * self.steps_per_epoch
        periods = [period for period in (every_epochs, settings.validate_every_steps) if period]
        return step >= self.total_steps or any(step % period == 0 for period in periods)

    def _validate(self) -> None:
        progress = self.progress
        if self.meter.reports or self.unread:
            self._log_training()
        self.save()  # reading held-out speech may take long, and go wrong
        with self.stepper.averaged():
            name, value, metrics = self.validation.run(progress.step)
        if before := progress.monitor(name):
            logger.warning("The best %s is forgotten: trainer.monitor is %s now.", before, name)
        judged = progress.judged()
        is_best = progress.judge(value, metrics["loss"])
        try:
            if not self.save(Validated(name, value, is_best, metrics)):
                progress.put_back(judged, "best", "best_loss", "best_step")  # as on disk
        except BaseException:  # held-out speech is read again when the run resumes
            progress.put_back(judged)
            raise
        self.meter.reset()  # time spent validating is not training time

    def _save_is_due(self, saved_at_s: float) -> bool:
        ends_epoch = self.progress.step % self.steps_per_epoch == 0
        unsaved_s = self.progress.elapsed_s() - saved_at_s
        return ends_epoch or unsaved_s > 60 * self.settings.save_every_minutes

    def _is_finished(self) -> bool:
        progress, patience = self.progress, self.settings.patience
        if patience is not None and progress.stale_validations >= patience:
            logger.info(
                "Stopped early: %s without a better value than %.4f at step %d.",
                counted(progress.stale_validations, "validation"),
                *(progress.best, progress.best_step),
            )
            return True
        return progress.step >= self.total_steps

    def _log_training(self) -> None:
        self._read_reports()
        values = {f"train/{name}": value for name, value in self.meter.summary().items()}
        values["train/learning_rate"] = self.learning_rate
        values["train/epoch"] = self.progress.step / self.steps_per_epoch
        troubles = self.progress.troubles()
        if n_unreadable := self.train_loader.n_unreadable:
            troubles["n_unreadable"] = n_unreadable
        values |= {f"train/{name}": n for name, n in troubles.items()}
        self.log.scalars(self.progress.step, values)
        self.meter.reset()

    def save(self, validated: Validated | None = None, *, must: bool = False) -> bool:
        """Replace last.pt by the present state; False where that failed and may be tried again."""
        self._read_reports()
        state = capture(self.stepper, self.progress, self.meter) | self.description
        state |= {"metrics": validated.metrics} if validated else {}
        saved = self.checkpoints.save(state, validated, must=must) if parallel.is_first() else True
        return parallel.from_first(saved)

    def restore(self, path: Path) -> None:
        """Continue from the newest good checkpoint of a run folder, or from a file.

        Raises:
            UserError: unreadable, or of another model, vocabulary or optimizer.
        """
        if (found := find_state(path)) is None:
            self.log.rewind(0)
            logger.warning("%s: nothing was saved yet, the run starts anew.", path)
            return
        path, state = found
        self.progress, unlogged = put_back(state, self.stepper, self.description, path)
        self.meter.take_up(unlogged)
        self._fit_progress(path)
        step, total = self.progress.step, self.total_steps
        self._set_learning_rate(max(0, step - 1))  # a validation may come, and save, before a step
        self.log.rewind(step, validated=self.progress.validated_step == step)
        done = "" if step < total else ", the last: a higher trainer.n_epochs would train on"
        logger.info("Resumed from %s at step %d of %d%s.", path, step, total, done)

    def _fit_progress(self, path: Path | None = None) -> None:
        n_batches = len(self.train_loader.batch_sampler)
        if told := self.progress.fit(n_batches, self.steps_per_epoch):
            logger.warning("%s: %s", path, told)

    def _save_before_falling(self) -> None:
        if self.progress.step == 0 or parallel.n_processes() > 1:
            return  # nothing is learnt yet, or the others may be gone, whose state belongs to ours
        if not self.stepper.is_whole:
            logger.warning("The run fell in the middle of an update, which can't be saved.")
            return
        try:
            self._read_reports(count_only=True)  # what they tell may be why the run falls
            self.save(must=True)
            logger.warning("Saved step %d to %s.", self.progress.step, self.checkpoints.last)
        except Exception as error:
            logger.warning("The last steps could not be saved: %s", error)

    def summary(self, signal: int | None) -> dict[str, Any]:
        """How the run went, in plain values."""
        best = self.checkpoints.folder / "best.pt"
        return {
            "finished": signal is None,
            "best_checkpoint": str(best) if best.exists() else None,
            "total_steps": self.total_steps,
            **self.progress.to_dict(),
        }
