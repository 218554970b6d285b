"""Comparisons of systems as people read them (percent, tables) and as programs do (fractions)."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from src.metrics.comparison import compare, holm, mcnemar, seed_rates
from src.metrics.errors import aligned
from src.metrics.pairing import Measured, Paired
from src.metrics.predictions import compared_units
from src.utils.tables import percent, table

_LEVEL = 0.05  # a (corrected) p below it tells two systems apart
_NOTE = """\
p is two-sided: 2 · (1 + the resamples on the rarer side of no difference) / (1 + all of them), at
most 1; a tie is on both sides."""


class System(NamedTuple):
    """What is held against another: a folder of predictions, or one for each seed."""

    letter: str
    folders: list[str]
    field: str  # key of the hypothesis


def compare_rates(
    systems: Sequence[System],
    measured: Measured,
    groups: Sequence[str] | None,
    n_resamples: int,
    seed: int,
) -> dict[str, Any]:
    """One rate of all systems, and every other system beside the first; plain values, fractions.

    Args:
        measured: folders in order of the systems, each system's seeds together.
        groups: of each paired utterance, the name of what is drawn as a whole, or None.
        n_resamples, seed: see resampled_rates.
    """
    errors = by_system(systems, measured)
    if groups is not None:
        groups = [groups[place] for place in measured.places]
    found = compare(errors, measured.lengths, groups, n_resamples, seed)
    corrected = holm([comparison.p for comparison in found])
    beside = {
        system.letter: comparison._asdict()
        | {"holm_p": p, "verdict": _verdict(comparison.difference, p)}
        | _wrong_utterances(errors[0], others)
        for system, others, comparison, p in zip(
            systems[1:], errors[1:], found, corrected, strict=True
        )
    }
    rates = {
        system.letter: _rates(seed_rates(mine, measured.lengths))
        for system, mine in zip(systems, errors, strict=True)
    }
    n_utterances, n_units = len(measured.places), int(measured.lengths.sum())
    return {
        "n_utterances": n_utterances,
        "reference_length": n_units,
        "rates": rates,
        f"against_{systems[0].letter}": beside,
    }


def by_system(systems: Sequence[System], measured: Measured) -> list[np.ndarray]:
    """Errors of each system, (its seeds, n)."""
    ends = np.cumsum([len(system.folders) for system in systems])
    return np.split(measured.errors, ends[:-1])


def differing_most(
    systems: Sequence[System], measured: Measured, n: int
) -> list[tuple[int, list[float]]]:
    """Utterances whose errors differ most, the widest apart first: place, errors of each system.

    Errors are means over seeds; where systems agree, there is nothing to show.
    """
    errors = np.stack([mine.mean(axis=0) for mine in by_system(systems, measured)], axis=1)
    apart = np.ptp(errors, axis=1)
    order = np.argsort(-apart, kind="stable")[:n]
    return [(measured.places[i], errors[i].tolist()) for i in order if apart[i] > 0]


def comparison_tables(systems: Sequence[System], rates: Mapping[str, Mapping]) -> list[str]:
    """Blocks of text: rates and differences, spread of seeds, utterances of one side only."""
    several = len(systems) > 2
    against = f"against_{systems[0].letter}"
    rows, seeds, wrong = [], [], []
    for name, found in rates.items():
        for system in systems:
            mine, beside = found["rates"][system.letter], found[against].get(system.letter)
            rows.append([name, system.letter, *_row(mine, beside, several)])
            if len(mine["seeds"]) > 1:
                seeds.append([name, system.letter, *_spread(mine)])
            if beside and "mcnemar_p" in beside and name != "CER":  # wrong where the words are
                wrong.append([name, system.letter, *_wrong_row(beside)])
    first = systems[0].letter
    header = ["rate", "system", "value", f"minus {first}, points [95 %]", "relative [95 %]"]
    header += ["not better", "p", *(["Holm's p"] if several else []), ""]
    blocks = [table(rows, header)]
    if seeds:
        blocks.append(
            table(seeds, ["rate", "system", "seeds", "least", "greatest", "standard deviation"])
        )
    if wrong:
        columns = ["utterances wrong", "system", f"only in {first}", "only in it", "McNemar's p"]
        blocks.append(table(wrong, columns))
    holm_note = f" Holm's p allows for {len(systems) - 1} comparisons of a rate." if several else ""
    return [*blocks, _NOTE + holm_note]


def side_by_side(
    systems: Sequence[System],
    paired: Paired,
    place: int,
    errors: Sequence[float],
    normalise: Callable[[str], str],
) -> str:
    """What each system read in one utterance, under the text; of seeds what the first one did."""
    counted = ", ".join(f"{s.letter} {e:.3g}" for s, e in zip(systems, errors, strict=True))
    lines, folder = [f"{paired.ids[place]}: errors {counted}"], 0
    for system in systems:
        units = compared_units(paired.folders[folder][place], normalise)
        for above, below in aligned(*units):
            lines += [f"  text {above}".rstrip(), f"  {system.letter:4} {below}".rstrip()]
        folder += len(system.folders)
    return "\n".join(lines)


def _rates(rates: np.ndarray) -> dict[str, Any]:
    seeds = rates.tolist()
    deviation = statistics.stdev(seeds) if len(seeds) > 1 else None
    return {"rate": float(rates.mean()), "seeds": seeds, "standard_deviation": deviation}


def _wrong_utterances(first: np.ndarray, other: np.ndarray) -> dict[str, Any]:
    """Utterances with an error on one side only; {} where either has several seeds."""
    if len(first) > 1 or len(other) > 1:
        return {}
    only_first = int(np.count_nonzero((first[0] > 0) & (other[0] == 0)))
    only_it = int(np.count_nonzero((first[0] == 0) & (other[0] > 0)))
    p = mcnemar(only_first, only_it)
    return {"only_first_wrong": only_first, "only_it_wrong": only_it, "mcnemar_p": p}


def _verdict(difference: float, p: float) -> str:
    if p >= _LEVEL:
        return "not told apart"
    return "better" if difference < 0 else "worse"


def _row(mine: Mapping, beside: Mapping | None, several: bool) -> list[str]:
    rate = f"{100 * mine['rate']:.2f} %"
    if beside is None:
        return [rate, *([""] * (6 if several else 5))]
    return [
        rate,
        _signed(beside["difference"], beside["low"], beside["high"], 2),
        _signed(beside["relative"], beside["relative_low"], beside["relative_high"], 1, " %"),
        percent(beside["not_better"]),
        _p(beside["p"]),
        *([_p(beside["holm_p"])] if several else []),
        beside["verdict"],
    ]


def _spread(mine: Mapping) -> list[str]:
    shown = (min(mine["seeds"]), max(mine["seeds"]), mine["standard_deviation"])
    return [str(len(mine["seeds"])), *(f"{100 * value:.2f} %" for value in shown)]


def _wrong_row(beside: Mapping) -> list[str]:
    only = (beside["only_first_wrong"], beside["only_it_wrong"])
    return [*(f"{n:,}" for n in only), _p(beside["mcnemar_p"])]


def _signed(
    value: float | None, low: float | None, high: float | None, digits: int, unit: str = ""
) -> str:
    """100 × a fraction with its sign and interval; n/a where it has none."""
    if value is None:
        return "n/a"
    value, *ends = (None if x is None else round(100 * x, digits) + 0.0 for x in (value, low, high))
    interval = f" [{ends[0]:+.{digits}f}, {ends[1]:+.{digits}f}]" if None not in ends else ""
    return f"{value:+.{digits}f}{unit}{interval}".replace("-", "−")


def _p(p: float) -> str:
    return f"{p:.4f}" if p >= 0.0001 else f"{p:.1e}"
