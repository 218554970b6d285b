"""Types for argparse."""

import argparse
import math
from collections.abc import Callable


def whole_number(least: int, most: int | None = None) -> Callable[[str], int]:
    """A whole number from `least` up, or to `most`; argparse tells what was met instead."""
    limit = "up" if most is None else f"to {most}"

    def parse(value: str) -> int:
        if not value.isdecimal() or int(value) < least or (most and int(value) > most):
            raise argparse.ArgumentTypeError(f"{value} is not a whole number from {least} {limit}")
        return int(value)

    return parse


def share(value: str) -> float:
    """A number from 0 up, below 1."""
    return 0.0 if value == "0" else number_above(0, 1)(value)


def number_above(least: float, below: float = math.inf) -> Callable[[str], float]:
    """A number above `least` and below `below`; argparse tells what was met instead."""
    limit = "" if below == math.inf else f" and below {below:g}"

    def parse(value: str) -> float:
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not least < number < below:
            raise argparse.ArgumentTypeError(f"{value}: expected a number above {least:g}{limit}")
        return number

    return parse
