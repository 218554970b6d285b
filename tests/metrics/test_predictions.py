import json
import math
import os
from pathlib import Path

import pytest

from src.metrics import ErrorCounts, Skipped, TextPair, measure, read_predictions
from src.text import Normaliser
from src.utils.errors import UserError


def write(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(json.dumps(content), encoding="utf-8")


def test_older_files_with_two_keys_are_read(tmp_path):
    write(tmp_path, "output_0.json", {"pred_text": "a cat", "text": "the cat"})
    pairs, skipped = read_predictions(tmp_path)
    assert pairs == [TextPair("output_0.json", "the cat", "a cat")]
    assert skipped == []


def test_subfolders_are_searched_and_paths_sorted(tmp_path):
    for name in ("b.json", "a/2.json", "a/10.json", ".hidden.json", "notes.txt", "a.json.tmp"):
        write(tmp_path, name, {"pred_text": "", "text": ""})
    pairs, _ = read_predictions(str(tmp_path))
    files = [Path(pair.file).as_posix() for pair in pairs]
    assert files == [".hidden.json", "a/10.json", "a/2.json", "b.json"]


def test_a_chosen_reading_is_the_hypothesis(tmp_path):
    both = {"pred_text": "x", "greedy_text": "y", "beam_text": "z", "text": "t"}
    write(tmp_path, "both.json", both)
    write(tmp_path, "old.json", {"pred_text": "x", "text": "t"})
    pairs, skipped = read_predictions(tmp_path, "greedy_text")
    assert [pair.hypothesis for pair in pairs] == ["y"]
    assert skipped == [Skipped("old.json", "no greedy_text")]


def test_the_words_of_phonemes_are_read_as_words_of_letters_are(tmp_path):
    known = {"pred_text": "Y EH S", "text": "Y EH S | N OW", "unit": "phoneme", "word": "yes no"}
    write(tmp_path, "found.json", known | {"pred_word": "yes know"})
    write(tmp_path, "none.json", known | {"pred_word": None})
    write(tmp_path, "letters.json", {"pred_text": "yes", "text": "yes"})
    write(tmp_path, "unknown.json", known | {"pred_word": "yes", "word": None})
    pairs, skipped = read_predictions(tmp_path, "pred_word")
    assert pairs == [
        TextPair("found.json", "yes no", "yes know"),
        TextPair("none.json", "yes no", ""),
    ]
    assert [reason for _, reason in skipped] == ["no pred_word", "no word to compare with"]
    rates = measure(pairs[0], Normaliser())
    assert rates["WER"].errors == 1 and rates["CER"].errors == 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b" \n", "empty file"),
        (b'{"pred_text": "a"', "not JSON"),
        (b'{"pred_text": "\xff", "text": ""}', "not JSON"),
        (b"[" * 200_000, "not JSON"),
        (b'["a"]', "holds a list, expected an object"),
        (b"null", "holds a NoneType, expected an object"),
        (b'{"text": "a"}', "no pred_text"),
        (b'{"text": "a", "pred_text": null}', "no pred_text"),
        (b'{"pred_text": "a"}', "no text to compare with"),
        (b'{"pred_text": "a", "text": 7}', "no text to compare with"),
    ],
)
def test_a_file_that_cannot_be_scored_is_named_and_the_others_are_read(tmp_path, content, reason):
    write(tmp_path, "bad.json", content)
    write(tmp_path, "good.json", {"pred_text": "a", "text": "a"})
    pairs, skipped = read_predictions(tmp_path)
    assert [pair.file for pair in pairs] == ["good.json"]
    assert [skip.file for skip in skipped] == ["bad.json"]
    assert skipped[0].reason.startswith(reason)


def test_a_file_that_cannot_be_opened_is_named(tmp_path):
    (tmp_path / "gone.json").symlink_to(tmp_path / "nowhere")
    pairs, skipped = read_predictions(tmp_path)
    assert pairs == []
    assert skipped == [Skipped("gone.json", "unreadable (No such file or directory)")]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list any folder")
def test_a_subfolder_that_cannot_be_listed_is_named(tmp_path):
    write(tmp_path, "closed/a.json", {"pred_text": "a", "text": "a"})
    (tmp_path / "closed").chmod(0)
    try:
        pairs, skipped = read_predictions(tmp_path)
    finally:
        (tmp_path / "closed").chmod(0o700)
    assert pairs == []
    assert skipped == [Skipped("closed", "unreadable (Permission denied)")]


def test_a_pipe_is_not_waited_for(tmp_path):
    write(tmp_path, "good.json", {"pred_text": "a", "text": "a"})
    os.mkfifo(tmp_path / "pipe.json")
    pairs, skipped = read_predictions(tmp_path)
    assert [pair.file for pair in pairs] == ["good.json"]
    assert skipped == [Skipped("pipe.json", "no plain file")]


def test_a_byte_order_mark_is_no_mistake(tmp_path):
    write(tmp_path, "windows.json", b'\xef\xbb\xbf{"pred_text": "a", "text": "b"}')
    assert read_predictions(tmp_path)[0] == [TextPair("windows.json", "b", "a")]


@pytest.mark.parametrize(
    ("place", "met"),
    [("missing", "no such folder"), ("file.json", "not a folder"), ("empty", "holds no .json")],
)
def test_a_folder_without_predictions_names_the_command_that_makes_them(tmp_path, place, met):
    write(tmp_path, "file.json", {})
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=met) as refusal:
        read_predictions(tmp_path / place)
    assert str(tmp_path / place) in str(refusal.value)
    assert "python inference.py -cn=inference" in str(refusal.value)


def test_words_and_characters_are_counted_after_the_same_normalisation():
    pair = TextPair("f", reference="The Cat.", hypothesis="the  bat")
    assert measure(pair, Normaliser()) == {
        "WER": ErrorCounts(substitutions=1, hits=1),
        "CER": ErrorCounts(substitutions=1, hits=6),
    }
    assert measure(pair, str)["WER"] == ErrorCounts(substitutions=2)


def test_phonemes_are_counted_as_they_stand_and_words_through_the_lexicon(tmp_path):
    phonemes = {"unit": "phoneme", "pred_text": "D AW", "text": "D AW N"}
    write(tmp_path, "0.json", phonemes | {"word": "Down", "pred_word": "down"})
    write(tmp_path, "1.json", phonemes | {"word": "down", "pred_word": None})
    write(tmp_path, "2.json", phonemes | {"word": "down"})  # no lexicon was asked
    measures = [measure(pair, Normaliser()) for pair in read_predictions(tmp_path)[0]]
    per = {"PER": ErrorCounts(deletions=1, hits=2)}
    assert measures == [
        per | {"word error": ErrorCounts(hits=1)},
        per | {"word error": ErrorCounts(deletions=1)},
        per,
    ]


SURE = [{"word": "a", "confidence": 0.9, "start_s": 0.0}, {"word": "cat", "confidence": 1}]


@pytest.mark.parametrize(
    ("content", "confidences"),
    [
        ({"words": SURE}, (("a", 0.9), ("cat", 1))),
        ({"words": []}, ()),
        ({"words": SURE, "unit": "phoneme"}, None),
        ({"tokens": [{"token": "K", "confidence": 0.5}], "unit": "phoneme"}, (("K", 0.5),)),
        ({"words": [{"word": "a", "confidence": None}]}, None),  # a decoder that doesn't tell
        ({"words": [*SURE, {"word": "b"}]}, None),
        ({"words": [*SURE, {"word": "b", "confidence": 1.5}]}, None),
        ({"words": [*SURE, {"word": "b", "confidence": math.nan}]}, None),
        ({"words": [*SURE, {"word": 7, "confidence": 0.5}]}, None),
        ({"words": "a cat"}, None),
        ({"words": 7}, None),
    ],
)
def test_confidences_are_read_whole_or_not_at_all(tmp_path, content, confidences):
    write(tmp_path, "0.json", {"pred_text": "a cat", "text": "the cat", **content})
    [pair], _ = read_predictions(tmp_path)
    assert pair.confidences == confidences
