"""A run that falls saves only what an uninterrupted one has had, and loses nothing else."""

import logging
import signal

import pytest
import torch

from src.trainer import load_checkpoint
from src.trainer.moving_average import MovingAverage
from src.utils.errors import UserError
from tests.trainer.conftest import log_lines, weights
from tests.trainer.tones import Tones


def ctrl_c_twice():
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)


def crash():
    raise RuntimeError("cuDNN error")


def before_call(number: int, function, action):
    """`function`, with `action` before its call of that number, from 1 on."""
    calls = []

    def called(*args, **keys):
        calls.append(None)
        if len(calls) == number:
            action()
        return function(*args, **keys)

    return called


@pytest.fixture
def undisturbed(trainer_of) -> torch.Tensor:
    trainer = trainer_of("undisturbed")
    trainer.train()
    return weights(trainer)


def resumed(trainer_of, **changes):
    trainer = trainer_of("fallen", **changes)
    trainer.restore(trainer.run_dir)
    trainer.train()
    return trainer


@pytest.mark.parametrize(
    ("end", "error"), [(ctrl_c_twice, KeyboardInterrupt), (crash, RuntimeError)]
)
def test_what_ends_a_step_before_its_update_leaves_no_trace_of_it(
    trainer_of, undisturbed, end, error
):
    fallen = trainer_of("fallen")
    fallen.stepper.loss = before_call(3, fallen.stepper.loss, end)  # dropout is drawn already
    with pytest.raises(error):
        fallen.train()
    assert load_checkpoint(fallen.checkpoints.last)["step"] == 2
    assert torch.equal(weights(resumed(trainer_of)), undisturbed)


@pytest.mark.parametrize(
    ("end", "error"), [(ctrl_c_twice, KeyboardInterrupt), (crash, RuntimeError)]
)
def test_half_an_update_is_never_saved(trainer_of, undisturbed, end, error, caplog):
    fallen = trainer_of("fallen", save_every_minutes=1e-9)
    optimizer = fallen.stepper.optimizer

    def half_of_it():
        with torch.no_grad():
            optimizer.param_groups[0]["params"][0].add_(1.0)
        end()

    optimizer.step = before_call(3, optimizer.step, half_of_it)
    with pytest.raises(error):
        fallen.train()
    assert "fell in the middle of an update" in caplog.text
    assert load_checkpoint(fallen.checkpoints.last)["step"] == 2
    assert torch.equal(weights(resumed(trainer_of)), undisturbed)


def test_an_update_that_nobody_has_counted_is_not_saved(trainer_of, undisturbed):
    fallen = trainer_of("fallen", save_every_minutes=1e-9)
    fallen.progress.advance = before_call(3, fallen.progress.advance, ctrl_c_twice)
    with pytest.raises(KeyboardInterrupt):
        fallen.train()
    assert load_checkpoint(fallen.checkpoints.last)["step"] == 2
    assert torch.equal(weights(resumed(trainer_of)), undisturbed)


def test_half_an_exchange_of_weights_and_their_average_is_not_saved(trainer_of, monkeypatch):
    whole = trainer_of("whole", ema_decay=0.9)
    whole.train()
    fallen = trainer_of("fallen", ema_decay=0.9, validate_every_steps=2)
    clone = torch.Tensor.clone

    def swap(self):
        with monkeypatch.context() as patch:
            patch.setattr(torch.Tensor, "clone", before_call(3, clone, ctrl_c_twice))
            original(self)

    original = MovingAverage._swap
    with monkeypatch.context() as patch:
        patch.setattr(MovingAverage, "_swap", swap)
        with pytest.raises(KeyboardInterrupt):
            fallen.train()
    assert load_checkpoint(fallen.checkpoints.last)["step"] == 2
    assert torch.equal(weights(resumed(trainer_of, ema_decay=0.9)), weights(whole))


def test_ctrl_c_while_a_validation_is_saved_loses_no_best_checkpoint(trainer_of):
    changes = {"validate_every_steps": 1, "monitor": "loss", "n_epochs": 1}
    fallen = trainer_of("fallen", **changes)
    fallen.checkpoints._keep = before_call(2, fallen.checkpoints._keep, ctrl_c_twice)
    with pytest.raises(KeyboardInterrupt):
        fallen.train()
    progress = load_checkpoint(fallen.checkpoints.last)["progress"]
    assert (progress["step"], progress["validated_step"], progress["best_step"]) == (2, 1, 1)
    again = resumed(trainer_of, **changes, lr=0.0)  # learns no more, so step 2 stays the best
    best = load_checkpoint(again.run_dir / "checkpoints/best.pt")["step"]
    assert best == again.progress.best_step == 2


def test_a_gpus_late_report_of_failure_does_not_keep_the_run_from_being_saved(trainer_of):
    trainer = trainer_of("run", n_epochs=9, max_skipped_in_a_row=4, validate_every_epochs=9)

    class LateReports:
        """The stepper, whose device says "cuda", so that its reports are read a step later."""

        device = torch.device("cuda")

        def __getattr__(self, name):
            return getattr(stepper, name)

        def __setattr__(self, name, value):
            setattr(stepper, name, value)

    stepper, loss = trainer.stepper, trainer.stepper.loss
    calls = []

    def spoilt(*args):
        calls.append(None)
        found = loss(*args)
        return found._replace(total=found.total * float("nan")) if len(calls) > 7 else found

    stepper.loss, trainer.stepper = spoilt, LateReports()
    with pytest.raises(UserError, match=r"step 11: .* 4 failed steps in a row"):
        trainer.train()
    saved = load_checkpoint(trainer.checkpoints.last)
    assert saved["step"] == 12 and saved["progress"]["n_non_finite"] == 5
    assert all(torch.isfinite(value).all() for value in saved["recognizer"].values())


def test_memory_that_ends_in_the_middle_of_an_update_ends_the_run(trainer_of):
    trainer = trainer_of("run", save_every_minutes=1e-9)

    def full():
        raise torch.OutOfMemoryError("CUDA out of memory.")

    trainer.stepper.optimizer.step = before_call(3, trainer.stepper.optimizer.step, full)
    with pytest.raises(UserError, match=r"in the middle of an update\. Halve .*batch_size, double"):
        trainer.train()
    assert load_checkpoint(trainer.checkpoints.last)["step"] == 2


def test_no_summary_tells_of_the_sitting_before(trainer_of):
    first = trainer_of("fallen", n_epochs=1)
    first.train()
    assert (first.run_dir / "summary.json").exists()
    second = trainer_of("fallen", n_epochs=2)
    second.restore(first.run_dir)
    second.stepper.loss = before_call(1, second.stepper.loss, crash)
    with pytest.raises(RuntimeError):
        second.train()
    assert not (first.run_dir / "summary.json").exists()


def test_another_metric_to_monitor_begins_with_a_best_of_its_own(trainer_of, caplog):
    first = trainer_of("fallen", n_epochs=1, monitor="wer")
    first.train()
    assert first.progress.best <= 1.0
    second = trainer_of("fallen", n_epochs=2, monitor="loss", patience=1)
    second.restore(first.run_dir)
    second.train()
    assert "The best wer is forgotten: trainer.monitor is loss now." in caplog.text
    losses = [
        event["validation/loss"] for event in log_lines(first.run_dir) if "validation/loss" in event
    ]
    assert second.progress.best == losses[-1] and second.progress.best_step == 6
    assert load_checkpoint(first.run_dir / "checkpoints/best.pt")["step"] == 6


def test_smaller_batches_go_on_at_the_same_share_of_the_pass(trainer_of, caplog):
    first = trainer_of("fallen", n_epochs=2, batch_size=8)
    for batches in first.micro_batches():
        first.train_step(batches)
        if first.progress.step == 4:
            break
    first.save()
    assert first.progress.next_batch == 1 and first.progress.n_batches == 3
    second = trainer_of("fallen", n_epochs=2, batch_size=4, accumulate=2)
    with caplog.at_level(logging.WARNING):
        second.restore(first.run_dir)
    assert "a pass had 3 batches and has 6. Of the pass under way" in caplog.text
    assert second.progress.next_batch == 2
    second.train()
    assert second.progress.step == 6 == first.total_steps
    heard_s = 2 * Tones().durations_s.sum()
    assert second.progress.audio_s == pytest.approx(heard_s, rel=0.1)  # other batches, as long


def test_a_run_that_gets_longer_with_smaller_batches_says_so(trainer_of, caplog):
    first = trainer_of("fallen", n_epochs=2, batch_size=8)
    first.save()
    second = trainer_of("fallen", n_epochs=2, batch_size=4)
    second.restore(first.run_dir)
    assert "an epoch 3 steps and now 6: the run ends at another step" in caplog.text
    assert "trainer.accumulate" in caplog.text
