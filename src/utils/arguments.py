"""Types for argparse."""

import argparse
import math
from collections.abc import Callable


def whole_number(least: int) -> Callable[[str], int]:
    """A whole number from `least` up; argparse tells what was met instead."""

    def parse(value: str) -> int:
        if not value.isdecimal() or int(value) < least:
            raise argparse.ArgumentTypeError(f"{value} is not a whole number from {least} up")
        return int(value)

    return parse


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
