"""Steps that fail in a whole run: skipped, counted and named, or the end of the run."""

import json
import resource
import time
from pathlib import Path

import numpy as np
import soundfile

from src.logger import read_log
from tests.datasets.tiny_corpus import RATE
from tests.reliability.tiny_run import is_alive, write_corpus

LONG_S = 240.0


def write_long_one(root) -> str:
    """One utterance of minutes among those of a second; its id."""
    chapter = root / "train-clean-100/t0/1"
    noise = np.random.default_rng(0).normal(0, 0.05, int(LONG_S * RATE)).astype(np.float32)
    soundfile.write(chapter / "t0-1-9999.flac", noise, RATE)
    with (chapter / "t0-1.trans.txt").open("a") as file:
        file.write("t0-1-9999 ABC\n")
    return "t0-1-9999"


def leave_room(process: int, n_bytes: int) -> None:
    """Let a process have so much more memory than now, and not a byte more."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + n_bytes
    resource.prlimit(process, resource.RLIMIT_AS, (most, most))


def test_a_batch_that_memory_does_not_suffice_for_is_skipped_counted_and_named(runs, tmp_path):
    name = write_long_one(write_corpus(tmp_path / "corpus"))
    process = runs.start(
        tmp_path / "run", f"dataset.root={tmp_path}/corpus", "trainer.n_epochs=1",
        f"dataset.index_dir={tmp_path}/index", "dataset.train.max_duration_s=null",
        "loader.sort_first_epoch=true",
    )  # fmt: skip
    log = tmp_path / "run/log.jsonl"
    while not (log.exists() and log.stat().st_size):  # three steps: threads and buffers are there
        assert is_alive(process), runs.said.read_text()
        time.sleep(0.01)
    leave_room(process, 100 * 2**20)
    status, said = runs.wait(process)
    assert status == 0, said
    [warning] = [line for line in said.splitlines() if "out of memory" in line]
    assert name in warning and "the step is skipped and counted" in warning
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert summary["n_out_of_memory"] == 1 and summary["finished"]
    assert any(e.get("train/n_out_of_memory") == 1 for e in read_log(log))


def test_a_run_that_diverges_ends_with_advice_and_without_a_broken_checkpoint(runs, tmp_path):
    status, said = runs.run(
        tmp_path / "run", "optimizer.lr=1e30", "schedule=constant",
        "trainer.max_skipped_in_a_row=3",
    )  # fmt: skip
    last = said.splitlines()[-1]
    assert status == 1 and last.startswith("error: "), said
    assert "3 failed steps in a row: lower optimizer.lr" in last
    assert said.count("loss or gradient not finite") == 3
