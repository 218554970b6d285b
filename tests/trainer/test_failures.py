"""What goes wrong in training: each failure has a policy, is counted and is seen in the log."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from src.trainer import load_checkpoint
from src.utils.errors import UserError
from tests.trainer.conftest import log_lines, weights
from tests.trainer.tones import Tones


class WithSilence(Tones):
    """Tones of which some recordings are digital silence."""

    def __init__(self, silent: set[int]) -> None:
        super().__init__()
        self.silent = silent

    def __getitem__(self, i):
        utterance = super().__getitem__(i)
        if i in self.silent:
            utterance = replace(utterance, id=f"silent-{i}", waveform=np.zeros(8000, np.int16))
        return utterance


class DividedByDeviation(nn.Module):
    """An augmentation as people write it: silence it divides by 0."""

    def forward(self, features, lengths, generator=None):
        return features / features.std((1, 2), keepdim=True).round(decimals=2)


def test_a_batch_that_is_not_finite_is_skipped_counted_and_named(trainer_of, caplog):
    trainer = trainer_of(dataset=WithSilence({4}), augment=DividedByDeviation(), n_epochs=1)
    with caplog.at_level(logging.WARNING):
        trainer.train()
    assert trainer.progress.n_non_finite == 1 and trainer.progress.step == 3
    assert "silent-4" in caplog.text and "skipped" in caplog.text
    assert torch.isfinite(weights(trainer)).all()


def test_the_policy_stop_ends_the_run_and_keeps_what_was_learnt(trainer_of):
    trainer = trainer_of(
        dataset=WithSilence({4}), augment=DividedByDeviation(), n_epochs=3, non_finite="stop"
    )
    with pytest.raises(UserError, match=r"not finite.*silent-4.*trainer\.non_finite=skip"):
        trainer.train()
    saved = load_checkpoint(trainer.checkpoints.last)
    assert all(torch.isfinite(t).all() for t in saved["recognizer"].values())


def test_nothing_but_failures_ends_the_run(trainer_of):
    trainer = trainer_of(
        dataset=WithSilence(set(range(24))),
        augment=DividedByDeviation(),
        n_epochs=9,
        max_skipped_in_a_row=4,
    )
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
    assert any(line.get("train/n_out_of_memory") == 1 for line in log_lines(trainer.run_dir))
