"""Trainings of scripts that a real signal ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

from tests.conftest import REPOSITORY


def end(script: str, words: list[str], out: Path, number: signal.Signals) -> None:
    """Start `python -m scripts.SCRIPT`, let it learn, send it a signal; what it keeps is there."""
    kept = out.with_name(out.name + ".training")
    process = subprocess.Popen(
        [sys.executable, "-m", f"scripts.{script}", *words],
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    while process.poll() is None and not (kept.exists() and torch.load(kept)["step"] > 0):
        time.sleep(0.02)
    process.send_signal(number)
    told = process.communicate(timeout=60)[1]
    assert not out.exists() and kept.exists()
    if number == signal.SIGINT:
        assert process.returncode == 130 and "the same command goes on from the step" in told
