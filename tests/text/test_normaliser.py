import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.text import Normaliser

normalise = Normaliser()


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("Don't  STOP!\n", "don't stop"),
        ("twenty-one — or so…", "twenty one or so"),
        ("the king\u2019s men", "the king's men"),
        ("o\u00b4clock, o`clock, o\uff07clock, o\u02bcclock", "o'clock o'clock o'clock o'clock"),
        ("\ufeffsoft\u00adly", "softly"),  # byte-order mark, soft hyphen
        ("\ufb01ne \uff33\uff34\uff2f\uff30", "fine stop"),  # ligature, full width
        ("nin\u0303o", "ni\u00f1o"),  # a letter and its tilde become one character
        ("(a) [b] “c” \u201ed\u201c", "a b c d"),
        ("six\u2033", "six"),
        ("", ""),
        (" \t\u00a0", ""),
    ],
)
def test_what_is_printed_becomes_what_is_said(written, spoken):
    assert normalise(written) == spoken


@pytest.mark.parametrize("said", ["rock & roll", "50 %", "c@d", "# 1", "$ 5", "1 + 1 = 2"])
def test_signs_and_digits_that_are_read_aloud_are_never_dropped(said):
    assert normalise(said) == said


def test_each_switch_does_only_its_own():
    text = "Don\u2019t  stop, Now"
    assert Normaliser(lower=False)(text) == "Don't stop Now"
    assert Normaliser(keep_apostrophes=False)(text) == "dont stop now"
    assert Normaliser(drop_punctuation=False)(text) == "don't stop, now"


@given(st.text(), st.booleans(), st.booleans(), st.booleans())
def test_normalising_twice_changes_nothing_more(text, lower, keep_apostrophes, drop_punctuation):
    once = Normaliser(lower, keep_apostrophes, drop_punctuation)
    assert once(once(text)) == once(text)


@pytest.mark.parametrize("awkward", ["\u0149", "a\u0374b", "5\u2033", "a\u2057b", "\u0130"])
@pytest.mark.parametrize("drop_punctuation", [True, False])
def test_signs_that_decompose_are_settled_at_once(awkward, drop_punctuation):
    once = Normaliser(drop_punctuation=drop_punctuation)
    assert once(once(awkward)) == once(awkward)


@given(st.text(alphabet=string.printable))
def test_ascii_text_keeps_its_letters_and_digits_in_order(text):
    kept = [c for c in normalise(text) if c.isalnum()]
    assert kept == [c for c in text.lower() if c.isalnum()]


@given(st.text())
def test_spaces_are_single_and_inside(text):
    assert normalise(text) == " ".join(normalise(text).split())


def test_it_says_in_words_what_it_does():
    assert normalise.describe() == (
        "Unicode NFKC, spaces collapsed, lower case, punctuation dropped, apostrophes kept"
    )
    quiet = Normaliser(lower=False, keep_apostrophes=False, drop_punctuation=False)
    assert quiet.describe() == "Unicode NFKC, spaces collapsed, apostrophes dropped"
