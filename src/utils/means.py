"""Means that several rooms take."""

import math
from collections.abc import Sequence


def geometric_mean(confidences: Sequence[float]) -> float:
    """Of at least one confidence, 0 … 1; one of 0 counts as 1e-10."""
    logs = [math.log(max(c, 1e-10)) for c in confidences]
    return math.exp(sum(logs) / len(logs))
