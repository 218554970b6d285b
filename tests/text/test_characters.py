import lzma

import pytest

from src.text import Characters
from src.utils.errors import UserError


def test_a_transcript_becomes_letters_and_their_indices():
    text = Characters()
    assert text.target("Don\u2019t STOP!") == "don't stop"
    # blank 0, apostrophe 1, space 2, a 3 … z 28
    assert text.encode("Zoo, it's") == (28, 17, 17, 2, 11, 22, 1, 21)
    assert text.vocabulary.decode(text.encode("Zoo, it's")) == "zoo it's"


def test_without_apostrophes_they_leave_no_gap():
    text = Characters("abcdefghijklmnopqrstuvwxyz ", keep_apostrophes=False)
    assert text.target("don't stop") == "dont stop"
    assert text.encode("a z") == (1, 27, 26)


def test_any_word_can_be_spelt():
    text = Characters()
    assert (text.unit, text.lexicon) == ("character", None)


def test_a_transcript_of_marks_alone_has_an_empty_target():
    assert Characters().encode(" … ") == ()


def test_all_unknown_characters_are_named_at_once():
    with pytest.raises(UserError, match=r"no '2', 'ñ'; it knows ' space a b") as refusal:
        Characters().encode("El niño 2")
    assert "'El niño 2'" in str(refusal.value)
    assert "text.symbols" in str(refusal.value)


def test_a_long_transcript_is_shown_cut():
    with pytest.raises(UserError) as refusal:
        Characters().target("a" * 5000 + "9")
    assert len(str(refusal.value)) < 500


def test_capitals_need_capital_symbols():
    with pytest.raises(UserError, match="no 'S'"):
        Characters(lower=False).target("Stop")
    assert Characters("Stop", lower=False).encode("Stop") == (1, 2, 3, 4)


def test_every_transcript_of_librispeech_is_spelt_as_it_is(shared_data):
    text = Characters()
    with lzma.open(shared_data / "text" / "train-clean-100.text.xz", "rt") as file:
        transcripts = [line.split(" ", 1)[1].strip() for line in file][:5000]
    for transcript in transcripts:
        assert text.vocabulary.decode(text.encode(transcript)) == transcript.lower()
