"""SIGKILL at many moments: the run that is resumed ends like one that nobody disturbed."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

from src.trainer import load_checkpoint
from tests.conftest import REPOSITORY
from tests.reliability.killer import PLACES
from tests.reliability.tiny_run import differences, is_alive, outcome


def test_ten_deaths_change_nothing():
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.reliability.kill_many", "--n", "10", "--seed", "1",
         "trainer.ema_decay=0.9"],
        cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    told = done.stdout.splitlines()[-1]
    assert told.startswith("10 deaths: ")
    for place in ("saving", "validating", "logging", "writing"):
        assert any(file in told for file in PLACES[place]), told


def begun(runs, run_dir, *overrides) -> int:
    """A run that has saved three times, still going on."""
    process = runs.start(run_dir, *overrides)
    saved: set[int] = set()
    while len(saved) < 3:
        assert is_alive(process), runs.said.read_text()
        with contextlib.suppress(FileNotFoundError):
            saved.add((run_dir / "checkpoints/last.pt").stat().st_mtime_ns)
        time.sleep(0.005)
    return process


def test_ctrl_c_saves_leaves_with_its_status_and_the_run_resumes_exactly(
    runs, undisturbed, tmp_path
):
    process = begun(runs, tmp_path / "run")
    os.kill(process, signal.SIGINT)
    status, said = runs.wait(process)
    assert status == 128 + signal.SIGINT, said
    assert "SIGINT: saving after this step, then leaving" in said
    status, said = runs.run(tmp_path / "run", resume=True)
    assert status == 0, said
    assert differences(undisturbed, outcome(tmp_path / "run")) == []


def test_a_damaged_checkpoint_and_a_log_cut_in_a_line_cost_steps_and_no_exactness(
    runs, undisturbed, tmp_path
):
    process = begun(runs, tmp_path / "run")
    os.kill(process, signal.SIGKILL)
    assert runs.wait(process)[0] == -signal.SIGKILL
    last, log = tmp_path / "run/checkpoints/last.pt", tmp_path / "run/log.jsonl"
    last.write_bytes(last.read_bytes()[:5000])
    with log.open("a") as file:
        file.write('{"step": 99, "train/loss": 1.0}\n{"step": 100, "trai')
    status, said = runs.run(tmp_path / "run", resume=True)
    assert status == 0, said
    assert "last.pt: not a readable checkpoint" in said
    assert "Going on from previous.pt" in said
    assert differences(undisturbed, outcome(tmp_path / "run")) == []


def test_a_run_killed_before_its_first_save_is_resumed_from_the_start(runs, undisturbed, tmp_path):
    process = runs.start(tmp_path / "run")
    while not (tmp_path / "run/config.yaml").exists():
        assert is_alive(process), runs.said.read_text()
        time.sleep(0.005)
    os.kill(process, signal.SIGKILL)
    runs.wait(process)
    assert not (tmp_path / "run/checkpoints").exists()
    status, said = runs.run(tmp_path / "run", resume=True)
    assert status == 0 and "nothing was saved yet, the run starts anew" in said, said
    assert differences(undisturbed, outcome(tmp_path / "run")) == []


def test_without_any_good_checkpoint_the_run_is_refused_in_a_sentence(runs, tmp_path):
    process = begun(runs, tmp_path / "run")
    os.kill(process, signal.SIGKILL)
    runs.wait(process)
    for path in (tmp_path / "run/checkpoints").iterdir():
        path.write_bytes(path.read_bytes()[:5000])
    status, said = runs.run(tmp_path / "run", resume=True)
    last = said.splitlines()[-1]
    assert status == 1 and last.startswith("error: ") and "no checkpoint can be used" in last
    with pytest.raises(ValueError, match="not a readable checkpoint"):
        load_checkpoint(tmp_path / "run/checkpoints/last.pt")
