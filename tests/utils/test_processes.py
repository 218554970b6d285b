"""Processes beside this one: results in order, errors whole, and nobody left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from src.utils.errors import UserError
from src.utils.processes import ProcessPool


def work(task: str, tensor: torch.Tensor) -> object:
    """What a process of these tests does; a module's function, so that it can be sent."""
    if task == "refuse":
        raise UserError("not this one")
    if task == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid(), torch.get_num_threads(), tensor.sum().item()


def test_tasks_run_elsewhere_on_one_thread_and_errors_arrive_whole():
    with ProcessPool(work, 1) as pool:
        refused = pool.submit("refuse", torch.zeros(1))
        sums = [pool.submit("add", torch.full((n,), 2.0)) for n in (3, 1, 2)]
        with pytest.raises(UserError, match=r"^not this one$"):
            refused()
        pids, threads, found = zip(*(wait() for wait in sums), strict=True)
    assert found == (6.0, 2.0, 4.0) and set(threads) == {1}
    assert os.getpid() not in pids
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_a_killed_process_is_told_in_a_sentence():
    with ProcessPool(work, 1) as pool:
        wait = pool.submit("die", torch.zeros(1))
        with pytest.raises(UserError, match=r"was killed, .*memory ran out.*n_decoders="):
            wait()
        with pytest.raises(UserError, match="was killed"):
            pool.submit("add", torch.zeros(1))


PARENT = """
import os, sys, torch
from src.utils.processes import ProcessPool
from tests.utils.test_processes import work
if __name__ == "__main__":
    with ProcessPool(work, 1) as pool:
        print(pool.submit("add", torch.zeros(1))()[0], flush=True)
        os.kill(os.getpid(), 9)
"""


def test_processes_end_when_the_one_they_serve_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, script],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(root)},
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    pid = int(done.stdout)
    while is_running(pid):
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    """Whether a process lives; one that only waits to be counted as dead does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
