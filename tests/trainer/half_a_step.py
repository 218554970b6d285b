"""One of two processes that take a step together.

torchrun … -m tests.trainer.half_a_step OUT [teacher]
"""

import sys
from dataclasses import asdict

import torch

from src.cli import leave
from src.datasets import collate
from src.utils import parallel
from tests.trainer import test_consistency, test_teacher
from tests.trainer.test_consistency import UTTERANCES, Halves, flat


def main(out: str, beside: str = "views") -> None:
    """Learn from every other utterance, in two views or of a teacher; the first writes report and
    weights."""
    parallel.start()
    if beside == "teacher":
        stepper = test_teacher.stepper_of(0.5)
    else:
        stepper = test_consistency.stepper_of(0.2, Halves())
    report = stepper.step([collate(UTTERANCES[parallel.rank() :: 2])], 0)
    if parallel.is_first():
        torch.save(asdict(report) | {"weights": flat(stepper)}, out)
    parallel.stop()
    leave(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
