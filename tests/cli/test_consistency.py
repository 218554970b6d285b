"""Two views of real speech, from the command line."""

import pytest
import torch

from src.logger import read_log
from src.trainer import load_checkpoint
from tests.cli.in_process import call


@pytest.fixture
def train(shared_data, tmp_path):
    """A training of a few steps on short sentences of real people, by its overrides."""
    short = [
        f"dataset.{part}.{key}"
        for part in ("train", "validation")
        for key in ("limit=6", "sort=duration")
    ]

    def trained(name: str, *overrides: str):
        outcome = call(
            "train", "-cn=deepspeech2", "device=cpu", f"run_dir={tmp_path / name}", *short,
            f"dataset.root={shared_data}", f"dataset.index_dir={tmp_path}", "loader.n_workers=0",
            "model.n_channels=4", "model.width=16", "model.n_cnn_layers=1", "model.n_rnn_layers=1",
            "loader.max_batch_s=20", "trainer.n_epochs=1", "trainer.epoch_len=3",
            "trainer.log_every=1", "trainer.n_examples=0", *overrides,
        )  # fmt: skip
        assert outcome.status == 0, outcome.stderr
        return list(read_log(tmp_path / name / "log.jsonl")), load_checkpoint(tmp_path / name)

    yield trained
    torch.use_deterministic_algorithms(False)


def test_a_run_on_two_views_logs_both_parts_of_its_loss_and_can_be_repeated(train):
    chosen = ("trainer.consistency=0.2", "augment=specaugment_consistent", "deterministic=true")
    (log, state), (_, again) = train("run", *chosen), train("again", *chosen)
    for name in ("train/loss", "train/consistency"):
        assert len([event for event in log if event.get(name, 0) > 0]) == 3
    assert not any("validation/consistency" in event for event in log)
    for name, tensor in state["recognizer"].items():
        assert torch.equal(tensor, again["recognizer"][name]), name


def test_two_views_go_with_averages_bf16_time_warp_and_several_batches_a_step(train):
    log, state = train(
        *("run", "trainer.consistency=0.2", "augment=everything", "~augment.waveform.tempo"),
        *("trainer.precision=bf16", "trainer.accumulate=2", "trainer.ema_decay=0.9"),
    )
    assert len([event for event in log if event.get("train/consistency", 0) > 0]) == 3
    assert state["step"] == 3


def test_a_weight_of_nothing_is_refused(tmp_path):
    outcome = call("train", "-cn=convnet", "trainer.consistency=0", f"run_dir={tmp_path / 'run'}")
    assert "trainer.consistency=0: expected a number above 0, such as 0.2" in outcome.refusal
