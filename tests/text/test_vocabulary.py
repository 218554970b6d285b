import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.text import Vocabulary
from src.utils.errors import UserError

LETTERS = Vocabulary(("<blank>", *"' abc"))
PHONEMES = Vocabulary(("_", "|", "K", "AE", "T"), separator=" ")
BOTH = pytest.mark.parametrize("vocabulary", [LETTERS, PHONEMES], ids=["letters", "phonemes"])


@BOTH
@given(data=st.data())
def test_decoding_and_encoding_undo_each_other(vocabulary, data):
    tokens = tuple(data.draw(st.lists(st.integers(1, len(vocabulary) - 1))))
    target = vocabulary.decode(tokens)
    assert vocabulary.encode(target) == tokens
    assert vocabulary.decode(vocabulary.encode(target)) == target


def test_indices_are_places_among_the_symbols_after_the_blank():
    assert LETTERS.encode("c a'b") == (5, 2, 3, 1, 4)
    assert PHONEMES.encode("K AE T | K") == (2, 3, 4, 1, 2)
    assert PHONEMES.encode("") == LETTERS.encode("") == ()
    assert (len(LETTERS), len(PHONEMES), LETTERS.blank) == (6, 5, 0)


@BOTH
def test_blanks_write_nothing(vocabulary):
    assert vocabulary.decode([0, 2, 0, 0, 3, 0]) == vocabulary.decode([2, 3])
    assert vocabulary.decode([0, 0]) == ""


def test_decoding_takes_whatever_counts_as_an_integer():
    import numpy as np

    assert PHONEMES.decode(np.array([2, 3, 4])) == "K AE T"


@pytest.mark.parametrize("tokens", [[6], [1, -1]])
def test_an_index_outside_the_vocabulary_is_our_own_mistake(tokens):
    with pytest.raises(IndexError, match=re.escape("outside 0 … 5")):
        LETTERS.decode(tokens)


@pytest.mark.parametrize(
    ("vocabulary", "target", "named"),
    [
        (LETTERS, "cad", "'d'"),
        (PHONEMES, "K AH T", "'AH'"),
        (PHONEMES, "K _ T", "'_'"),  # the blank is not a symbol of any target
        (PHONEMES, "K  T", "''"),
    ],
)
def test_an_unknown_symbol_is_named_with_the_known_ones(vocabulary, target, named):
    with pytest.raises(UserError, match=re.escape(named)) as refusal:
        vocabulary.encode(target)
    assert " ".join(repr(target).split()) in str(refusal.value)  # messages hold single spaces
    assert vocabulary.describe() in str(refusal.value)
    assert "text=" in str(refusal.value)


@pytest.mark.parametrize(
    ("symbols", "separator", "message"),
    [
        (["_"], "", "at least one more symbol"),
        (["_", "a", "b", "a"], "", "'a' twice"),
        (["_", "ab"], "", "'ab' can't be told from its neighbours"),
        (["_", ""], " ", "'' can't be told"),
        (["_", "K AE"], " ", "'K AE' can't be told"),
    ],
)
def test_symbols_that_could_not_be_read_back_are_refused(symbols, separator, message):
    with pytest.raises(UserError, match=re.escape(message)):
        Vocabulary(symbols, separator)


def test_vocabularies_with_the_same_symbols_are_equal():
    assert Vocabulary(["_", "a"]) == Vocabulary(("_", "a"))
    assert Vocabulary(["_", "a"]) != Vocabulary(["_", "b"])
    assert Vocabulary(["_", "a"]) != Vocabulary(["_", "a"], separator=" ")
