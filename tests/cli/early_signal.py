"""train.py, with a SIGTERM that reaches the second process alone, before its first step.

torchrun … -m tests.cli.early_signal -cn=convnet …
"""

import os
import signal

import src.trainer.trainer
import train
from src.trainer.interrupts import Interrupts


class EarlySignal(Interrupts):
    """A scheduler was faster with one process than with the other."""

    def __enter__(self) -> "EarlySignal":
        super().__enter__()
        if os.environ["RANK"] == "1":
            signal.raise_signal(signal.SIGTERM)
        return self


if __name__ == "__main__":
    src.trainer.trainer.Interrupts = EarlySignal
    train.main()
