import json
import logging
import os
import signal

import numpy as np
import pytest
import torch
from torch import nn

from src.trainer import OneCycle, load_checkpoint
from src.trainer.interrupts import Interrupts
from src.trainer.progress import Progress
from src.trainer.settings import Settings
from src.utils.errors import UserError
from tests.trainer.conftest import DEFAULTS, make_recognizer
from tests.trainer.tones import Tones


def weights(trainer) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in trainer.stepper.recognizer.parameters()])


def scalars(run_dir) -> list[dict]:
    lines = (run_dir / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


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
    logged = scalars(trainer.run_dir)
    names = {name for line in logged for name in line}
    for name in ("train/loss", "train/grad_norm", "train/data_wait", "validation/cer"):
        assert name in names


def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(trainer_of, tmp_path):
    whole = trainer_of("whole", n_epochs=4)
    whole.train()
    first = trainer_of("halves", n_epochs=4)
    for batches in first._micro_batches():  # stops in the middle of the second epoch
        first.train_step(batches)
        if first.progress.step == 5:
            break
    first.save()
    torch.manual_seed(12345)  # whatever the process drew in between
    second = trainer_of("halves", n_epochs=4)
    second.restore(first.checkpoints.last)
    assert second.progress.step == 5 and second.progress.next_batch == 2
    second.train()
    assert torch.equal(weights(second), weights(whole))
    assert second.progress.best == whole.progress.best


def test_an_epoch_can_be_told_by_its_steps(trainer_of):
    trainer = trainer_of(n_epochs=2, epoch_len=5, validate_every_epochs=1)
    trainer.train()
    assert trainer.progress.step == 10
    validated = [line["step"] for line in scalars(trainer.run_dir) if "validation/wer" in line]
    assert validated == [5, 10]


def test_validation_every_n_steps_and_at_the_end(trainer_of):
    trainer = trainer_of(n_epochs=2, validate_every_epochs=None, validate_every_steps=4)
    trainer.train()
    validated = [line["step"] for line in scalars(trainer.run_dir) if "validation/wer" in line]
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
    step = trainer.stepper.step

    def step_and_kill(batches, at):
        if at == 3:
            os.kill(os.getpid(), number)
        return step(batches, at)

    trainer.stepper.step = step_and_kill
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


class WithNaN(Tones):
    """Tones of which some recordings are not numbers."""

    def __init__(self, bad: set[int]) -> None:
        super().__init__()
        self.bad = bad

    def __getitem__(self, i):
        utterance = super().__getitem__(i)
        if i in self.bad:
            utterance = type(utterance)(
                id=f"nan-{i}",
                waveform=np.full(8000, np.nan, dtype=np.float32),
                tokens=utterance.tokens,
            )
        return utterance


def test_a_batch_that_is_not_finite_is_skipped_counted_and_named(trainer_of, caplog):
    trainer = trainer_of(dataset=WithNaN({4}), n_epochs=1)
    with caplog.at_level(logging.WARNING):
        trainer.train()
    assert trainer.progress.n_non_finite == 1 and trainer.progress.step == 3
    assert "nan-4" in caplog.text and "skipped" in caplog.text
    assert torch.isfinite(weights(trainer)).all()


def test_the_policy_stop_ends_the_run_and_keeps_what_was_learnt(trainer_of):
    trainer = trainer_of(dataset=WithNaN({4}), n_epochs=3, non_finite="stop")
    with pytest.raises(UserError, match=r"not finite.*nan-4.*trainer\.non_finite=skip"):
        trainer.train()
    saved = load_checkpoint(trainer.checkpoints.last)
    assert all(torch.isfinite(t).all() for t in saved["recognizer"].values())


def test_nothing_but_failures_ends_the_run(trainer_of):
    trainer = trainer_of(dataset=WithNaN(set(range(24))), n_epochs=9, max_skipped_in_a_row=4)
    with pytest.raises(UserError, match=r"4 failed steps in a row: lower optimizer\.lr"):
        trainer.train()
    assert trainer.progress.step == 4


class OnceHungry(nn.Module):
    """Asks for 2⁵⁸ bytes at its second call."""

    calls = 0

    def forward(self, features, lengths, generator=None):
        self.calls += 1
        if self.calls == 2:
            torch.empty(2**58, dtype=torch.uint8)
        return features


def test_running_out_of_memory_is_counted_in_log_and_checkpoint(trainer_of, caplog):
    trainer = trainer_of(augment=OnceHungry(), n_epochs=2)
    with caplog.at_level(logging.WARNING):
        trainer.train()
    assert "out of memory, utterances tones-" in caplog.text
    assert load_checkpoint(trainer.checkpoints.last)["progress"]["n_out_of_memory"] == 1
    assert any(line.get("train/n_out_of_memory") == 1 for line in scalars(trainer.run_dir))


def test_a_checkpoint_of_another_vocabulary_or_model_is_told_apart(trainer_of):
    trainer = trainer_of("a")
    trainer.save()
    other = trainer_of("b")
    other.description["symbols"] = ["_", "x", "y"]
    with pytest.raises(UserError, match=r"vocabulary of 5 symbols.*this config has 3.*text="):
        other.restore(trainer.checkpoints.last)
    larger = trainer_of("c", recognizer=make_recognizer(n_tokens=9))
    with pytest.raises(UserError, match=r"weights of another model.*model=… and transform=…"):
        larger.restore(trainer.checkpoints.last)


def test_an_unknown_metric_to_monitor_is_named_with_those_there_are(trainer_of):
    with pytest.raises(UserError, match=r"trainer.monitor=bleu: validation measures only .*wer"):
        trainer_of(n_epochs=1, monitor="bleu").train()


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
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda w: next(iter(w)))
def test_a_setting_outside_its_range_is_named(wrong):
    name, value = next(iter(wrong.items()))
    with pytest.raises(UserError, match=f"trainer.{name}={value}: expected"):
        Settings(**(DEFAULTS | wrong))
