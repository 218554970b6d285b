"""Are the numbers of a model's config ones it can be built from?"""

from collections.abc import Sequence

from src.utils.errors import UserError


def check_whole(name: str, value: int, lowest: int, highest: int) -> None:
    """Raise UserError unless `value` is a whole number in lowest … highest."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or not lowest <= value <= highest:
        raise UserError(f"{name}={value}: expected a whole number from {lowest} to {highest}.")


def check_share(name: str, value: float) -> None:
    """Raise UserError unless 0 ≤ value < 1."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value < 1:
        raise UserError(f"{name}={value}: expected a number from 0 up to, but not including, 1.")


def check_intermediate(layers: Sequence[int], n_layers: int) -> None:
    """Raise UserError unless `layers` are different layers below the last of `n_layers`."""
    several = isinstance(layers, Sequence) and not isinstance(layers, str)
    if not several or len(set(layers)) < len(layers):
        raise UserError(f"model.intermediate={layers}: expected different layers, such as [8].")
    for layer in layers:
        check_whole("model.intermediate", layer, 1, n_layers - 1)


def check_channels(name: str, channels: Sequence[int], n: int) -> None:
    """Raise UserError unless `channels` are `n` whole numbers from 1 on."""
    several = isinstance(channels, Sequence) and not isinstance(channels, str)
    if not several or len(channels) != n:
        raise UserError(f"{name}={channels}: expected {n} numbers, one for each convolution.")
    for i, n_channels in enumerate(channels):
        check_whole(f"{name}[{i}]", n_channels, 1, 8192)
