"""The settings that each decoder is tried with, and what grows."""

from collections.abc import Sequence
from typing import Any

from scripts.benchmarks.decoders import Setting
from src.utils.errors import UserError

# Each decoder by its own two ways to save work: the width of the beam, and what it leaves out of a
# frame, first next to nothing, then as much as tuning on held-out speech allowed.
OURS = ("beam_width", "n_tokens", "token_threshold", "blank_threshold")
FLASHLIGHT = ("beam_size", "beam_size_token", "beam_threshold")
PYCTCDECODE = ("beam_width", "beam_prune_logp", "token_min_logp")
FAST = ("beam_size", "beam_cut_threshold")

WITH_MODEL: dict[str, list[Setting]] = {
    "ours": [
        *(dict(zip(OURS, (w, 8, -8.0, -0.001), strict=True)) for w in (16, 32, 50, 100, 200)),
        *(dict(zip(OURS, (w, 4, -5.0, -0.02), strict=True)) for w in (8, 16, 32, 50, 100)),
    ],
    "flashlight": [
        *(dict(zip(FLASHLIGHT, (w, 8, 25.0), strict=True)) for w in (16, 50, 100, 200, 500)),
        {**dict(zip(FLASHLIGHT, (100, 8, 25.0), strict=True)), "log_add": False},
        *(dict(zip(FLASHLIGHT, (w, 4, 10.0), strict=True)) for w in (16, 50, 100, 200, 500)),
    ],
    "pyctcdecode": [
        *(dict(zip(PYCTCDECODE, (w, -10.0, -5.0), strict=True)) for w in (16, 50, 100)),
        dict(zip(PYCTCDECODE, (50, -6.0, -4.0), strict=True)),
    ],
}
WITHOUT: dict[str, list[Setting]] = {
    "ours": [dict(zip(OURS, (w, 4, -5.0, -0.02), strict=True)) for w in (4, 16, 50)],
    "flashlight": [dict(zip(FLASHLIGHT, (w, 4, 10.0), strict=True)) for w in (4, 16, 50)],
    "pyctcdecode": [dict(zip(PYCTCDECODE, (w, -6.0, -4.0), strict=True)) for w in (4, 16, 50)],
    "fast-ctc-decode": [dict(zip(FAST, (w, 0.001), strict=True)) for w in (4, 16, 50)],
}
GROWTH = {
    "beam": (4, 8, 16, 32, 64, 128),
    "batch": (1, 4, 16, 64, 256),
    "vocabulary": (30, 300, 3000),
    "lm": (2_000, 20_000, 200_000),  # sentences that it learns from
}


def grid(with_model: bool, given: Sequence[str]) -> dict[str, list[Setting]]:
    """Settings of each decoder; those given on the command line replace a decoder's own.

    Args:
        given: `ours:beam_width=16,n_tokens=8` and the like.
    """
    settings = dict(WITH_MODEL if with_model else WITHOUT)
    replaced: dict[str, list[Setting]] = {}
    for text in given:
        kind, setting = parse(text)
        replaced.setdefault(kind, []).append(setting)
    return settings | replaced


def parse(text: str) -> tuple[str, dict[str, Any]]:
    """A decoder and its setting from `ours:beam_width=16,n_tokens=8`.

    Raises:
        UserError: not written so.
    """
    kind, _, rest = text.partition(":")
    pairs = [pair.partition("=") for pair in rest.split(",")]
    if kind not in {*WITH_MODEL, *WITHOUT} or not all(sign for _, sign, _ in pairs):
        raise UserError(
            f"--setting {text}: expected DECODER:KEY=VALUE,KEY=VALUE with one of "
            f"{', '.join(WITHOUT)}, such as ours:beam_width=16,n_tokens=8."
        )
    return kind, {key: _number(value, text) for key, _, value in pairs}


def _number(value: str, text: str) -> float | int | bool | None:
    known = {"null": None, "true": True, "false": False}
    if value in known:
        return known[value]
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    raise UserError(f"--setting {text}: {value!r} is no number; null, true and false are known.")


def with_width(kind: str, width: int) -> Setting:
    """The sharp setting of ours or flashlight with a beam of `width`."""
    key = "beam_width" if kind == "ours" else "beam_size"
    return {**WITH_MODEL[kind][-1], key: width}
