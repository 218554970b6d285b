"""Error counts of many utterances → one rate with its uncertainty."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from src.metrics.errors import ErrorCounts

_CELLS = 2_000_000  # resampled counts held at once: 16 MB


class RateSummary(NamedTuple):
    """One error rate of a corpus. Rates are fractions."""

    rate: float  # summed errors / summed reference length
    low: float  # ends of the bootstrap interval
    high: float
    mean_utterance_rate: float  # what older reports call WER; every utterance weighs the same
    counts: ErrorCounts  # summed
    n_utterances: int


def summarise(
    counts: Sequence[ErrorCounts], n_resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> RateSummary:
    """The corpus rate with its bootstrap interval.

    Args:
        counts: of each utterance, at least one.
        n_resamples, seed, level: see bootstrap_interval.
    """
    errors = np.array([c.errors for c in counts])
    lengths = np.array([c.reference_length for c in counts])
    low, high = bootstrap_interval(errors, lengths, n_resamples, seed, level)
    total = sum(counts, ErrorCounts())
    mean = float(np.mean(errors / np.maximum(lengths, 1)))
    return RateSummary(total.rate, low, high, mean, total, len(counts))


def bootstrap_interval(
    errors: np.ndarray,
    lengths: np.ndarray,
    n_resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile interval of the corpus rate when whole utterances are drawn anew.

    Bisani and Ney, "Bootstrap estimates for confidence intervals in ASR performance
    evaluation", ICASSP 2004: n utterances with replacement, summed errors over summed lengths.

    Args:
        errors: of each utterance, (n,).
        lengths: reference units of each utterance, (n,); a sample of none counts as one unit.
        level: share of the resampled rates between the two ends.

    Returns:
        (low, high) as fractions. The same for any order of the utterances.

    Raises:
        ValueError: no utterance, unequal shapes, or less than one resample.
    """
    if len(errors) == 0 or len(errors) != len(lengths) or n_resamples < 1:
        raise ValueError(
            f"expected at least one utterance and one resample, met {len(errors)} errors, "
            f"{len(lengths)} lengths, {n_resamples} resamples"
        )
    # Utterances with the same errors and length are interchangeable, so it is enough to draw how
    # many of each kind a resample holds: the same distribution from far fewer random numbers.
    kinds, n_of_kind = np.unique(np.stack([errors, lengths]), axis=1, return_counts=True)
    share = n_of_kind / len(errors)
    rng = np.random.default_rng(seed)
    rows = max(1, _CELLS // len(share))
    rates = [
        _rates(rng.multinomial(len(errors), share, size=min(rows, n_resamples - start)), kinds)
        for start in range(0, n_resamples, rows)
    ]
    low, high = np.quantile(np.concatenate(rates), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _rates(draws: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """Corpus rates (rows,) of resamples given as counts of each kind, (rows, kinds)."""
    errors, lengths = (draws @ kinds.T).T
    return errors / np.maximum(lengths, 1)
