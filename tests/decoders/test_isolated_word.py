"""Word choice through a closed lexicon against sums over all alignments."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from src.batch import Emissions
from src.decoders import IsolatedWord
from src.text import Phonemes, Vocabulary
from src.utils.errors import UserError
from tests.decoders.brute_force import random_emissions, sequence_scores

PHONES = Vocabulary(("_", "AA", "B", "T"), separator=" ")
LEXICON = {"at": ("AA T",), "tab": ("T AA B", "T B"), "bb": ("B B",), "a": ("AA",)}


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), n_frames=st.integers(1, 5))
def test_posteriors_equal_brute_force_over_all_alignments(seed, n_frames):
    emissions = random_emissions(seed, [n_frames], n_tokens=4)
    by_tokens = sequence_scores(emissions.log_probs[0].double().numpy())
    truth = np.array(
        [
            sum(np.exp(by_tokens.get(PHONES.encode(p), -np.inf)) for p in pronunciations)
            for pronunciations in LEXICON.values()
        ]
    )
    chooser = IsolatedWord(LEXICON, PHONES)
    [(word, posterior)] = chooser(emissions)
    assert word == list(LEXICON)[truth.argmax()]
    assert posterior == pytest.approx(truth.max() / truth.sum(), abs=1e-5)
    assert chooser.log_likelihoods(emissions)[0].exp().numpy() == pytest.approx(truth, abs=1e-6)


def test_neighbours_and_padding_never_change_the_word():
    lengths = [9, 3, 0, 6]
    emissions = random_emissions(5, lengths, n_tokens=4)
    chooser = IsolatedWord(LEXICON, PHONES)
    together = chooser(emissions)
    for row, length, (word, posterior) in zip(emissions.log_probs, lengths, together, strict=True):
        alone = Emissions(row[None, :length], torch.tensor([length]))
        [(word_alone, posterior_alone)] = chooser(alone)
        assert (word, posterior) == (word_alone, pytest.approx(posterior_alone))


@pytest.mark.parametrize("n_frames", [0, 1, 2])
def test_where_no_word_fits_into_the_frames_none_is_claimed(n_frames):
    emissions = Emissions(torch.full((1, n_frames, 4), 0.25).log(), torch.tensor([n_frames]))
    chooser = IsolatedWord({"bb": ("B B",), "tab": ("T AA B",)}, PHONES)
    assert chooser(emissions) == [("", 0.0)]


def test_a_pronunciation_listed_twice_counts_once():
    emissions = random_emissions(1, [6], n_tokens=4)
    once = IsolatedWord({"a": ("AA",), "b": ("B",)}, PHONES)(emissions)
    twice = IsolatedWord({"a": ("AA", "AA"), "b": ("B",)}, PHONES)(emissions)
    assert once == twice


def test_a_clear_command_is_read_through_the_real_lexicon():
    text = Phonemes("cmu")
    path = [0] * 3 + [t for token in text.encode("down") for t in (token, token, 0)]
    probabilities = torch.full((1, len(path), len(text.vocabulary)), 1e-3)
    probabilities[0, torch.arange(len(path)), path] = 1.0
    log_probs = (probabilities / probabilities.sum(-1, keepdim=True)).log()
    chooser = IsolatedWord(text.lexicon, text.vocabulary)
    [(word, posterior)] = chooser(Emissions(log_probs, torch.tensor([len(path)])))
    assert word == "down" and posterior > 0.99


def test_an_empty_lexicon_is_refused():
    with pytest.raises(UserError, match="lexicon is empty"):
        IsolatedWord({}, PHONES)


@pytest.mark.parametrize("pronunciations", [(), ("",)])
def test_a_word_without_pronunciation_is_named(pronunciations):
    with pytest.raises(UserError, match="no pronunciation for 'tab'"):
        IsolatedWord({"tab": pronunciations}, PHONES)


def test_an_unknown_phoneme_is_named():
    with pytest.raises(UserError, match="'ZH'"):
        IsolatedWord({"tab": ("T ZH",)}, PHONES)
