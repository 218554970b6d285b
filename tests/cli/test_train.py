import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

from src.trainer import load_checkpoint
from tests.cli.conftest import ROOT, refused, run, small

CONFIGS = ("earlier/1/config.yaml", "config.yaml")  # of a run that was resumed once


def log_lines(run_dir: Path) -> list[dict]:
    return [json.loads(line) for line in (run_dir / "log.jsonl").read_text().splitlines()]


def test_a_run_leaves_all_that_tells_how_it_was_made(trained):
    for name in (
        "config.yaml",
        "environment.json",
        "packages.txt",
        "git_commit.txt",
        "log.jsonl",
        "summary.json",
        "training_curves.png",
        "checkpoints/last.pt",
        "checkpoints/best.pt",
    ):
        assert (trained / name).is_file(), name
    assert json.loads((trained / "summary.json").read_text())["finished"]
    assert list((trained / "checkpoints").glob("top_per=*"))
    names = {name for line in log_lines(trained) for name in line}
    assert {"train/loss", "train/learning_rate", "validation/per"} <= names


def test_a_checkpoint_carries_all_that_inference_needs_and_no_path_of_this_machine(trained):
    state = load_checkpoint(trained)
    assert set(state["config"]) == {"text", "transform", "model"}
    assert str(trained) not in str(state["config"])
    assert state["symbols"][0] == "_" and len(state["symbols"]) == 46


MISTAKES = {
    "trainer.n_epoch=2": "trainer.n_epoch: the config has no such key; did you mean trainer.n_ep",
    "model.rnn_widht=8": "model.rnn_widht: the config has no such key; did you mean model.rnn",
    "modle=lstm": "modle: the config has no such key; did you mean model",
    "dataset.limit=9": "dataset.limit: the config has no such key; did you mean dataset.train.lim",
    "lr=3e-4": "lr: the config has no such key; did you mean optimizer.lr?",
    "model=convnett": "model=convnett: no such choice; did you mean convnet",
    "logger=zzz": "logger=zzz: no such choice; there are comet, jsonl, tensorboard, wandb",
    "experiment=onebatch": "experiment=onebatch: no such choice; did you mean one_batch",
    "foo": "foo: expected key=value",
    "model=3": "a group takes the name",
    "trainer.n_epochs=0": "trainer.n_epochs=0: expected 1 or more",
    "trainer.n_epochs=many": "trainer.n_epochs=many: expected a whole number",
    "model._target_=src.models.ConvNett": "src.models has no ConvNett; did you mean ConvNet",
    "model._target_=os.system": "only parts of src.models may stand here",
    "optimizer._target_=os.system": "optimizer._target_=os.system: expected one of torch.optim",
    "model.n_rnn_layers=0": "model.n_rnn_layers",
    "+model.n_rnn_layer=3": "model.n_rnn_layer: ConvNet has no such key; did you mean model.n_rnn",
    "device=cuda:77": "device=cuda:77: PyTorch sees",
    "resume=nowhere": "resume=nowhere: no checkpoints/last.pt in there",
    "seed=x": "seed=x: expected a whole number",
    "optimizer.lr=high": "optimizer.lr=high: expected a finite number",
    "loader.batch_size=some": "loader.batch_size=some: expected a whole number",
    "init_from=nowhere.pt": "nowhere.pt: no checkpoint there",
    "dataset.path=nowhere.h5": "python -m scripts.prepare_speech_commands",
}


@pytest.mark.parametrize("override", MISTAKES)
def test_a_mistake_on_the_command_line_gives_one_clear_line(override, commands_h5, tmp_path):
    message = refused(*small(commands_h5, tmp_path / "run"), override)
    assert MISTAKES[override] in message
    assert not (tmp_path / "run").exists()


def test_a_mistake_takes_no_folder_away_that_was_there_before(commands_h5, tmp_path):
    refused(*small(commands_h5, tmp_path), "seed=x")
    assert (tmp_path / "config.yaml").is_file()


def test_a_mistake_is_told_in_one_line_and_nothing_else(tmp_path):
    for override in ("resume=nowhere", f"dataset.path={tmp_path}/nowhere.h5"):
        result = run("train.py", "-cn=convnet", "device=cpu", f"run_dir={tmp_path}", override)
        assert result.returncode == 1
        [line] = result.stderr.splitlines()
        assert line.startswith(f"error: {override.removeprefix('dataset.path=')}: no ")
        assert "UserError" not in line and "--cfg job" not in line


@pytest.mark.parametrize("folder", ["file", "file/run", "/proc", "/proc/run"])
def test_a_run_folder_that_can_t_be_written_is_told_in_one_line(folder, tmp_path):
    (tmp_path / "file").touch()
    for command in (("train.py", "-cn=convnet", "run_dir"), ("inference.py", "output")):
        if (folder, command[0]) != ("/proc", "inference.py"):  # which keeps no log there
            message = refused(*command[:-1], f"{command[-1]}={tmp_path / folder}")
            assert f"{tmp_path / folder}" in message
            assert "can't be made or written" in message and "Choose another folder" in message


def test_a_misspelt_config_names_the_nearest():
    message = refused("train.py", "-cn=convnett")
    assert "-cn=convnett: no such config; did you mean convnet?" in message


def test_a_missing_corpus_tells_the_command_that_fetches_it(tmp_path):
    message = refused(
        "train.py", "-cn=deepspeech2", f"dataset.root={tmp_path}", f"run_dir={tmp_path / 'run'}"
    )
    assert "dataset.download=true" in message and "train.py -cn=deepspeech2" in message


def test_resume_continues_where_a_signal_stopped_the_run(commands_h5, tmp_path):
    run_dir = tmp_path / "run"
    command = small(
        commands_h5, run_dir, "trainer.n_epochs=400", "loader.batch_size=16", "loader.n_workers=1"
    )
    with subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        start_new_session=True,  # a group of its own, as a terminal or a scheduler gives it
    ) as process:
        log = run_dir / "log.jsonl"
        while process.poll() is None and not (log.exists() and "train/loss" in log.read_text()):
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGTERM)
        errors = process.stderr.read().decode()
    assert process.returncode == 128 + signal.SIGTERM, errors
    told = (run_dir / "train.log").read_text().splitlines()[-1]
    assert told.endswith(f"To go on: python train.py resume={run_dir}")
    stopped_at = load_checkpoint(run_dir / "checkpoints/last.pt")["step"]
    assert stopped_at >= 1

    n_epochs = stopped_at // 15 + 2  # 15 batches of 16 make an epoch
    resumed = run("train.py", f"resume={run_dir}", f"trainer.n_epochs={n_epochs}")
    assert resumed.returncode == 0, resumed.stderr
    then, now = (yaml.safe_load((run_dir / name).read_text()) for name in CONFIGS)
    assert now == then | {"resume": str(run_dir), "run_dir": now["run_dir"]} | {
        "trainer": then["trainer"] | {"n_epochs": n_epochs}
    }
    assert f"at step {stopped_at}" in resumed.stdout + resumed.stderr
    assert load_checkpoint(run_dir / "checkpoints/last.pt")["step"] > stopped_at
    steps = [line["step"] for line in log_lines(run_dir)]
    assert steps == sorted(steps)

    again = run(*command, f"resume={run_dir}", f"trainer.n_epochs={n_epochs}")
    assert again.returncode == 0, again.stderr
    assert "the last: a higher trainer.n_epochs would train on" in again.stdout + again.stderr


def test_a_new_run_never_overwrites_an_old_one(trained, commands_h5):
    before = (trained / "checkpoints/best.pt").read_bytes()
    message = refused(*small(commands_h5, trained))
    assert f"run_dir={trained}: holds a run already" in message and "resume=" in message
    assert (trained / "checkpoints/best.pt").read_bytes() == before


def test_a_run_that_learns_nothing_leaves_no_checkpoint_in_the_way_of_the_next(
    commands_h5, tmp_path
):
    stored = "transform=logmel80_stored"
    for _ in range(2):
        message = refused(*small(commands_h5, tmp_path), stored)
        assert "transform.normalise.statistics is null" in message


def test_statistics_are_asked_for_before_the_corpus_with_the_command_that_makes_them(tmp_path):
    corpus = f"dataset.path={tmp_path / 'no such.h5'}"
    message = refused(
        "train.py", "-cn=lstm", f"run_dir={tmp_path}", "transform=logmel80_stored", corpus
    )
    command = f"-cn=lstm transform=logmel80_stored '{corpus}' --out FILE, and add transform.norm"
    assert f"python -m scripts.compute_stats {command}" in message


def test_a_full_disk_ends_the_run_with_a_sentence_and_no_half_file(commands_h5, tmp_path):
    run_dir = tmp_path / "run"
    limited = (
        "import resource, signal, runpy, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path('train.py', run_name='__main__')\n"
    )
    result = run("-c", limited, *small(commands_h5, run_dir))
    assert result.returncode == 1, result.stderr
    assert "last.pt: could not be written" in result.stderr.splitlines()[-1]
    assert not list((run_dir / "checkpoints").iterdir())


def test_multirun_trains_once_for_each_value(commands_h5, tmp_path):
    command = small(commands_h5, tmp_path, "--multirun", "seed=1,2", "trainer.epoch_len=2")
    result = run(*command)
    assert result.returncode == 0, result.stderr
    weights = []
    for folder in sorted(tmp_path.glob("*_seed-*")):
        state = load_checkpoint(folder)
        assert state["step"] == 2
        weights.append(next(iter(state["recognizer"].values())))
    assert len(weights) == 2 and not torch.equal(*weights)


def test_flags_may_stand_anywhere_among_the_overrides():
    shown = run("train.py", "seed=3", "-cn", "convnet", "model.dropout=0.5", "--cfg", "job")
    assert shown.returncode == 0, shown.stderr
    assert "name: convnet" in shown.stdout and "dropout: 0.5" in shown.stdout
    assert "seed: 3" in shown.stdout


def test_one_batch_is_learnt_by_heart(commands_h5, tmp_path):
    result = run(
        "train.py", "-cn=convnet", "model=convnet_small", "experiment=one_batch", "device=cpu",
        f"dataset.path={commands_h5}", f"run_dir={tmp_path}", "optimizer.lr=3e-3",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    last = [line for line in log_lines(tmp_path) if "validation/per" in line][-1]
    assert last["validation/per"] == 0.0


GROUPS = ["model=lstm", "transform=mfcc", "transform=raw", "decoder=beam", "logger=tensorboard",
          "logger=wandb", "logger=comet", "text=characters", "text=phonemes_cmu", "augment=none",
          "schedule=cyclic", "optimizer=adam schedule=noam", "schedule=exponential",
          "schedule=warmup_cosine", "trainer.precision=bf16", "trainer.accumulate=2",
          "deterministic=true"]  # fmt: skip


@pytest.mark.parametrize("choice", GROUPS)
def test_every_part_can_be_chosen_from_the_command_line(choice, commands_h5, tmp_path):
    tiny = ["trainer.epoch_len=2", "loader.batch_size=4", "dataset.validation.limit=4"]
    result = run(*small(commands_h5, tmp_path), *tiny, *choice.split())
    assert result.returncode == 0, result.stderr
    assert load_checkpoint(tmp_path)["step"] == 2
