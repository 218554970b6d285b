"""Is one system better than another? A paired bootstrap of the difference between their rates.

Bisani and Ney, "Bootstrap estimates for confidence intervals in ASR performance evaluation",
ICASSP 2004: both systems read the same resampled utterances, so what makes an utterance hard for
both cancels, and small differences show that separate intervals would hide.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_CELLS = 2_000_000  # drawn utterances held at once: 16 MB


class Comparison(NamedTuple):
    """A system beside the first. Rates and differences are fractions."""

    difference: float  # its rate minus the first one's: negative where it is better
    low: float  # ends of the bootstrap interval
    high: float
    relative: float | None  # difference / the first one's rate; None where that is 0
    relative_low: float | None  # None where the first has no error in some resample
    relative_high: float | None
    not_better: float  # share of resamples in which its rate is not the lower one
    p: float  # two-sided, see two_sided_p


def compare(
    systems: Sequence[np.ndarray],
    lengths: np.ndarray,
    groups: Sequence[str] | None = None,
    n_resamples: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> list[Comparison]:
    """Every system but the first beside the first.

    A system's rate is the mean over its seeds of summed errors over summed lengths.

    Args:
        systems: of each system, errors by seed and utterance, (its seeds, n).
        lengths: reference units of each utterance, (n,).
        groups, n_resamples, seed: see resampled_rates.
        level: share of the resampled differences between the two ends.
    """
    first, *others = [seed_rates(errors, lengths).mean() for errors in systems]
    drawn, *others_drawn = resampled_rates(systems, lengths, groups, n_resamples, seed)
    return [
        _beside(float(first), float(rate), drawn, rates, level)
        for rate, rates in zip(others, others_drawn, strict=True)
    ]


def seed_rates(errors: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Corpus rates (seeds,) out of errors (seeds, n); an empty corpus counts as one unit."""
    return errors.sum(axis=1) / max(lengths.sum(), 1)


def resampled_rates(
    systems: Sequence[np.ndarray],
    lengths: np.ndarray,
    groups: Sequence[str] | None = None,
    n_resamples: int = 10_000,
    seed: int = 0,
) -> np.ndarray:
    """Rates of all systems in each resample, (systems, n_resamples).

    Two levels: n utterances are drawn with replacement, the same for all systems; and of each
    system with S > 1 seeds, S − 1 of them are, independently. S − 1, since S out of S spread too
    little: the variance of their mean is (S − 1) / S of what it should be (Rao and Wu 1988,
    "Resampling inference with complex survey data"). Drawing both levels at once is the pigeonhole
    bootstrap (Owen 2007), whose intervals are rather too wide than too narrow.

    What is drawn depends on the seed, the number of utterances (or groups) and each system's place
    and number of seeds only: one more system leaves the others as they were.

    Args:
        systems, lengths: see compare.
        groups: of each utterance, the name of what is drawn as a whole, such as its speaker;
            None draws each utterance alone.
        n_resamples: at least one.
    """
    if not len(lengths) or n_resamples < 1:
        raise ValueError(f"expected utterances and resamples, met {len(lengths)}, {n_resamples}")
    columns = np.vstack([*systems, lengths]).astype(float)  # (all seeds + 1, n)
    if groups is not None:
        columns = _sum_groups(columns, groups)
    of_utterances, *of_seeds = np.random.SeedSequence(seed).spawn(1 + len(systems))
    totals = _drawn_totals(np.random.default_rng(of_utterances), columns, n_resamples)
    rates = totals[:-1] / np.maximum(totals[-1], 1)  # (all seeds, n_resamples)
    means, begin = [], 0
    for errors, stream in zip(systems, of_seeds, strict=True):
        shares = _seed_shares(np.random.default_rng(stream), len(errors), n_resamples)
        means.append((shares * rates[begin : begin + len(errors)]).sum(axis=0))
        begin += len(errors)
    return np.stack(means)


def two_sided_p(differences: np.ndarray) -> float:
    """Of R resampled differences, 2 · (1 + the fewer of those ≤ 0 and those ≥ 0) / (R + 1), ≤ 1.

    It is below 0.05 where 0 lies outside the 95 % percentile interval. The added one counts what
    was observed as a resample too, so that p is never 0 (Davison and Hinkley 1997, "Bootstrap
    Methods and their Application", section 4.2); a tie counts for both sides.
    """
    fewer = min(np.count_nonzero(differences <= 0), np.count_nonzero(differences >= 0))
    return min(1.0, 2 * (1 + int(fewer)) / (1 + len(differences)))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for being several: how often any of them misleads stays below the level.

    Holm 1979, "A simple sequentially rejective multiple test procedure": the k-th smallest of m is
    multiplied by m − k + 1, and is no smaller than those before it.
    """
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, p_values[place] * (len(p_values) - rank)))
        corrected[place] = largest
    return corrected


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p for utterances that only one of two systems got wrong.

    McNemar 1947 with the binomial distribution: were both as good, each of them would be either's
    with probability ½.
    """
    n, fewer = only_first + only_second, min(only_first, only_second)
    ways = tail = 1  # to choose k of n; up to k
    for k in range(fewer):
        ways = ways * (n - k) // (k + 1)
        tail += ways
    return min(1.0, 2 * tail / 2**n)  # whole numbers of any size: no rounding before this


def _beside(
    first: float, rate: float, first_drawn: np.ndarray, drawn: np.ndarray, level: float
) -> Comparison:
    differences, ends = drawn - first_drawn, [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(differences, ends)
    relative_low = relative_high = None
    if np.all(first_drawn > 0):
        relative_low, relative_high = map(float, np.quantile(differences / first_drawn, ends))
    return Comparison(
        difference=rate - first,
        low=float(low),
        high=float(high),
        relative=(rate - first) / first if first else None,
        relative_low=relative_low,
        relative_high=relative_high,
        not_better=float(np.mean(differences >= 0)),
        p=two_sided_p(differences),
    )


def _sum_groups(columns: np.ndarray, groups: Sequence[str]) -> np.ndarray:
    """Columns (rows, n) summed over the utterances of each group, (rows, groups)."""
    names, place = np.unique(np.asarray(groups), return_inverse=True)
    summed = np.zeros((len(columns), len(names)))
    np.add.at(summed, (slice(None), place), columns)
    return summed


def _drawn_totals(rng: np.random.Generator, columns: np.ndarray, n_resamples: int) -> np.ndarray:
    """Sums (rows, n_resamples) of columns (rows, n) drawn n at a time with replacement."""
    n = columns.shape[1]
    at_once = max(1, _CELLS // n)
    totals = []
    for begin in range(0, n_resamples, at_once):
        n_now = min(at_once, n_resamples - begin)
        # Counting draws is 15 times faster than drawing the counts from a multinomial.
        drawn = rng.integers(n, size=(n_now, n)) + n * np.arange(n_now)[:, None]
        times = np.bincount(drawn.ravel(), minlength=n_now * n).reshape(n_now, n)
        totals.append(columns @ times.T)
    return np.concatenate(totals, axis=1)


def _seed_shares(rng: np.random.Generator, n_seeds: int, n_resamples: int) -> np.ndarray:
    """How much each seed weighs in each resample, (n_seeds, n_resamples); they sum to 1."""
    n_drawn = max(n_seeds - 1, 1)
    return rng.multinomial(n_drawn, np.full(n_seeds, 1 / n_seeds), size=n_resamples).T / n_drawn
