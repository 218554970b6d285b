"""Power laws through error rates, and whether their intervals keep their promise."""

import numpy as np
import pytest

from src.metrics.learning_curve import fit_power_law, foretell

HOURS = np.array([0.5, 1.0, 2.0, 4.0])
TARGETS = np.array([100.0, 960.0])


def test_an_exact_power_law_is_found_and_foretold_without_doubt():
    rates = 0.6 * HOURS**-0.3
    law = fit_power_law(HOURS, rates)
    assert law.factor == pytest.approx(0.6)
    assert law.exponent == pytest.approx(0.3)
    assert law.scatter == pytest.approx(0, abs=1e-12)
    for told, hours in zip(
        foretell(HOURS, rates, np.tile(rates[:, None], 50), TARGETS), TARGETS, strict=True
    ):
        assert told == pytest.approx((0.6 * hours**-0.3,) * 3)


def test_the_line_is_that_of_numpy():
    random = np.random.default_rng(0)
    hours, rates = random.uniform(0.3, 50, 9), random.uniform(0.05, 0.9, 9)
    slope, level = np.polyfit(np.log(hours), np.log(rates), 1)
    law = fit_power_law(hours, rates)
    assert (law.factor, -law.exponent) == pytest.approx((np.exp(level), slope))
    left = np.log(rates) - np.polyval([slope, level], np.log(hours))
    assert law.scatter == pytest.approx(np.sqrt(np.sum(left**2) / 7))


def test_new_trainings_fall_into_the_interval_as_often_as_promised():
    random = np.random.default_rng(1)
    hours, inside = np.repeat(HOURS, 2), 0
    for trial in range(400):
        logs = np.log(0.6) - 0.3 * np.log(np.append(hours, 100.0)) + random.normal(0, 0.1, 9)
        *rates, new = np.exp(logs)
        rates = np.array(rates)
        resampled = np.tile(rates[:, None], 300)
        (told,) = foretell(hours, rates, resampled, np.array([100.0]), seed=trial)
        inside += told.low <= new <= told.high
    assert 0.92 <= inside / 400 <= 0.98


def test_an_uncertain_test_set_widens_the_interval():
    rates = 0.6 * HOURS**-0.3
    noisy = rates[:, None] * np.exp(np.random.default_rng(2).normal(0, 0.1, (1, 500)))
    (told,) = foretell(HOURS, rates, noisy, np.array([100.0]))
    assert told.low < told.rate * 0.9 and told.high > told.rate * 1.1


@pytest.mark.parametrize(
    ("hours", "rates", "message"),
    [
        ([1, 2], [0.5, 0.4], "takes three"),
        ([1, 1, 1], [0.5, 0.4, 0.3], "two different sizes"),
        ([1, 2, 3], [0.5, 0.4, 0.0], "above 0"),
    ],
)
def test_what_makes_no_line_is_refused(hours, rates, message):
    rates = np.array(rates, dtype=float)
    with pytest.raises(ValueError, match=message):
        foretell(np.array(hours, dtype=float), rates, rates[:, None], TARGETS)
