"""The paired bootstrap against every resample there is, plain loops, and simulated systems."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.metrics.comparison import compare, holm, mcnemar, resampled_rates, two_sided_p

SHARES = st.lists(st.floats(0, 1), min_size=1, max_size=6)


def one_seed(*systems) -> list[np.ndarray]:
    return [np.array(errors)[None] for errors in systems]


def some_systems(n: int, n_seeds=(1, 1), seed: int = 0) -> tuple[list[np.ndarray], np.ndarray]:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(3, 30, n)
    hard = rng.beta(1, 4, n)
    return [rng.binomial(lengths, hard, (seeds, n)) for seeds in n_seeds], lengths


def every_difference(first, second, lengths) -> np.ndarray:
    """Of all ways to draw utterances and S − 1 of S seeds, each equally likely."""
    found = []
    for drawn in itertools.product(range(len(lengths)), repeat=len(lengths)):
        rates = [
            [sum(seed[i] for i in drawn) / sum(lengths[i] for i in drawn) for seed in system]
            for system in (first, second)
        ]
        seeds = [itertools.product(r, repeat=max(len(r) - 1, 1)) for r in rates]
        found += [np.mean(b) - np.mean(a) for a, b in itertools.product(*seeds)]
    return np.array(found)


def differences_plainly(systems, lengths, groups, n_resamples, seed) -> list[float]:
    """Differences of two systems, group by group, utterance by utterance, seed by seed."""
    rng = np.random.default_rng(seed)
    names, found = sorted(set(groups)), []
    for _ in range(n_resamples):
        drawn = [names[i] for i in rng.integers(len(names), size=len(names))]
        places = [i for name in drawn for i in range(len(lengths)) if groups[i] == name]
        rates = []
        for system in systems:
            n_seeds = max(len(system) - 1, 1)
            chosen = [system[i] for i in rng.integers(len(system), size=n_seeds)]
            each = [sum(s[i] for i in places) / sum(lengths[i] for i in places) for s in chosen]
            rates.append(sum(each) / n_seeds)
        found.append(rates[1] - rates[0])
    return found


@pytest.mark.parametrize("n_seeds", [(1, 1), (1, 3), (2, 3)])
def test_few_utterances_are_resampled_in_every_way_there_is(n_seeds):
    systems, lengths = some_systems(4, n_seeds, seed=2)
    truth = every_difference(*systems, lengths)
    first, second = resampled_rates(systems, lengths, n_resamples=100_000)
    drawn = second - first
    for level in np.unique(truth.round(9))[::20]:  # in steps through the distribution
        assert np.mean(drawn <= level + 1e-9) == pytest.approx(
            np.mean(truth <= level + 1e-9), abs=0.008
        )
    found = compare(systems, lengths, n_resamples=100_000)[0]
    assert found.not_better == pytest.approx(np.mean(truth >= 0), abs=0.008)


def test_groups_and_seeds_are_drawn_as_plain_loops_draw_them():
    systems, lengths = some_systems(60, (2, 4))
    groups = [f"speaker {i % 7}" for i in range(60)]
    found = compare(systems, lengths, groups, n_resamples=4000)[0]
    plain = differences_plainly(systems, lengths, groups, 4000, seed=1)
    low, high = np.quantile(plain, [0.025, 0.975])
    np.testing.assert_allclose((found.low, found.high), (low, high), atol=0.07 * (high - low))
    assert found.not_better == pytest.approx(np.mean(np.array(plain) >= 0), abs=0.04)


def test_two_utterances_worked_out_by_hand():
    # A has one of two words wrong, B none. Drawn anew the wrong one comes twice in ¼ of all cases,
    # once in ½, never in ¼: B is better by 1, ½, 0.
    found = compare(one_seed([1, 0], [0, 0]), np.array([1, 1]), n_resamples=40_000)[0]
    assert (found.difference, found.low, found.high) == (-0.5, -1, 0)
    assert found.not_better == pytest.approx(1 / 4, abs=0.01)
    assert found.p == pytest.approx(2 * 1 / 4, abs=0.02)
    # No error is left, whatever is drawn; but a quarter of the resamples has none to begin with.
    assert (found.relative, found.relative_low, found.relative_high) == (-1, None, None)


def test_utterances_that_always_differ_alike_leave_no_doubt():
    found = compare(one_seed([4, 4, 4], [3, 3, 3]), np.array([10, 10, 10]), n_resamples=999)[0]
    assert (found.difference, found.low, found.high) == pytest.approx((-0.1, -0.1, -0.1))
    assert (found.relative, found.relative_low) == pytest.approx((-0.25, -0.25))
    assert found.not_better == 0
    assert found.p == 2 / 1000  # the least that so many resamples can say


def test_a_system_beside_itself_does_not_differ():
    (errors, _), lengths = some_systems(50)
    found = compare([errors, errors], lengths, n_resamples=100)[0]
    assert found[:4] == (0, 0, 0, 0)
    assert (found.not_better, found.p) == (1, 1)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000), speakers=st.booleans())
def test_swapping_the_two_turns_every_sign(seed, speakers):
    (a, b), lengths = some_systems(30, seed=seed)
    groups = [str(i % 5) for i in range(30)] if speakers else None
    there, back = (compare(pair, lengths, groups, 200)[0] for pair in ([a, b], [b, a]))
    assert back.difference == -there.difference
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low), abs=1e-12)
    assert back.p == there.p
    assert back.not_better + there.not_better >= 1 - 1e-12  # a tie is not better for either


def test_the_same_seed_draws_the_same_and_one_more_system_changes_nothing():
    systems, lengths = some_systems(40, (1, 2, 3))
    pair = compare(systems[:2], lengths, n_resamples=300, seed=5)
    assert compare(systems[:2], lengths, n_resamples=300, seed=5) == pair
    assert compare(systems, lengths, n_resamples=300, seed=5)[0] == pair[0]
    assert compare(systems[:2], lengths, n_resamples=300, seed=6) != pair


def test_what_is_drawn_in_pieces_is_drawn_as_often(monkeypatch):
    systems, lengths = some_systems(40)
    whole = resampled_rates(systems, lengths, n_resamples=2000)
    monkeypatch.setattr("src.metrics.comparison._CELLS", 40 * 7)  # seven at once, the last five
    pieces = resampled_rates(systems, lengths, n_resamples=2000)
    assert pieces.shape == (2, 2000)
    np.testing.assert_allclose(pieces.mean(axis=1), whole.mean(axis=1), rtol=0.03)
    np.testing.assert_allclose(pieces.std(axis=1), whole.std(axis=1), rtol=0.1)


def simulate(n_trials: int, n_resamples: int, draw, grouped: bool = False) -> list:
    """Comparisons of systems that are equally good in truth; `draw(rng)` gives errors and groups
    of utterances of ten words."""
    found = []
    for trial in range(n_trials):
        systems, groups = draw(np.random.default_rng(trial))
        lengths = np.full(systems[0].shape[1], 10)
        found += compare(systems, lengths, groups if grouped else None, n_resamples, trial)
    return found


def coverage(found) -> float:
    """Share of intervals that hold the true difference, 0."""
    return sum(c.low <= 0 <= c.high for c in found) / len(found)


def hard_for_both(rng):
    chance = rng.beta(1, 3, 80)
    return [rng.binomial(10, chance, (1, 80)) for _ in range(2)], None


def test_without_a_difference_p_is_uniform_and_the_interval_holds_zero_in_95_of_100():
    found = simulate(400, 200, hard_for_both)
    for level in (0.05, 0.25, 0.5, 0.75):
        share = np.mean([c.p <= level for c in found])
        deviation = (level * (1 - level) / 400) ** 0.5
        assert abs(share - level) < 3 * deviation, (level, share)
    assert 0.92 < coverage(found) < 0.98


def suits_some_speakers(rng):
    """Ten utterances each of 30 speakers; each speaker suits either system by chance."""
    speaker = np.repeat(np.arange(30), 10)
    chances = [np.clip(0.3 + 0.1 * rng.standard_normal(30), 0, 1)[speaker] for _ in range(2)]
    return [rng.binomial(10, chance)[None] for chance in chances], speaker.astype(str)


def test_speakers_are_drawn_whole_since_their_utterances_stand_or_fall_together():
    over_speakers = coverage(simulate(200, 200, suits_some_speakers, grouped=True))
    over_utterances = coverage(simulate(200, 200, suits_some_speakers))
    assert 0.9 < over_speakers < 0.98
    assert over_utterances < 0.8


def luck_of_seeds(rng):
    """Five trainings of either system; each training is better or worse by chance."""
    chance = rng.beta(2, 5, 100)
    lucks = [np.clip(chance + 0.04 * rng.standard_normal((5, 1)), 0, 1) for _ in range(2)]
    return [rng.binomial(10, luck) for luck in lucks], None


def first_seed_alone(rng):
    systems, _ = luck_of_seeds(rng)
    return [errors[:1] for errors in systems], None


def test_seeds_are_drawn_too_since_a_single_training_may_be_lucky():
    assert 0.9 < coverage(simulate(200, 200, luck_of_seeds)) <= 0.985
    assert coverage(simulate(200, 200, first_seed_alone)) < 0.75


@pytest.mark.parametrize("n_seeds", [2, 3, 6])
def test_the_mean_of_drawn_seeds_spreads_as_the_mean_of_seeds_does(n_seeds):
    rates = np.random.default_rng(n_seeds).integers(0, 1000, n_seeds)
    lengths = np.array([1000])  # one utterance: seeds alone vary
    drawn = resampled_rates([rates[:, None], rates[:1, None]], lengths, n_resamples=50_000)[0]
    assert drawn.mean() == pytest.approx(rates.mean() / 1000, rel=0.02)
    assert drawn.var() == pytest.approx(rates.var(ddof=1) / n_seeds / 1e6, rel=0.03)


def test_p_counts_the_rarer_side_and_ties_on_both():
    assert two_sided_p(np.array([-3.0, -2, -1, -1, -2, -5, -1, 1, 0])) == 2 * (1 + 2) / 10
    assert two_sided_p(np.zeros(9)) == 1
    assert two_sided_p(np.arange(1, 100)) == 2 / 100


def test_p_below_5_percent_and_an_interval_without_zero_say_the_same():
    for shift in np.linspace(1, 3, 21):
        differences = np.random.default_rng(0).standard_normal(3999) - shift
        p = two_sided_p(differences)
        if abs(p - 0.05) > 0.001:
            assert (p < 0.05) == (np.quantile(differences, 0.975) < 0)


def test_holm_by_hand():
    # .005 · 4, .01 · 3, .03 · 2, and .04 · 1, which may not fall below the one before
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1, 1]
    assert holm([0.3]) == [0.3]
    assert holm([]) == []


@settings(deadline=None)
@given(SHARES)
def test_holm_is_the_closed_test_of_bonferroni(p_values):
    # A hypothesis falls where each set of hypotheses that holds it does (Marcus et al. 1976).
    places = range(len(p_values))
    sets = [s for n in range(1, len(p_values) + 1) for s in itertools.combinations(places, n)]
    for place, corrected in zip(places, holm(p_values), strict=True):
        truth = max(min(1, len(s) * min(p_values[i] for i in s)) for s in sets if place in s)
        assert corrected == pytest.approx(truth)


def test_mcnemar_by_hand():
    assert mcnemar(2, 8) == mcnemar(8, 2) == 2 * (1 + 10 + 45) / 2**10
    assert mcnemar(0, 0) == mcnemar(3, 3) == mcnemar(3, 4) == 1
    assert mcnemar(3000, 3000) == 1
    assert 0 < mcnemar(0, 1000) < 1e-300


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 5), (3, 7), (6, 5)])
def test_mcnemar_counts_the_ways_chance_could_have_shared_them_out(only_first, only_second):
    n = only_first + only_second
    shares = [sum(ways) for ways in itertools.product((0, 1), repeat=n)]
    apart = abs(only_first - only_second)
    truth = np.mean([abs(n - 2 * share) >= apart for share in shares])
    assert mcnemar(only_first, only_second) == pytest.approx(truth)


@pytest.mark.parametrize(("n", "n_resamples"), [(0, 10), (3, 0)])
def test_nothing_to_draw_is_our_own_mistake(n, n_resamples):
    with pytest.raises(ValueError, match="expected utterances and resamples"):
        resampled_rates([np.zeros((1, n))] * 2, np.ones(n), n_resamples=n_resamples)
