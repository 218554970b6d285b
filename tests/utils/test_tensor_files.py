"""Tensors that can't be written are told in a sentence, and Ctrl-C stays Ctrl-C."""

import random
import subprocess
import sys

import torch

from src.utils.tensor_files import save_tensors
from tests.conftest import REPOSITORY

LIMITED = """
import resource, signal, sys, torch
from src.utils.tensor_files import save_tensors
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
save_tensors(sys.argv[1], {"x": torch.rand(100, 100)})
"""
# An alarm at any moment of a save; an abort would end the process.
INTERRUPTED = """
import random, signal, sys, time, torch
from src.utils.tensor_files import save_tensors
state = {f"weight {i}": torch.full((16, 16), 7.0) for i in range(60)}
def interrupt(number, frame):
    raise KeyboardInterrupt
signal.signal(signal.SIGALRM, interrupt)
started = time.perf_counter()
for _ in range(10):
    save_tensors(sys.argv[1], state)
longest = (time.perf_counter() - started) / 10
n, random = 0, random.Random(int(sys.argv[2]))
for _ in range(300):
    try:
        signal.setitimer(signal.ITIMER_REAL, 1e-6 + longest * random.random())
        save_tensors(sys.argv[1], state)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        n += 1
print(n)
"""


def run(code: str, *words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)


def test_a_full_disk_says_so_and_keeps_the_older_file(tmp_path):
    path = tmp_path / "x.pt"
    save_tensors(path, {"x": torch.ones(3)})
    told = run(LIMITED, path)
    assert told.returncode == 1 and "UserError: " in told.stderr
    assert "x.pt: could not be written" in told.stderr
    assert torch.equal(torch.load(path)["x"], torch.ones(3)) and [*tmp_path.iterdir()] == [path]


def test_ctrl_c_within_a_save_is_met_and_the_file_is_whole(tmp_path):
    done = run(INTERRUPTED, tmp_path / "x.pt", random.randrange(1000))
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 50
    state = torch.load(tmp_path / "x.pt")
    assert len(state) == 60 and all((tensor == 7).all() for tensor in state.values())
