"""Spanish as it is printed, as letters."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.text import SpanishCharacters
from src.text.spanish import SpanishNormaliser
from src.utils.errors import UserError

PRINTED = "¡El Niño del PINGÜINO durmió «aquí»!"


@pytest.mark.parametrize(
    ("accents", "enye", "said", "n_tokens"),
    [
        ("keep", "keep", "el niño del pingüino durmió aquí", 35),
        ("fold", "keep", "el niño del pinguino durmio aqui", 29),
        ("keep", "ni", "el ninio del pingüino durmió aquí", 34),
        ("fold", "ni", "el ninio del pinguino durmio aqui", 28),
    ],
)
def test_each_choice_writes_the_same_sentence_in_its_own_letters(accents, enye, said, n_tokens):
    text = SpanishCharacters(accents, enye)
    assert text.target(PRINTED) == text.normalise(PRINTED) == said
    assert text.vocabulary.decode(text.encode(PRINTED)) == said
    assert len(text.vocabulary) == n_tokens
    assert (text.unit, text.lexicon) == ("character", None)


def test_tokens_are_in_the_order_that_is_promised():
    # blank 0, space 1, a 2 … z 27, ñ 28, á 29, é, í, ó, ú, ü 34
    assert SpanishCharacters().encode("a zñ áü") == (2, 1, 27, 28, 1, 29, 34)


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        ("nin\u0303o, man\u0303ana", "niño mañana"),  # a letter and its tilde
        ("ÑANDÚ", "ñandú"),
        ("¿Dónde?… —Allí—.", "dónde allí"),
        ("O'Higgins y D\u2019Artagnan", "ohiggins y dartagnan"),
        ("\ufeffla 1.ª vez", "la 1 a vez"),
        ("", ""),
        ("¡!", ""),
    ],
)
def test_what_is_printed_becomes_what_is_said(printed, said):
    assert SpanishNormaliser()(printed) == said


def test_folding_takes_foreign_accents_too_but_never_the_enye():
    fold = SpanishNormaliser(accents="fold")
    assert fold("À la crème, façade, São, Šibenik, ñ") == "a la creme facade sao sibenik ñ"


def test_letters_that_spanish_lacks_are_named_with_no_advice_that_would_not_help():
    with pytest.raises(UserError, match=r"vocabulary has no '2', 'ç', 'è'.* as words\)\.$"):
        SpanishCharacters().encode("2 crème façade")


choices = st.sampled_from(["keep", "fold"]), st.sampled_from(["keep", "ni"])


@settings(deadline=None)
@given(st.text(), *choices)
def test_normalising_twice_changes_nothing_more(text, accents, enye):
    once = SpanishNormaliser(accents, enye)
    assert once(once(text)) == once(text)


@settings(deadline=None)
@given(st.text(alphabet=string.ascii_letters + " ñÑáéíóúüÁÉÍÓÚÜ¡!¿?,.;:«»—"), *choices)
def test_spanish_is_always_spelt_with_the_letters_that_were_chosen(text, accents, enye):
    characters = SpanishCharacters(accents, enye)
    target = characters.target(text)
    assert characters.vocabulary.decode(characters.encode(text)) == target
    table = str.maketrans("áéíóúü", "aeiouu" if accents == "fold" else "áéíóúü")
    letters = [c.lower().translate(table) for c in text if c.isalpha()]
    expected = "".join(letters).replace("ñ", "ñ" if enye == "keep" else "ni")
    assert target.replace(" ", "") == expected


def test_it_says_in_words_what_it_does():
    assert SpanishNormaliser("fold", "ni").describe() == (
        "Unicode NFKC, spaces collapsed, lower case, punctuation dropped, apostrophes dropped, "
        "accents folded, ñ written ni"
    )


@pytest.mark.parametrize("keys", [{"accents": "drop"}, {"enye": "n"}])
def test_another_choice_is_refused(keys):
    with pytest.raises(UserError, match=r"text\.\w+=\w+: expected keep or "):
        SpanishCharacters(**keys)
