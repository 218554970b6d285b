import math

import numpy as np
import pytest

from src.metrics import ErrorCounts, bootstrap_interval, summarise
from src.metrics.summary import _CELLS


def binomial_quantile(n, p, level):
    """Smallest k with P(X ≤ k) ≥ level."""
    total = 0.0
    for k in range(n + 1):
        total += math.comb(n, k) * p**k * (1 - p) ** (n - k)
        if total >= level:
            return k
    return n


def resample_plainly(errors, lengths, n_resamples, seed):
    """Rates of resamples, drawing utterance by utterance."""
    rng = np.random.default_rng(seed)
    rates = []
    for _ in range(n_resamples):
        drawn = rng.integers(len(errors), size=len(errors))
        rates.append(errors[drawn].sum() / lengths[drawn].sum())
    return np.quantile(rates, [0.025, 0.975])


@pytest.mark.parametrize(("n", "n_wrong"), [(200, 50), (400, 20), (1000, 990)])
def test_one_word_utterances_give_the_quantiles_of_a_binomial(n, n_wrong):
    errors = np.array([1] * n_wrong + [0] * (n - n_wrong))
    low, high = bootstrap_interval(errors, np.ones(n, int), n_resamples=20_000)
    # one step of 1/n either way: quantiles of a discrete distribution met by chance
    assert abs(low * n - binomial_quantile(n, n_wrong / n, 0.025)) <= 1
    assert abs(high * n - binomial_quantile(n, n_wrong / n, 0.975)) <= 1


def test_utterances_of_many_kinds_are_resampled_as_one_by_one():
    rng = np.random.default_rng(5)
    n = 4000  # nearly as many kinds, so that the resamples are drawn in several pieces
    lengths = rng.integers(20, 400, n)
    errors = rng.binomial(lengths, rng.beta(1, 4, n))
    kinds = np.unique(np.stack([errors, lengths]), axis=1).shape[1]
    assert kinds * 1000 > _CELLS
    ours = bootstrap_interval(errors, lengths, n_resamples=1000)
    plain = resample_plainly(errors, lengths, 1000, seed=1)
    width = plain[1] - plain[0]
    np.testing.assert_allclose(ours, plain, atol=0.15 * width)


def test_longer_utterances_weigh_more():
    low, high = bootstrap_interval(np.array([0, 90]), np.array([10, 90]))
    # three outcomes: the short one twice, both, the long one twice
    assert (low, high) == (0.0, 1.0)
    assert bootstrap_interval(np.array([0, 90]), np.array([10, 90]), level=0.3) == (0.9, 0.9)


def test_a_certain_rate_has_no_width():
    assert bootstrap_interval(np.full(50, 1), np.full(50, 4)) == (0.25, 0.25)
    assert bootstrap_interval(np.zeros(50), np.full(50, 4)) == (0, 0)
    assert bootstrap_interval(np.array([3]), np.array([4])) == (0.75, 0.75)


def test_the_same_seed_gives_the_same_interval_in_any_order():
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 30, 300)
    errors = rng.binomial(lengths, 0.2)
    order = rng.permutation(300)
    first = bootstrap_interval(errors, lengths, seed=3)
    assert bootstrap_interval(errors[order], lengths[order], seed=3) == first
    assert bootstrap_interval(errors, lengths, seed=4) != first


def test_a_higher_level_and_fewer_utterances_make_the_interval_wider():
    errors, lengths = np.tile([0, 1, 2, 3], 50), np.full(200, 10)

    def width(errors, lengths, level=0.95):
        low, high = bootstrap_interval(errors, lengths, level=level)
        return high - low

    assert width(errors, lengths, 0.99) > width(errors, lengths) > width(errors, lengths, 0.8)
    # the width goes with one over the root of the number of utterances, and 200 / 8 = 5²
    assert 3 < width(errors[:8], lengths[:8]) / width(errors, lengths) < 7


def test_silence_alone_gives_a_finite_interval():
    assert bootstrap_interval(np.array([2]), np.array([0])) == (2, 2)


@pytest.mark.parametrize(
    ("errors", "lengths", "n_resamples"), [([], [], 10), ([1], [2, 3], 10), ([1], [2], 0)]
)
def test_nothing_to_resample_is_our_own_mistake(errors, lengths, n_resamples):
    with pytest.raises(ValueError, match="at least one utterance and one resample"):
        bootstrap_interval(np.array(errors), np.array(lengths), n_resamples)


def test_a_summary_holds_both_kinds_of_mean():
    counts = [ErrorCounts(hits=9), ErrorCounts(substitutions=1), ErrorCounts(insertions=3)]
    summary = summarise(counts)
    assert summary.rate == 4 / 10
    assert summary.mean_utterance_rate == pytest.approx((0 + 1 + 3) / 3)
    assert summary.counts == ErrorCounts(substitutions=1, insertions=3, hits=9)
    assert summary.n_utterances == 3
    assert summary.low <= summary.rate <= summary.high
