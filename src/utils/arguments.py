"""Types for argparse."""

import argparse
from collections.abc import Callable


def whole_number(least: int) -> Callable[[str], int]:
    """A whole number from `least` up; argparse tells what was met instead."""

    def parse(value: str) -> int:
        if not value.isdecimal() or int(value) < least:
            raise argparse.ArgumentTypeError(f"{value} is not a whole number from {least} up")
        return int(value)

    return parse
