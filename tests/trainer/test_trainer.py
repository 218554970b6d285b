import json
import math
import os
import signal
from dataclasses import fields

import pytest

from src.trainer import OneCycle, load_checkpoint
from src.trainer.interrupts import Interrupts
from src.trainer.progress import Progress
from src.trainer.settings import Settings
from src.utils.errors import UserError
from tests.trainer.conftest import DEFAULTS, log_lines, make_recognizer
from tests.trainer.tones import Tones


def test_it_learns_to_read_tones_it_never_heard(trainer_of):
    trainer = trainer_of(
        dataset=Tones(64),
        recognizer=make_recognizer(dropout=0.0),
        schedule=OneCycle(),
        lr=0.006,
        batch_size=4,
        n_epochs=24,
        validate_every_epochs=24,
        monitor="cer",
        n_examples=3,
    )
    assert trainer.train() == 0
    summary = json.loads((trainer.run_dir / "summary.json").read_text())
    assert summary["finished"] and summary["step"] == 384 == trainer.total_steps
    assert trainer.progress.best < 0.1
    logged = log_lines(trainer.run_dir)
    names = {name for line in logged for name in line}
    for name in ("train/loss", "train/grad_norm", "train/data_wait", "validation/cer"):
        assert name in names


def test_what_was_learnt_is_on_disk_before_held_out_speech_is_read(trainer_of):
    trainer = trainer_of(n_epochs=1, save_every_minutes=60.0)
    validate, saved = trainer.validation.run, []

    def look_then_validate(step):
        saved.append(load_checkpoint(trainer.checkpoints.last)["step"])
        return validate(step)

    trainer.validation.run = look_then_validate
    trainer.train()
    assert saved == [3]


def test_every_step_is_in_the_log_however_short_the_run(trainer_of):
    trainer = trainer_of(n_epochs=2, log_every=50)  # three steps an epoch
    trainer.train()
    logged = [line["step"] for line in log_lines(trainer.run_dir) if "train/loss" in line]
    assert logged == [3, 6]


def test_an_epoch_can_be_told_by_its_steps(trainer_of):
    trainer = trainer_of(n_epochs=2, epoch_len=5, validate_every_epochs=1)
    trainer.train()
    assert trainer.progress.step == 10
    validated = [line["step"] for line in log_lines(trainer.run_dir) if "validation/wer" in line]
    assert validated == [5, 10]


def test_validation_every_n_steps_and_at_the_end(trainer_of):
    trainer = trainer_of(n_epochs=2, validate_every_epochs=None, validate_every_steps=4)
    trainer.train()
    validated = [line["step"] for line in log_lines(trainer.run_dir) if "validation/wer" in line]
    assert validated == [4, 6]


def test_it_stops_early_when_nothing_improves_any_more(trainer_of):
    trainer = trainer_of(n_epochs=50, lr=0.0, patience=2)  # a model that can't improve
    assert trainer.train() == 0
    assert trainer.progress.step == 9  # one best validation, then two that are no better
    assert trainer.progress.best_step == 3


def test_accumulation_takes_several_batches_a_step(trainer_of):
    trainer = trainer_of(n_epochs=1, accumulate=2)
    trainer.train()
    assert trainer.total_steps == 2 and trainer.progress.step == 2
    assert trainer.progress.audio_s == pytest.approx(Tones().durations_s.sum(), rel=1e-4)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_leaves_with_its_status(trainer_of, number):
    trainer = trainer_of(n_epochs=50)
    launch = trainer.stepper.launch

    def launch_and_kill(batches, at):
        if at == 3:
            os.kill(os.getpid(), number)
        return launch(batches, at)

    trainer.stepper.launch = launch_and_kill
    before = signal.getsignal(number)
    assert trainer.train() == 128 + number
    assert signal.getsignal(number) == before
    assert load_checkpoint(trainer.checkpoints.last)["step"] == 4
    assert json.loads((trainer.run_dir / "summary.json").read_text())["finished"] is False


def test_a_second_signal_acts_at_once():
    with pytest.raises(KeyboardInterrupt), Interrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupts.signal == signal.SIGINT and interrupts.exit_status == 130
        os.kill(os.getpid(), signal.SIGINT)


def test_an_unknown_metric_to_monitor_is_named_with_those_there_are(trainer_of):
    with pytest.raises(UserError, match=r"trainer.monitor=bleu: validation measures only .*wer"):
        trainer_of(n_epochs=1, monitor="bleu").train()


def test_a_value_that_is_no_number_is_never_the_best():
    progress = Progress()
    assert [progress.judge(v) for v in (math.nan, 0.5, math.nan, 0.4)] == [False, True, False, True]
    assert progress.best == 0.4 and progress.stale_validations == 0


def test_of_equal_rates_the_lower_loss_is_better():
    progress = Progress()
    judged = [progress.judge(1.0, loss) for loss in (2.9, 2.8, 2.85, 2.3)]
    assert judged == [True, True, False, True]
    assert progress.judge(0.9, 2.5) and not progress.judge(1.0, 0.1)


def test_progress_survives_a_checkpoint():
    progress = Progress(step=5, data_epoch=1, next_batch=2, best=0.25, best_step=4)
    again = Progress.from_dict(progress.to_dict() | {"unknown": 1})
    assert (again.step, again.data_epoch, again.next_batch) == (5, 1, 2)
    assert (again.best, again.best_step) == (0.25, 4)


WRONG = [
    {"n_epochs": 0},
    {"accumulate": 0},
    {"epoch_len": 0},
    {"patience": 0},
    {"max_grad_norm": 0},
    {"non_finite": "ignore"},
    {"precision": "fp8"},
    *({field.name: -1} for field in fields(Settings) if field.type in (int, int | None)),
    *({field.name: -1.0} for field in fields(Settings) if field.type in (float, float | None)),
    *({field.name: math.nan} for field in fields(Settings) if field.type in (float, float | None)),
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_a_setting_outside_its_range_is_named(wrong):
    name, value = next(iter(wrong.items()))
    with pytest.raises(UserError, match=f"trainer.{name}={value}: expected"):
        Settings(**(DEFAULTS | wrong))


def test_settings_may_say_that_nothing_is_kept_shown_or_clipped():
    nothing = {"keep_top_k": 0, "n_examples": 0, "save_every_minutes": 0.0}
    assert Settings(**(DEFAULTS | nothing | {"max_grad_norm": math.inf})).keep_top_k == 0
