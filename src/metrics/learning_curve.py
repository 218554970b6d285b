"""How a rate falls with hours of training speech: a power law, and how far it may be trusted.

Hestness et al. 2017, "Deep Learning Scaling is Predictable, Empirically", section 3: an error of
a · h^−b over the range where more data helps, below guessing and above wrong labels.
"""

from typing import NamedTuple

import numpy as np


class PowerLaw(NamedTuple):
    """rate ≈ factor · hours^−exponent, by least squares of logarithms."""

    factor: float  # the rate at one hour
    exponent: float
    scatter: float  # standard deviation of the logarithms about the line; NaN with two sizes


class Foretold(NamedTuple):
    """The rate to expect at a size that was not tried."""

    rate: float
    low: float  # ends of the prediction interval
    high: float


def fit_power_law(hours: np.ndarray, rates: np.ndarray) -> PowerLaw:
    """The line through log rates over log hours, both (n,), all above 0.

    Raises:
        ValueError: fewer than two different sizes, or something not above 0.
    """
    x, y = _logarithms(hours, rates[None])
    slope, level, scatter = _lines(x, y)
    at_one = float(np.exp(level[0] - slope[0] * x.mean()))
    return PowerLaw(at_one, -float(slope[0]), float(scatter[0]))


def foretell(
    hours: np.ndarray,
    rates: np.ndarray,
    resampled: np.ndarray,
    targets: np.ndarray,
    seed: int = 0,
    level: float = 0.95,
) -> list[Foretold]:
    """Rates at other sizes, each with an interval in which a new training there should fall.

    Every resample of the test utterances gives a line; about it the new rate is drawn from
    Student's t with n − 2 degrees of freedom, which widens with the distance from what was tried
    (the prediction interval of linear regression). So the interval holds both the choice of the
    test utterances and the luck of single trainings. It trusts the power law itself, which bends
    where little is left to learn.

    Args:
        hours: of each training, (n,), n ≥ 3.
        rates: of each training, (n,).
        resampled: the same in each resample, (n, resamples), as from `resampled_rates`.
        targets: hours to foretell, (m,).
        level: share of the drawn rates between the two ends.

    Raises:
        ValueError: fewer than three trainings or two sizes, or something not above 0.
    """
    if len(hours) < 3:
        raise ValueError(f"{len(hours)} trainings; the scatter about a line takes three")
    x, drawn = _logarithms(hours, resampled.T)
    wanted = np.log(targets) - x.mean()
    slope, centre, scatter = _lines(x, drawn)
    spread = np.sqrt(1 + 1 / len(x) + wanted[:, None] ** 2 / np.square(x - x.mean()).sum())
    luck = np.random.default_rng(seed).standard_t(len(x) - 2, size=(len(targets), len(drawn)))
    logs = centre + slope * wanted[:, None] + scatter * spread * luck  # (targets, resamples)
    ends = np.exp(np.quantile(logs, [(1 - level) / 2, (1 + level) / 2], axis=1))
    law = fit_power_law(hours, rates)
    likely = law.factor * targets**-law.exponent
    return [Foretold(*map(float, three)) for three in zip(likely, *ends, strict=True)]


def _logarithms(hours: np.ndarray, rates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if np.any(hours <= 0) or np.any(rates <= 0):
        raise ValueError("hours and rates must be above 0 to lie on a power law")
    if len(np.unique(hours)) < 2:
        raise ValueError("two different sizes at least make a line")
    return np.log(hours), np.log(rates)


def _lines(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Least squares of the rows of y (r, n) over x (n,): slopes, values at mean x, scatter (r,)."""
    away = x - x.mean()
    slope = (y * away).sum(1) / np.square(away).sum()
    centre = y.mean(1)
    left = y - centre[:, None] - slope[:, None] * away
    freedom = len(x) - 2
    scatter = np.sqrt(np.square(left).sum(1) / freedom) if freedom else np.full(len(y), np.nan)
    return slope, centre, scatter
