"""Estimates against hand-worked sums, against dicts, and against the laws of probability."""

import itertools
import math
import shutil
import subprocess

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from src.language_models import BOS, EOS, UNK, NGram, estimate, lines, read_arpa
from src.utils.errors import UserError
from tests.language_models.brute_force import KneserNey
from tests.language_models.models import as_dict

SENTENCES = st.lists(st.lists(st.sampled_from("abcde"), max_size=8), min_size=1, max_size=12)
TEXTS = SENTENCES.filter(any)
THRESHOLDS = st.sampled_from([[0, 0, 0, 0], [0, 0, 1, 1], [0, 1, 1, 2], [0, 3, 3, 3]])


@settings(deadline=None)
@given(TEXTS, st.integers(1, 4), THRESHOLDS)
def test_estimates_are_those_of_the_formulas(text, order, thresholds):
    hold_formulas(text, order, thresholds[:order])


@pytest.mark.parametrize("thresholds", [[0, 0, 0], [0, 0, 1], [0, 1, 2]])
def test_so_are_those_of_a_text_long_enough_for_discounts_of_its_own(thresholds, caplog):
    caplog.set_level("INFO")
    random = np.random.default_rng(5)
    text = [
        [f"w{int(w)}" for w in random.geometric(0.08, size=random.integers(9))] for _ in "x" * 90
    ]
    hold_formulas(text, 3, thresholds)
    assert "Too few" not in caplog.text


def hold_formulas(text, order, thresholds):
    grams, peer = estimate(text, order, thresholds), KneserNey(text, order, thresholds)
    known = as_dict(grams)
    assert set(known) == peer.kept()
    for gram, (log_prob, backoff) in known.items():
        if gram != (BOS,):
            expected = peer.prob(gram[:-1], gram[-1])
            assert math.exp(log_prob) == pytest.approx(expected, rel=1e-5, abs=1e-30), gram
        expected = peer.backoff(gram) if len(gram) < order else 1.0
        assert math.exp(backoff) == pytest.approx(expected, rel=1e-5, abs=1e-30), gram


@settings(deadline=None)
@given(TEXTS, st.integers(1, 4), THRESHOLDS, st.integers(0, 5))
def test_the_words_after_every_context_have_probabilities_that_sum_to_one(
    text, order, thresholds, vocabulary_size
):
    model = NGram.build(estimate(text, order, thresholds[:order], vocabulary_size))
    n_states, n_words = len(model.backoffs), len(model.words)
    states = torch.arange(n_states)[:, None].expand(n_states, n_words)
    scores, _ = model.score(states, torch.arange(n_words).expand(n_states, n_words))
    sums = scores.double().exp().sum(1)
    torch.testing.assert_close(sums, torch.ones_like(sums), rtol=1e-5, atol=0)
    assert scores[:, model.find(BOS)].max() < -200


@settings(deadline=None)
@given(TEXTS, THRESHOLDS)
def test_pruning_keeps_the_beginnings_and_the_ends_of_what_it_keeps(text, thresholds):
    known = as_dict(estimate(text, 4, thresholds))
    whole = as_dict(estimate(text, 4))
    assert set(known) <= set(whole)
    for gram in known:
        assert len(gram) == 1 or {gram[:-1], gram[1:]} <= set(known)


def test_one_sentence_by_hand():
    """<s> a b a </s>: no count occurs often enough, so that the discounts are 0.5, 1 and 1.5."""
    model = NGram.build(estimate([["a", "b", "a"]], 2))
    # Bigrams <s>a, ab, ba, a</s>: a follows two words, b and </s> one each; of 4. Five words can
    # come: a, b, </s>, <unk>, four of them, and each has 1/4 of what is taken: (1 + 0.5 + 0.5)/4.
    a, b, end, unk = (2 - 1) / 4 + 1 / 8, (1 - 0.5) / 4 + 1 / 8, (1 - 0.5) / 4 + 1 / 8, 1 / 8
    empty = [model.score(torch.tensor(0), torch.tensor(model.find(w)))[0] for w in ("a", "b")]
    assert np.exp(empty) == pytest.approx([a, b])
    # After a come b and </s>, once each: each 0.5/2, and 2 · 0.5/2 goes to shorter contexts.
    expected = [0.5 + 0.5 * a, 0.25 + 0.5 * b, 0.5 + 0.5 * a, 0.25 + 0.5 * end]
    assert np.exp(model.sentence(["a", "b", "a"])) == pytest.approx(expected)
    assert math.exp(model.sentence(["a", "x"])[1]) == pytest.approx(0.5 * unk)


def test_discounts_by_hand():
    """Words in 1 or 2 or 3 or 4 different companies: 4, 3, 2 and 1 of them."""
    companies = [1] * 4 + [2] * 3 + [3] * 2 + [4]
    text = [[f"x{j}", f"w{i}"] for i, n in enumerate(companies) for j in range(n)]
    # Bigrams: x0 … x3 follow <s>, in 1 company each, so n1 is 4 + 4; </s> follows ten words.
    n1, n2, n3, n4 = 8, 3, 2, 1
    y = n1 / (n1 + 2 * n2)
    d1, d2, d3 = 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3
    total = sum(companies) + 4 + 10
    taken = (n1 * d1 + n2 * d2 + 4 * d3) / total  # two words of 3, one of 4, and </s>
    uniform = 1 / (10 + 4 + 2)  # the words, </s> and <unk>
    known = as_dict(estimate(text, 2))
    probs = [math.exp(known[word,][0]) for word in ("w0", "w4", "w7", "w9", EOS, UNK)]
    own = [(1 - d1), (2 - d2), (3 - d3), (4 - d3), (10 - d3), 0]
    assert probs == pytest.approx([part / total + taken * uniform for part in own], rel=1e-5)


def test_discounts_fall_back_where_a_text_is_too_regular_and_say_so(caplog):
    caplog.set_level("INFO")
    estimate([["a", "b"]] * 9, 2)
    assert "Too few 2-grams to estimate their discounts; taking (0.5, 1.0, 1.5)." in caplog.text


def test_a_limited_vocabulary_keeps_the_commonest_words():
    text = [["c", "b", "a"], ["a", "b", "d"], ["a"]]
    grams = estimate(text, 2, vocabulary_size=2)
    assert grams.words == (UNK, BOS, EOS, "b", "a")
    replaced = [[word if word in "ab" else UNK for word in sentence] for sentence in text]
    ours, expected = as_dict(grams), as_dict(estimate(replaced, 2))
    assert ours.keys() == expected.keys()
    for gram, values in expected.items():  # the words are numbered otherwise
        assert ours[gram] == pytest.approx(values)
    # Of words that are as common, those met first.
    assert estimate(text, 2, vocabulary_size=3).words == (UNK, BOS, EOS, "c", "b", "a")
    assert estimate(text, 2, vocabulary_size=99).words == estimate(text, 2).words


def test_marks_of_sentences_inside_a_text_are_unknown_words():
    assert as_dict(estimate([["a", EOS, BOS, "a"]], 3)) == as_dict(
        estimate([["a", UNK, UNK, "a"]], 3)
    )


@pytest.mark.parametrize("order", range(1, 6))
def test_sentences_shorter_than_the_order_are_fine(order):
    grams = estimate([["a"], []], order)
    assert [len(ids) for ids in grams.ids] == [4, 3, 1, 0, 0][:order]


def test_what_can_not_be_estimated_is_said():
    for text in ([], [[]], [[UNK, BOS]]):
        with pytest.raises(UserError, match="The text has no words"):
            estimate(text, 2)
    for order in (0, 13):
        with pytest.raises(UserError, match=f"order {order}: its n-grams have 1 to 12 words"):
            estimate([["a"]], order)
    for prune in ([1], [0, 2, 1], [0, 0, 0], [-1], [0, -1]):
        with pytest.raises(UserError, match=r"Pruning thresholds .* such as 0 0 1\."):
            estimate([["a"]], 2, prune)


def test_the_last_threshold_holds_for_longer_n_grams_too():
    text = ["".join(p) for p in itertools.product("ab", repeat=3)] + ["aab"]
    short, long = estimate(text, 4, (0, 0, 1)), estimate(text, 4, (0, 0, 1, 1))
    assert as_dict(short) == as_dict(long)


@pytest.mark.skipif(not shutil.which("lmplz"), reason="KenLM's lmplz is not on the path")
@pytest.mark.parametrize("thresholds", [[0, 0, 0, 0], [0, 0, 1, 2]])
def test_lmplz_estimates_the_same(tmp_path, shared_data, thresholds):
    printed = lines([shared_data / "text/train-clean-100.text.xz"])
    text = [line.lower().split()[1:] for line in itertools.islice(printed, 5000)]
    (tmp_path / "text").write_text("".join(" ".join(words) + "\n" for words in text))
    command = ["lmplz", "-o", "4", "-S", "1G", "--text", "text", "--arpa", "model.arpa", "--prune"]
    subprocess.run([*command, *map(str, thresholds)], cwd=tmp_path, check=True, capture_output=True)
    theirs, ours = (
        as_dict(read_arpa(tmp_path / "model.arpa")),
        as_dict(estimate(text, 4, thresholds)),
    )
    assert theirs.keys() == ours.keys()
    del theirs[BOS,]  # they give it a probability, which nobody asks for
    for gram, values in theirs.items():
        assert ours[gram] == pytest.approx(values, abs=1e-5), gram
