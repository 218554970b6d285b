"""A model that learns from a published one, from the command line."""

import pytest

from src.logger import read_log
from src.trainer import load_checkpoint
from tests.cli.in_process import call
from tests.datasets.commands.tiny_commands import pack_corpus


@pytest.fixture
def train(tmp_path):
    """A training of a few steps on noise called words, by its overrides."""
    corpus = pack_corpus(tmp_path / "corpus", n_each=2)[1]

    def trained(*overrides: str):
        return call(
            "train", "-cn=speech_commands_v2", f"dataset.path={corpus}", "device=cpu",
            "loader.n_workers=0", "model.channels=[4,4,4,4]", "model.rnn_width=8",
            "trainer.n_epochs=1", "trainer.epoch_len=3", "trainer.log_every=1",
            "trainer.n_examples=0", "loader.batch_size=4", f"run_dir={tmp_path / 'run'}",
            *overrides,
        )  # fmt: skip

    return trained


@pytest.mark.parametrize("more", [(), ("trainer.consistency=0.2", "trainer.teacher_share=1")])
def test_a_run_beside_a_teacher_logs_both_parts_of_its_loss(train, tmp_path, more):
    outcome = train("trainer.teacher=commands", *more)
    assert outcome.status == 0, outcome.stderr
    log = list(read_log(tmp_path / "run/log.jsonl"))
    for name in ("train/loss", "train/distillation"):
        assert len([event for event in log if event.get(name, 0) > 0]) == 3
    assert not any("validation/distillation" in event for event in log)
    n_weights = sum(t.numel() for t in load_checkpoint(tmp_path / "run")["recognizer"].values())
    assert n_weights < 100_000  # the teacher has 7.7 million


def test_a_teacher_of_other_words_is_refused(train):
    outcome = train("trainer.teacher=reader")
    assert "trainer.teacher=reader: it writes" in outcome.refusal
    assert "Choose the text that the teacher was trained with." in outcome.refusal


def test_a_teacher_that_is_not_there_is_refused(train, tmp_path):
    outcome = train(f"trainer.teacher={tmp_path / 'nobody.pt'}")
    assert "nobody.pt" in outcome.refusal
