"""What of its file an utterance is: a copy made of another part of it is outdated."""

import math
from typing import Any

from src.datasets.mixture import Mixture


def excerpt_of(dataset: Any, row: int) -> str:
    """Words for all but the file that decides how an utterance sounds; "" is a whole file.

    Args:
        dataset: tells by `starts_s` where its utterances begin, and by `resample` whether files
            of another rate may be read; without these they are whole files of any rate.
    """
    if isinstance(dataset, Mixture):
        dataset, row = dataset.place(row)
    starts_s = getattr(dataset, "starts_s", None)
    start_s = math.nan if starts_s is None else float(starts_s[row])
    words = "" if math.isnan(start_s) else f"from {start_s} s\0"
    return words if getattr(dataset, "resample", True) else f"{words}never resampled\0"
