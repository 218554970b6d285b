"""Minimum Bayes risk against the definition: every pair of readings, every path."""

import functools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.batch import Hypothesis
from src.decoders import FusedBeam, PrefixBeam
from src.decoders.minimum_risk import least_risk_first
from src.language_models import estimate, write_arpa
from src.text import Vocabulary
from src.text.bpe import Pieces
from src.utils.errors import UserError
from tests.decoders.brute_force import random_emissions, sequence_scores

WIDE = {"beam_width": 200, "n_best": 200, "token_threshold": None, "blank_threshold": None}


@functools.cache
def distance(a: tuple, b: tuple) -> int:
    """Edit distance as it is defined, one end at a time."""
    if not a or not b:
        return len(a) + len(b)
    if a[-1] == b[-1]:
        return distance(a[:-1], b[:-1])
    return 1 + min(distance(a[:-1], b), distance(a, b[:-1]), distance(a[:-1], b[:-1]))


def risk(units: tuple, others: dict[tuple, float], scale: float) -> float:
    """Expected distance of `units` to what was said, given the log-probability of each."""
    best = max(others.values())
    weights = {other: math.exp(scale * (score - best)) for other, score in others.items()}
    expected = sum(weight * distance(units, other) for other, weight in weights.items())
    return expected / sum(weights.values())


def readings(texts, scores) -> list[Hypothesis]:
    tokens = [tuple(map(ord, text)) for text in texts]
    parts = zip(texts, tokens, sorted(scores, reverse=True), strict=True)
    return [Hypothesis(text, t, (0,) * len(t), score) for text, t, score in parts]


@st.composite
def n_bests(draw) -> list[Hypothesis]:
    texts = draw(st.lists(st.text("ab ", max_size=8), min_size=1, max_size=8, unique=True))
    scores = st.lists(st.floats(-30, 5), min_size=len(texts), max_size=len(texts))
    return readings(texts, draw(scores))


@settings(max_examples=150, deadline=None)
@given(n_best=n_bests(), scale=st.floats(0.01, 5), words=st.booleans())
def test_the_first_has_the_least_expected_error_and_the_others_keep_their_order(
    n_best, scale, words
):
    units = [tuple(h.text.split()) if words else h.tokens for h in n_best]
    weights = [math.exp(scale * (h.score - n_best[0].score)) for h in n_best]
    risks = {
        h.text: sum(w * distance(own, other) for w, other in zip(weights, units, strict=True))
        for h, own in zip(n_best, units, strict=True)
    }
    first, *others = least_risk_first(n_best, scale, words)
    assert risks[first.text] == pytest.approx(min(risks.values()), abs=1e-9)
    assert others == [h for h in n_best if h is not first]


def test_a_reading_that_others_resemble_wins_over_a_lonely_likelier_one():
    shares = {"x y z": 0.4, "a b c": 0.35, "a b d": 0.25}
    n_best = readings(shares, map(math.log, shares.values()))
    # Expected word errors: 0.6 · 3 = 1.8; 0.4 · 3 + 0.25 = 1.45; 0.4 · 3 + 0.35 = 1.55.
    chosen = [h.text for h in least_risk_first(n_best, 1.0, words=True)]
    assert chosen == ["a b c", "x y z", "a b d"]
    # 0.4⁵ is more than 0.35⁵ and 0.25⁵ together.
    assert least_risk_first(n_best, 5.0, words=True)[0].text == "x y z"


def test_words_and_letters_may_choose_differently():
    # "ab" is one letter away from both others, but as a word as wrong as they are.
    n_best = readings(["axx", "ab", "abyy"], [math.log(0.38), math.log(0.31), math.log(0.31)])
    assert least_risk_first(n_best, 1.0, words=True)[0].text == "axx"
    assert least_risk_first(n_best, 1.0, words=False)[0].text == "ab"


@pytest.mark.parametrize("scores", [[-3.0, -3.0], [-math.inf, -math.inf], [-1e300, -1.7e308]])
def test_of_equals_the_first_stays(scores):
    assert least_risk_first(readings(["a", "b"], scores), 1.0, words=True)[0].text == "a"


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    n_frames=st.integers(1, 5),
    scale=st.sampled_from([0.3, 1.0, 2.0]),
    symbols=st.sampled_from(["ab", "a "]),
)
def test_a_wide_beam_reads_with_the_least_risk_over_all_paths(seed, n_frames, scale, symbols):
    vocabulary = Vocabulary(("_", *symbols))
    emissions = random_emissions(seed, [n_frames, 0], n_tokens=3, sharpness=1.0)
    truth = sequence_scores(emissions.log_probs[0].double().numpy())
    plain, _ = PrefixBeam(vocabulary, **WIDE)(emissions)
    n_best, nothing = PrefixBeam(vocabulary, mbr_scale=scale, **WIDE)(emissions)

    words = " " in symbols
    weights = {tokens: math.exp(scale * score) for tokens, score in truth.items()}
    units = {t: tuple(vocabulary.decode(t).split()) if words else t for t in truth}
    risks = {
        tokens: sum(w * distance(units[tokens], units[other]) for other, w in weights.items())
        for tokens in truth
    }
    assert risks[n_best[0].tokens] == pytest.approx(min(risks.values()), abs=1e-4)
    others = [(h.tokens, h.score) for h in plain if h.tokens != n_best[0].tokens]
    assert [(h.tokens, h.score) for h in n_best[1:]] == others
    assert len(n_best[0].frames) == len(n_best[0].tokens)  # the chosen one has its times
    assert [h.text for h in nothing] == [""]


def test_pieces_are_compared_as_the_words_that_they_spell():
    vocabulary = Pieces(("_", "▁", "▁ab", "a", "b"))
    n_differ = 0  # how often pieces, taken for the units, would choose otherwise
    for seed in range(30):
        emissions = random_emissions(seed, [5], n_tokens=5, sharpness=1.0)
        [plain] = PrefixBeam(vocabulary, **WIDE)(emissions)
        [[chosen, *_]] = PrefixBeam(vocabulary, mbr_scale=1.0, **WIDE)(emissions)
        by_words, by_pieces = (least_risk_first(plain, 1.0, words)[0] for words in (True, False))
        assert chosen.tokens == by_words.tokens
        n_differ += by_words.text != by_pieces.text
    assert n_differ


@pytest.mark.parametrize("scale", [0, -1.0, float("nan"), float("inf"), "much"])
def test_a_scale_that_can_not_be_is_refused_in_a_sentence(scale, tmp_path):
    vocabulary = Vocabulary(("_", "a"))
    write_arpa(estimate([["a"]], order=1), tmp_path / "tiny.arpa")
    for decoder in (
        lambda: PrefixBeam(vocabulary, mbr_scale=scale),
        lambda: FusedBeam(vocabulary, tmp_path / "tiny.arpa", mbr_scale=scale),
    ):
        with pytest.raises(UserError, match=rf"mbr_scale is {scale}; expected a number above 0"):
            decoder()
