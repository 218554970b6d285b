"""Perplexities by hand, and of sentences together as of each alone."""

import math

import pytest

from src.language_models import NGram, estimate, perplexity

TEXT = [["a", "b", "a"], ["b", "c"], ["a", "a", "c", "b"]]


def test_many_sentences_together_are_each_one_alone(monkeypatch):
    monkeypatch.setattr("src.language_models.evaluate.TOGETHER", 2)
    model = NGram.build(estimate(TEXT, 3))
    heldout = [["a", "c"], ["b", "zzz", "a"], [], ["c", "b", "a", "a", "yyy"], ["a"]]
    found = perplexity(model, heldout)
    alone = [model.sentence(words) for words in heldout]
    unknown = alone[1][1] + alone[3][4]
    assert (found.n_sentences, found.n_words, found.n_unknown) == (5, 16, 2)
    total = sum(map(sum, alone))
    assert found.whole() == pytest.approx(math.exp(-total / 16))
    assert found.known() == pytest.approx(math.exp(-(total - unknown) / 14))


def test_a_model_that_knows_nothing_is_as_perplexed_as_it_has_words():
    """One word seen 4 times, and 4 ends: with <unk>, by symmetry, a and </s> share the rest."""
    model = NGram.build(estimate([["a"]] * 4, 1))
    unknown = math.exp(model.sentence(["zzz"])[0])
    found = perplexity(model, [["a"], ["a", "a"]])
    assert found.known() == found.whole() == pytest.approx(2 / (1 - unknown))


def test_no_text_has_no_perplexity():
    found = perplexity(NGram.build(estimate(TEXT, 2)), [])
    assert math.isnan(found.whole()) and math.isnan(found.known())
