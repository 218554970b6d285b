"""Training on shards: a run that was killed ends with the weights of one that was not."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from scripts import measure_reading
from src.datasets import AudioFiles
from src.datasets.shards.writer import write_shards
from src.trainer import load_checkpoint
from tests.cli.in_process import TINY, call
from tests.conftest import REPOSITORY

RATE = 16_000


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> Path:
    """24 recordings of about a second in three shards, and four for validation."""
    folder, root = tmp_path_factory.mktemp("files"), tmp_path_factory.mktemp("shards")
    random = np.random.default_rng(0)
    for part, n in (("train", 24), ("validation", 4)):
        (folder / part).mkdir()
        for i in range(n):
            samples = 0.1 * random.standard_normal(RATE + 400 * i)
            soundfile.write(folder / part / f"{i:02d}.flac", samples, RATE)
            (folder / part / f"{i:02d}.txt").write_text("abc"[: 1 + i % 3])
        files = AudioFiles(folder / part)
        write_shards(files, root / part, shard_mb=0.35, seed=1, n_workers=0)
    return root


def arguments(packed: Path, run_dir: Path, *overrides: str) -> list[str]:
    return [
        "-cn=deepspeech2", *TINY, "dataset=shards", f"dataset.root={packed}", f"run_dir={run_dir}",
        "dataset.train.shuffle_buffer=10", "loader.max_batch_s=4", "loader.n_workers=1",
        "device=cpu", "trainer.n_epochs=3", "trainer.log_every=1", "trainer.n_examples=0",
        "trainer.save_every_minutes=0", *overrides,
    ]  # fmt: skip


def weights(run_dir: Path) -> dict:
    return load_checkpoint(run_dir / "checkpoints/last.pt")["recognizer"]


def test_a_run_that_was_killed_ends_with_the_weights_of_one_that_was_not(packed, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    outcome = call("train", *arguments(packed, whole))
    assert outcome.status == 0, outcome.stderr
    process = subprocess.Popen(
        [sys.executable, "train.py", *arguments(packed, cut)],
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    log = cut / "log.jsonl"
    while not (log.exists() and '"step": 5' in log.read_text()):
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    # Another number of workers reads the same.
    resumed = call("train", *arguments(packed, cut, "loader.n_workers=0"), f"resume={cut}")
    assert resumed.status == 0, resumed.stderr
    assert load_checkpoint(cut / "checkpoints/last.pt")["step"] > 10
    ours, theirs = weights(whole), weights(cut)
    assert ours.keys() == theirs.keys()
    assert all(ours[name].equal(theirs[name]) for name in ours)


def test_reading_can_be_measured(packed, capsys):
    overrides = ["dataset=shards", f"dataset.root={packed}", "dataset.train.shuffle_buffer=5"]
    for n_workers in (0, 1):
        measure_reading.main([*overrides, f"loader.n_workers={n_workers}"])
        told = capsys.readouterr().out
        seconds = sum(RATE + 400 * i for i in range(24)) / RATE
        assert told.startswith(f"24 utterances, {seconds:.0f} s of speech: ")
        assert float(told.split("CPU ")[1].split()[0]) > 0
    with pytest.raises(SystemExit, match=r"measure_reading: nowhere/train: has no index"):
        measure_reading.main(["dataset=shards", "dataset.root=nowhere"])
