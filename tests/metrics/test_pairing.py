import pytest

from src.metrics import TextPair
from src.metrics.pairing import Read, by_id, measure_all, pair_up, speaker_of
from src.text import Normaliser
from src.utils.errors import UserError

NORMALISE = Normaliser()


def folder(name: str, common: dict | None = None, **texts: str) -> Read:
    """A folder in which the utterance `a` is "the cat" read as texts["a"], and so on."""
    said = {"reference": "the cat"} | (common or {})
    pairs = [TextPair(file=f"{id}.json", hypothesis=text, **said) for id, text in texts.items()]
    return Read(name, by_id(pairs))


def test_utterances_are_paired_by_their_path_whatever_the_order():
    read = by_id([TextPair("x/1.5.json", "b", ""), TextPair("a.json", "a", "")])
    assert {name: pair.reference for name, pair in read.items()} == {"x/1.5": "b", "a": "a"}
    first = folder("A", b="the cat", a="the hat")
    second = folder("B", a="a cat", b="the bat")
    paired = pair_up([first, second], NORMALISE, common=False)
    assert paired.ids == ["a", "b"]
    assert [[pair.hypothesis for pair in pairs] for pairs in paired.folders] == [
        ["the hat", "the cat"],
        ["a cat", "the bat"],
    ]


def test_errors_stand_folder_by_folder_under_each_other():
    read = [folder("A", a="the hat", b="the cat"), folder("B", a="x", b="a bad cat")]
    found = measure_all(pair_up(read, NORMALISE, common=False), NORMALISE)
    assert list(found) == ["WER", "CER"]
    assert found["WER"].errors.tolist() == [[1, 0], [2, 2]]
    assert found["CER"].errors.tolist() == [[1, 0], [7, 5]]
    assert found["WER"].lengths.tolist() == [2, 2]
    assert found["CER"].lengths.tolist() == [7, 7]


def test_what_a_folder_lacks_is_named_and_counted_or_left_out_by_wish():
    full = folder("A", **{f"u{i}": "the cat" for i in range(9)})
    part = folder("B", u1="the cat", u8="the cat", v="the cat")
    with pytest.raises(UserError) as refused:
        pair_up([full, part], NORMALISE, common=False)
    assert str(refused.value) == (
        "8 of 10 utterances are not in every folder: A lacks 1 (v), B lacks 7 (u0, u2, u3, u4, u5 "
        "and 2 more); predict them there too, or compare what all have with --common."
    )
    paired = pair_up([full, part], NORMALISE, common=True)
    assert (paired.ids, paired.n_left_out) == (["u1", "u8"], 8)
    with pytest.raises(UserError, match="no utterance is in all of A, B; compare predictions of"):
        pair_up([full, folder("B", w="the cat")], NORMALISE, common=True)


@pytest.mark.parametrize(
    ("common", "told"),
    [
        ({"reference": "the dog"}, "but “the dog” in units of a character in B"),
        ({"unit": "phoneme"}, "but “the cat” in units of a phoneme in B"),
    ],
)
def test_different_texts_and_units_are_refused(common, told):
    read = [folder("A", a="the cat", b="x"), folder("B", common, a="the cat", b="x")]
    with pytest.raises(UserError, match=r"^a: is “the cat” in units of a character in A, ") as met:
        pair_up(read, NORMALISE, common=False)
    assert told in str(met.value)
    assert "2 of 2 utterances differ so" in str(met.value)


@pytest.mark.parametrize(
    ("other", "told", "told_there"),
    [
        (
            "word " * 50 + "dog",
            "is “…word word word word cat word",
            "word word dog”",
        ),
        ("word " * 200, "is “…word word word word cat word", "but “…word word word word word word"),
        ("", "is “word word word", "but “” in"),
    ],
    ids=["another", "longer", "nothing"],
)
def test_of_long_texts_the_place_is_shown_where_they_part(other, told, told_there):
    text = "word " * 50 + "cat" + " word" * 50
    read = [folder("A", {"reference": text}, a="x"), folder("B", {"reference": other}, a="x")]
    with pytest.raises(UserError) as met:
        pair_up(read, NORMALISE, common=False)
    assert told in str(met.value) and told_there in str(met.value)
    assert len(str(met.value)) < 300


def test_references_are_the_same_if_normalising_makes_them_so():
    read = [folder("A", a="the cat"), folder("B", {"reference": "The cat."}, a="the cat")]
    assert pair_up(read, NORMALISE, common=False).ids == ["a"]
    with pytest.raises(UserError, match="“The cat"):
        pair_up(read, str, common=False)


def test_a_rate_is_compared_where_all_folders_tell_it():
    spoken = {"reference": "G OW", "unit": "phoneme"}
    words = folder("A", spoken | {"word": "go", "pred_word": "no"}, a="N OW", b="G OW")
    some = folder("B", spoken | {"word": "go", "pred_word": "go"}, a="G OW")
    some.pairs.update(folder("B", spoken, b="G OW").pairs)
    found = measure_all(pair_up([words, some], NORMALISE, common=False), NORMALISE)
    assert found["PER"].errors.tolist() == [[1, 0], [0, 0]]
    assert found["word error"].errors.tolist() == [[1], [0]]
    assert found["word error"].places == [0]
    other = folder("C", spoken | {"word": "Goh", "pred_word": "go"}, a="G OW", b="G OW")
    with pytest.raises(UserError, match=r"the word “go” in A, but “G OW” .* the word “Goh” in C"):
        pair_up([words, other], NORMALISE, common=False)


@pytest.mark.parametrize(
    ("utterance", "speaker"),
    [
        ("61-70968-0000", "61"),
        ("test-clean/1089-134686-0012", "1089"),
        ("on_22a97823_nohash_0", "22a97823"),
        ("left/forward_0ac34c90_nohash_3", "0ac34c90"),
        ("my recording", None),
        ("61-70968", None),
        ("common_voice_en_1234", None),
    ],
)
def test_the_speaker_is_read_from_ids_that_tell_it(utterance, speaker):
    assert speaker_of(utterance) == speaker
