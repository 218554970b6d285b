"""The area under the ROC curve against its definition: every pair of a right and a wrong unit."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.metrics import TextPair, area_under_roc, plain_rankings, rank_all, ranking_lines
from src.metrics.ranking import Judged, matched, summarise_ranking
from src.text import Normaliser

SHARES = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.5, 0.50001, 1.0]))
UNITS = st.lists(st.tuples(SHARES, st.booleans()), max_size=12)


def pair_by_pair(confidences, right, weights) -> float | None:
    """Won pairs over all pairs, a tie half won."""
    units = list(zip(confidences, right, weights, strict=True))
    surer = [(c, w) for c, is_right, w in units if is_right]
    wrong = [(c, w) for c, is_right, w in units if not is_right]
    pairs = [(a - b, v * w) for (a, v), (b, w) in itertools.product(surer, wrong)]
    total = sum(weight for _, weight in pairs)
    won = sum(weight * (0.5 + 0.5 * np.sign(difference)) for difference, weight in pairs)
    return won / total if total else None


@settings(max_examples=200, deadline=None)
@given(units=UNITS, data=st.data())
def test_the_area_counts_pairs_and_ties_half(units, data):
    confidences, right = [c for c, _ in units], [r for _, r in units]
    some = st.lists(st.integers(0, 3), min_size=len(units), max_size=len(units))
    for weights in (None, data.draw(some)):
        truth = pair_by_pair(confidences, right, [1] * len(units) if weights is None else weights)
        assert area_under_roc(confidences, right, weights) == (
            None if truth is None else pytest.approx(truth, abs=1e-12)
        )


def test_an_area_by_hand():
    # The right 0.9 beats both wrong ones, 0.5 ties with one and beats the other, 0.1 beats none.
    assert area_under_roc([0.9, 0.5, 0.1, 0.5, 0.2], [True, True, True, False, False]) == 3.5 / 6
    assert area_under_roc([0.9, 0.1], [True, False]) == 1
    assert area_under_roc([0.9, 0.1], [False, True]) == 0
    assert area_under_roc([0.5] * 5, [True, False, True, True, False]) == 0.5


@pytest.mark.parametrize("right", [[], [True, True], [False]])
def test_where_all_are_right_or_all_wrong_there_is_none(right):
    assert area_under_roc([0.5] * len(right), right) is None
    assert summarise_ranking([Judged((0.5,) * len(right), tuple(right))] * 3) is None


def test_a_word_is_right_where_it_is_matched():
    said = ["the", "cat", "sat"]
    assert matched(said, ["a", "cat", "sat", "down"]) == [False, True, True, False]
    assert matched(said, ["sat"]) == [True]
    assert matched([], ["noise"]) == [False]
    assert matched(["word"], []) == []


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.tuples(SHARES, st.booleans()), max_size=4), min_size=1, max_size=6))
def test_a_corpus_is_one_list_of_words_and_its_interval_holds_utterances_together(spoken):
    utterances = [Judged(*(tuple(zip(*u, strict=True)) or ((), ()))) for u in spoken]
    found = summarise_ranking(utterances, n_resamples=50)
    words = [word for utterance in spoken for word in utterance]
    n_right = sum(is_right for _, is_right in words)
    truth = pair_by_pair(*zip(*words, strict=True), [1] * len(words)) if words else None
    if truth is None:
        assert found is None
        return
    assert found.auc == pytest.approx(truth)
    assert (found.n_right, found.n_wrong) == (n_right, len(words) - n_right)
    assert 0 <= found.low <= found.high <= 1
    assert summarise_ranking(utterances[::-1], n_resamples=50) == found


def test_the_interval_is_that_of_utterances_drawn_one_by_one():
    rng = np.random.default_rng(2)
    utterances = []
    for _ in range(60):
        right = rng.random(12) < rng.beta(4, 1)  # words of one utterance stand or fall together
        confidences = np.clip(rng.normal(0.5 + 0.2 * right, 0.2), 0, 1).round(2)
        utterances.append(Judged(tuple(confidences.tolist()), tuple(right.tolist())))
    areas = []
    for _ in range(1000):
        drawn = [utterances[i] for i in rng.integers(60, size=60)]
        confidences, right = (np.concatenate(column) for column in zip(*drawn, strict=True))
        differences = np.subtract.outer(confidences[right], confidences[~right])
        areas.append(np.mean(0.5 + 0.5 * np.sign(differences)))
    low, high = np.quantile(areas, [0.025, 0.975])
    found = summarise_ranking(utterances)
    np.testing.assert_allclose((found.low, found.high), (low, high), atol=0.15 * (high - low))


def words(reference, *spoken, **keys) -> TextPair:
    hypothesis = " ".join(word for word, _ in spoken)
    return TextPair("f", reference, hypothesis, confidences=spoken, **keys)


def test_words_are_judged_after_normalising_and_phonemes_as_they_stand():
    pairs = [
        words("The cat.", ("THE", 0.9), ("bat", 0.3)),
        words("twenty one", ("twenty-one", 0.8)),  # divided, each part as sure as the whole
        words("D AW N", ("D", 0.9), ("O", 0.4), ("|", 0.1), ("N", 0.8), unit="phoneme"),
        words("so sure", ("so", 0.2), ("sure", 0.2))._replace(hypothesis="another text"),
        TextPair("f", "an older file", "an elder file"),
    ]
    found = rank_all(pairs, Normaliser(), n_resamples=20)
    assert {unit: r[0::3] for unit, r in found.items()} == {"Word": (1.0, 3), "Phoneme": (1.0, 2)}
    assert found["Word"].n_wrong == found["Phoneme"].n_wrong == 1


def test_a_word_of_a_closed_lexicon_is_as_sure_as_its_posterior():
    down = TextPair("f", "", "", "phoneme", word="down", pred_word="down", word_posterior=0.9)
    other = down._replace(pred_word="dog", word_posterior=0.3)
    none = down._replace(pred_word="", word_posterior=0.95)
    assert rank_all([down, other, none], str)["Word"].auc == 0.5
    assert rank_all([down, down], str) == {}


def test_the_line_says_what_the_area_is_and_programs_get_numbers():
    pairs = [words("a b", ("a", 0.9), ("c", 0.3)), words("a b", ("d", 0.95), ("b", 0.99))]
    found = rank_all(pairs, str, n_resamples=20)
    assert ranking_lines(found).startswith("Word confidence AUC 0.75 (")
    assert ranking_lines(found).endswith("a wrong one (2 right, 2 wrong).")
    plain = json.loads(json.dumps(plain_rankings(found)))["word"]
    assert (plain["auc"], plain["n_right"], plain["n_wrong"]) == (0.75, 2, 2)
