"""Commands run as people run them: real processes over a small spoken corpus."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str | Path, **options) -> subprocess.CompletedProcess:
    """A command of the project in a process of its own, with its output as text."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}
    environment["COMET_MODE"] = "offline"
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=environment | options.pop("env", {}),
        **options,
    )


def refused(*arguments: str | Path) -> str:
    """The one line with which a command must refuse, after checking that it is one line."""
    result = run(*arguments)
    assert result.returncode == 1, result.stdout + result.stderr
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert lines[-1].startswith("error: "), result.stderr
    assert "Traceback" not in result.stderr
    return lines[-1]


@pytest.fixture(scope="session")
def commands_h5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine generated speakers of the 35 commands, packed: 315 clips."""
    folder = tmp_path_factory.mktemp("spoken")
    steps = [
        ("-m", "scripts.generate_commands", "--out", folder / "clips", "--n_speakers", "9"),
        ("-m", "scripts.prepare_speech_commands", "--source", folder / "clips",
         "--out", folder / "commands.h5"),
    ]  # fmt: skip
    for step in steps:
        result = run(*step)
        assert result.returncode == 0, result.stderr
    return folder / "commands.h5"


def small(commands_h5: Path, run_dir: Path, *overrides: str) -> tuple:
    """Command line of a training that takes seconds."""
    return (
        "train.py", "-cn=convnet", "model=convnet_small", "device=cpu",
        "model.channels=[8,8,8,8]", "model.rnn_width=16", "loader.n_workers=0",
        "trainer.n_examples=2", "trainer.log_every=2", f"dataset.path={commands_h5}",
        f"run_dir={run_dir}", "trainer.n_epochs=1", *overrides,
    )  # fmt: skip


@pytest.fixture(scope="session")
def trained(commands_h5: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder of a small model trained for one epoch."""
    run_dir = tmp_path_factory.mktemp("saved") / "run"
    result = run(*small(commands_h5, run_dir))
    assert result.returncode == 0, result.stderr
    return run_dir
