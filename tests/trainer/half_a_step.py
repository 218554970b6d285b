"""One of two processes that take a step together: torchrun … -m tests.trainer.half_a_step OUT."""

import sys
from dataclasses import asdict

import torch

from src.cli import leave
from src.datasets import collate
from src.utils import parallel
from tests.trainer.test_consistency import UTTERANCES, Halves, flat, stepper_of


def main(out: str) -> None:
    """Learn from every other utterance in two views; the first writes report and weights."""
    parallel.start()
    stepper = stepper_of(0.2, Halves())
    report = stepper.step([collate(UTTERANCES[parallel.rank() :: 2])], 0)
    if parallel.is_first():
        torch.save(asdict(report) | {"weights": flat(stepper)}, out)
    parallel.stop()
    leave(0)


if __name__ == "__main__":
    main(sys.argv[1])
