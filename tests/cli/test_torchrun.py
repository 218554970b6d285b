"""Two processes under torchrun train one model, on CPUs through gloo."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from src.logger import read_log
from src.trainer import load_checkpoint
from tests.cli.conftest import ROOT, run, small

SLACK = 240  # seconds after which a run counts as hanging
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
# Adam divides by the root of a gradient's square: where that is near 0 the last bit decides.
EXACT = ("trainer.precision=float32", "optimizer.eps=1e-2")
SAME = ("augment=none", *EXACT, "trainer.n_epochs=2", "trainer.epoch_len=4")


def train(commands_h5: Path, run_dir: Path, *overrides: str, n: int = 1):
    command = small(commands_h5, run_dir, *SAME, *overrides)
    result = run(*(TORCHRUN if n == 2 else ()), *command, timeout=SLACK)
    assert result.returncode == 0, result.stderr[-3000:]
    return result


def weights(run_dir: Path) -> torch.Tensor:
    state = load_checkpoint(run_dir / "checkpoints/last.pt")["recognizer"]
    return torch.cat([state[name].flatten().double() for name in sorted(state)])


def values(run_dir: Path, name: str) -> list[float]:
    return [event[name] for event in read_log(run_dir / "log.jsonl") if name in event]


@pytest.fixture(scope="module")
def alone(commands_h5, tmp_path_factory) -> Path:
    run_dir = tmp_path_factory.mktemp("alone") / "run"
    train(commands_h5, run_dir, "loader.batch_size=12")
    return run_dir


@pytest.fixture(scope="module")
def together(commands_h5, tmp_path_factory) -> Path:
    run_dir = tmp_path_factory.mktemp("together") / "run"
    train(commands_h5, run_dir, "loader.batch_size=12", n=2)
    return run_dir


def test_two_processes_learn_what_one_learns_from_the_same_batches(alone, together):
    """Weights and BatchNorm's running statistics alike, after eight steps of a dozen clips."""
    torch.testing.assert_close(weights(together), weights(alone), rtol=1e-3, atol=1e-4)


def test_losses_and_rates_are_those_of_all_processes_together(alone, together):
    names = {name for event in read_log(alone / "log.jsonl") for name in event}
    compared = [n for n in sorted(names) if n.endswith(("loss", "/per", "/grad_norm", "padding"))]
    assert len(compared) >= 4
    for name in set(compared) - {"train/padding"}:  # each process pads to its own longest
        assert values(together, name) == pytest.approx(values(alone, name), rel=1e-2), name


def test_only_the_first_process_writes(alone, together):
    def files(folder: Path) -> set[str]:
        found = (path.relative_to(folder).as_posix() for path in folder.rglob("*"))
        return {re.sub(r"top_.*_step", "top_step", name) for name in found}

    assert files(together) == files(alone)
    for name in ("loss", "learning_rate"):
        assert len(values(together, f"train/{name}")) == len(values(alone, f"train/{name}"))


def test_a_process_without_a_share_of_the_batch_waits_for_nobody(commands_h5, tmp_path):
    short = ("loader.batch_size=1", "trainer.epoch_len=3")
    train(commands_h5, tmp_path / "one", *short)
    train(commands_h5, tmp_path / "two", *short, n=2)
    torch.testing.assert_close(
        weights(tmp_path / "two"), weights(tmp_path / "one"), rtol=1e-3, atol=1e-4
    )


def test_a_run_of_two_goes_on_as_two_as_if_never_stopped(commands_h5, tmp_path):
    """Each process draws its own dropout, and goes on drawing where it was."""
    options = ("model.dropout=0.2", "augment=specaugment_light", "schedule=constant")
    train(commands_h5, tmp_path / "whole", *options, n=2)
    parts = tmp_path / "parts"
    train(commands_h5, parts, *options, "trainer.n_epochs=1", n=2)
    train(commands_h5, parts, *options, f"resume={parts}", n=2)
    assert torch.equal(weights(parts), weights(tmp_path / "whole"))


def test_a_refusal_of_two_processes_is_a_sentence_and_leaves_nothing(commands_h5, tmp_path):
    """Both cleared the folder away, and the second fell over what the first had taken."""
    command = small(commands_h5, tmp_path / "run", *SAME, "trainer.teacher=reader")
    result = run(*TORCHRUN, *command, timeout=SLACK)
    assert result.returncode == 1 and not (tmp_path / "run").exists()
    assert "error: trainer.teacher=reader: it writes 41 symbols" in result.stderr
    assert "[rank" not in result.stderr and "Error executing job" not in result.stderr


def test_a_sweep_of_several_processes_is_refused_and_leaves_nothing(commands_h5, tmp_path):
    command = small(commands_h5, tmp_path / "sweep", *SAME, "--multirun", "seed=1,2")
    result = run(*TORCHRUN, *command, timeout=SLACK)
    assert result.returncode == 1
    told = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert told and "--multirun: trains in one process, torchrun has started 2." in told[0]
    assert not list(tmp_path.iterdir())


def test_one_killed_process_ends_all_with_a_reason(commands_h5, tmp_path):
    run_dir, errors = tmp_path / "run", tmp_path / "errors.txt"
    command = small(commands_h5, run_dir, *SAME, "trainer.n_epochs=5000")
    with errors.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, *TORCHRUN, *map(str, command)],
            cwd=ROOT, stderr=stderr, stdout=stderr, env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    log = run_dir / "log.jsonl"
    while process.poll() is None and not (log.exists() and log.stat().st_size):
        time.sleep(0.2)
    found = subprocess.run(
        ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True
    )
    second = found.stdout.split()[1]
    os.kill(int(second), signal.SIGKILL)
    assert process.wait(timeout=SLACK) != 0
    assert re.search(r"rank +: 1 .*\n +exitcode +: -9", errors.read_text())


def test_a_signal_that_one_process_has_before_its_first_step_ends_both(commands_h5, tmp_path):
    command = small(commands_h5, tmp_path / "run", *SAME)[1:]
    result = run(*TORCHRUN, "-m", "tests.cli.early_signal", *command, timeout=SLACK)
    assert result.returncode == 1
    assert result.stderr.count(f"exitcode  : {128 + signal.SIGTERM}") >= 1, result.stderr[-3000:]
    assert "Connection closed" not in result.stderr  # as of one who waits for the other


@pytest.mark.parametrize(("world", "status"), [("1", -signal.SIGABRT), ("2", 3)])
def test_of_several_processes_none_waits_for_pythons_end(world, status):
    """In it gloo's threads may free tensors, which aborts the process: one run in hundreds."""
    code = "import atexit, os, src.cli; atexit.register(os.abort); print('said'); src.cli.leave(3)"
    result = run("-c", code, env={"WORLD_SIZE": world})
    assert result.returncode == status
    assert world == "1" or "said" in result.stdout
