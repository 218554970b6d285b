"""What is measured is what trains, and every part of a step finds its phase."""

import copy
import gzip
import json
import time
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from torch import nn

from scripts.profile import main, measure, parse, peak_bytes, spread, training_config
from scripts.reporting.step_watch import PHASES, StepWatch
from src.build import build_trainer
from src.cli import CONFIGS
from src.logger import Nothing
from src.trainer import Teacher
from src.utils.seeding import seed_everything
from tests.cli.in_process import logging_restored

TINY = (
    "device=cpu", "model.n_cnn_layers=1", "model.n_rnn_layers=1", "model.n_channels=2",
    "model.width=8", "loader.batch_size=4", "loader.max_batch_s=null", "loader.n_workers=0",
    "trainer.precision=float32",
)  # fmt: skip


def tiny(folder, *overrides: str, synthetic: str = "0.8", config: str = "deepspeech2"):
    """A trainer on tones."""
    words = [f"-cn={config}", "--synthetic", synthetic, *TINY, *overrides]
    resolved = training_config(parse(words), folder)
    seed_everything(resolved["seed"], resolved["deterministic"])
    return build_trainer(resolved, folder / "run", Nothing())


def profiled(out, *words: str) -> tuple[dict, dict]:
    """What a command line measured, and its trace."""
    with logging_restored():
        main([*words, "--out", str(out)])
    with gzip.open(out / "trace.json.gz", "rt") as file:
        return json.loads((out / "profile.json").read_text()), json.load(file)


def test_a_command_line_measures_and_records(tmp_path, capsys):
    overrides = [*TINY, "augment=specaugment"]
    words = ["-cn=deepspeech2", "--synthetic", "0.8", "--steps", "3", "--warm", "1", *overrides]
    measured, trace = profiled(tmp_path / "out", *words)
    assert len(measured["seconds"]) == 3
    for step in measured["seconds"]:
        assert list(step) == list(PHASES)
        assert all((step[phase] > 0) == (phase != "teacher") for phase in PHASES)
    assert sum(sum(step.values()) for step in measured["seconds"]) <= measured["wall_s"]
    assert (measured["n_utterances"], measured["audio_s"]) == (12, pytest.approx(12 * 0.8))
    assert measured["padded_s"] == measured["audio_s"]
    assert measured["overrides"] == overrides
    names = [event.get("name") for event in trace["traceEvents"]]
    for phase in ("front end", "augmentation", "forward", "loss"):
        assert names.count(phase) == 2  # steps are recorded
    assert "aten::_ctc_loss" in names and any("Backward" in str(name) for name in names)
    told = capsys.readouterr().out
    assert told.startswith(f"deepspeech2, {measured['n_parameters']:,} parameters, on cpu, float32")
    rows = {line.split("  ")[0]: line for line in told.splitlines()}
    mean = 1000 * sum(step["backward"] for step in measured["seconds"]) / 3
    assert rows["backward"].split()[1] == f"{mean:.1f}"
    assert rows["step"].endswith("100.0 %") and "teacher" not in rows
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"trace.json.gz", "profile.json"}


def test_watching_changes_nothing_that_is_learnt(tmp_path):
    watched = tiny(tmp_path / "a", "augment=specaugment_light")
    measure(watched, 1, 2, tmp_path / "trace.json.gz")
    plain = tiny(tmp_path / "b", "augment=specaugment_light")
    steps = plain.micro_batches()
    for _ in range(5):
        plain.train_step(next(steps))
    theirs = plain.stepper.recognizer.state_dict()
    for name, weights in watched.stepper.recognizer.state_dict().items():
        assert torch.equal(weights, theirs[name]), name
    assert not watched.stepper.loss._forward_hooks
    assert not watched.stepper.optimizer._optimizer_step_pre_hooks


def test_each_phase_ends_where_it_should_with_several_batches_a_step(tmp_path):
    overrides = ["augment=waveform", "trainer.accumulate=2"]
    trainer = tiny(tmp_path, *overrides)
    watch, steps = StepWatch(trainer.stepper.device), trainer.micro_batches()
    watch.begin()
    batches = next(steps)
    watch.mark("data wait")
    with watch.watching(trainer.stepper):
        trainer.train_step(batches)
    [marks] = watch._steps
    batch = ["augmentation", "rest", "front end", "rest", "augmentation"]
    batch += ["rest", "forward", "rest", "loss", "backward"]
    expected = ["begin", "data wait", "rest", *batch, *batch, "optimizer"]
    assert [phase for phase, _ in marks] == expected
    [seconds] = watch.seconds()
    assert sum(seconds.values()) == pytest.approx(marks[-1][1] - marks[0][1])


class Slow(nn.Module):
    """Takes a tenth of a second to do nothing."""

    def forward(self, features, lengths, generator=None):
        time.sleep(0.1)
        return features


def test_what_is_slow_is_found(tmp_path):
    trainer = tiny(tmp_path, "trainer.n_epochs=1", "loader.batch_size=64")
    assert trainer.total_steps == 1  # each step is then a pass of its own
    trainer.stepper.augment = Slow()
    measured = measure(trainer, 1, 2, tmp_path / "trace.json.gz")
    assert all(step["augmentation"] >= 0.1 for step in measured.seconds)
    assert measured.wall_s >= 0.2


def test_the_time_that_a_teacher_takes_is_told_apart(tmp_path):
    trainer = tiny(tmp_path)
    trainer.stepper.teacher = Teacher(copy.deepcopy(trainer.stepper.recognizer), 0.5)
    measured = measure(trainer, 1, 2, tmp_path / "trace.json.gz")
    assert min(step["teacher"] for step in measured.seconds) > 0


@pytest.mark.parametrize("config", ["convnet", "quickstart"])
def test_tones_stand_in_for_any_corpus(tmp_path, config):
    words = [f"-cn={config}", "--synthetic", "1", "device=cpu"]
    resolved = training_config(parse(words), tmp_path)
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        composed = compose(config)
    assert resolved["model"]["_target_"] == composed.model._target_
    small = ["model=convnet_small", "model.channels=[4,4,4,4]", "model.rnn_width=8"]
    words += [*small, "loader.n_workers=0"]
    trainer = build_trainer(training_config(parse(words), tmp_path / "b"), tmp_path, Nothing())
    batch = next(iter(trainer.train_loader))
    assert batch.waveforms.shape[1] == 16_000
    assert all(batch.targets) and (batch.token_lengths > 0).all()
    assert trainer.stepper.step([batch], 0).n_impossible == 0


def test_mean_and_spread_by_hand():
    assert spread([1.0, 2.0, 6.0]) == (3.0, pytest.approx(7**0.5), 1.0, 6.0)
    assert spread([4.0]) == (4.0, 0.0, 4.0, 4.0)


def test_the_peak_is_that_of_the_process():
    lines = Path("/proc/self/status").read_text().splitlines()
    [high_water] = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]  # kB
    assert peak_bytes(torch.device("cpu")) >= 0.99 * 1024 * high_water


MISTAKES = {
    "-cn=deepspeach2": "-cn=deepspeach2: no such config; did you mean deepspeech2",
    "-cn=deepspeech2 modle=lstm": "modle: the config has no such key; did you mean model",
    "-cn=deepspeech2 resume=saved/a": "resume: what is measured starts anew",
    "-cn=deepspeech2 --synthetic -1": "--synthetic -1: expected seconds, up to 60",
    "-cn=deepspeech2 dataset.root=nowhere": "nowhere",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_mistakes_are_one_sentence(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left, logging_restored():
        main([*line.split(), *TINY[:5], "loader.batch_size=64", "loader.n_workers=0"])
    assert left.value.code.startswith("profile: ")
    assert MISTAKES[line] in left.value.code
    assert not list(tmp_path.rglob("*.gz"))
