"""Are the numbers of a transform's config ones it can be built from?"""

from src.utils.errors import UserError


def check_number(name: str, value: float, lowest: float, highest: float) -> None:
    """Raise UserError unless `value` is a number in lowest … highest."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not lowest <= value <= highest:
        raise UserError(f"{name}={value}: expected a number from {lowest:g} to {highest:g}.")


def check_whole(name: str, value: int, lowest: int, highest: int) -> None:
    """Raise UserError unless `value` is a whole number in lowest … highest."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or not lowest <= value <= highest:
        raise UserError(f"{name}={value}: expected a whole number from {lowest} to {highest}.")


def check_range(name: str, low: float, high: float, lowest: float, highest: float) -> None:
    """Raise UserError unless `min_NAME` ≤ `max_NAME` are numbers in lowest … highest."""
    check_number(f"min_{name}", low, lowest, highest)
    check_number(f"max_{name}", high, lowest, highest)
    if low > high:
        raise UserError(f"min_{name}={low}: expected no more than max_{name}={high}.")
