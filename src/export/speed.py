"""How fast an exported file is beside the checkpoint it was made of."""

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor


class Seconds(NamedTuple):
    """Of several repetitions."""

    median: float
    least: float
    most: float


def time_both(
    run: Callable, eager: Callable, batch: tuple[Tensor, Tensor], n: int
) -> tuple[Seconds, Seconds]:
    """Seconds of both for the same batch, taken by turns after each has run twice."""
    taken: tuple[list[float], list[float]] = ([], [])
    for repetition in range(n + 2):
        for function, seconds in zip((run, eager), taken, strict=True):
            began = time.perf_counter()
            function(*batch)
            if repetition >= 2:
                seconds.append(time.perf_counter() - began)
    ours, theirs = (Seconds(statistics.median(s), min(s), max(s)) for s in taken)
    return ours, theirs
