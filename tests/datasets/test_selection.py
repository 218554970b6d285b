"""Limits keep what they promise, and the log names the rest."""

import logging
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.datasets import select
from src.datasets.selection import Rejections
from src.text import Characters
from src.utils.errors import UserError

IDS = ["a", "b", "c", "d", "e"]
SECONDS = np.array([3.0, 1.0, 5.0, 2.0, 4.0], np.float32)
WORDS = ["up", "down", "yes", "nineteen", "go"]


def chosen(text=None, **limits) -> str:
    kept = select("corpus", IDS, SECONDS, WORDS, text, **limits)
    assert kept.dtype == np.int64
    return "".join(IDS[row] for row in kept)


def test_without_limits_all_rows_stay_in_the_corpus_order():
    assert chosen(Characters()) == "abcde"


def test_limits_on_duration_keep_both_ends():
    assert chosen(min_duration_s=2.0, max_duration_s=4.0) == "ade"


def test_text_length_counts_tokens_of_the_target():
    assert chosen(Characters(), max_text_length=3) == "ace"


def test_limit_takes_the_first_usable_rows_before_sorting():
    assert chosen(limit=3, min_duration_s=2.0) == "acd"
    assert chosen(limit=3, min_duration_s=2.0, sort="duration") == "dac"


@pytest.mark.parametrize(("sort", "order"), [("duration", "bdaec"), ("duration_desc", "ceadb")])
def test_sorting_goes_by_duration(sort, order):
    assert chosen(sort=sort) == order


@given(st.lists(st.sampled_from([0.5, 1.0, 1.5]), min_size=1), st.booleans())
def test_rows_of_equal_duration_keep_the_corpus_order(seconds, descending):
    seconds = np.array(seconds, np.float32)
    names = [str(i) for i in range(len(seconds))]
    sort = "duration_desc" if descending else "duration"
    kept = select("corpus", names, seconds, names, None, sort=sort).tolist()
    sign = -1 if descending else 1
    assert kept == sorted(range(len(seconds)), key=lambda row: (sign * seconds[row], row))


def test_one_log_line_counts_and_names_what_is_left_out(caplog):
    before = Rejections()
    before.add("without audio", "x")
    caplog.set_level(logging.INFO)
    select(
        "librispeech train",
        IDS,
        SECONDS,
        ["up", "naïve", "", "go on", "yes"],
        Characters(),
        max_duration_s=4.5,
        max_text_length=4,
        already_rejected=before,
    )
    (line,) = caplog.messages
    assert "librispeech train: kept 2 of 6 utterances; 4 can't be used" in line
    assert "1 without audio (x)" in line
    assert "1 longer than 4.5 s (c)" in line
    assert "1 with more than 4 tokens (d)" in line
    assert "1 whose transcript the vocabulary can't write (b; first: 'naïve'" in line
    assert "'ï'" in line
    assert str(before) == "1 without audio (x)"  # the caller's own count is left alone


def test_three_ids_are_named_and_the_others_counted(caplog):
    select("corpus", IDS, SECONDS, WORDS, None, min_duration_s=4.5)
    assert "4 shorter than 4.5 s (a, b, d, …)" in caplog.text


def test_rows_without_sound_or_words_are_left_out():
    seconds = np.array([0.0, 1.0, np.nan, 1.0], np.float32)
    assert select("corpus", "abcd", seconds, ["up", "", "up", "up"], Characters()).tolist() == [3]


def test_without_a_text_transcripts_are_not_looked_at():
    assert select("corpus", "ab", np.ones(2), ["", "日本"], None).tolist() == [0, 1]


def test_the_log_says_when_a_limit_hides_usable_rows(caplog):
    caplog.set_level(logging.INFO)
    chosen(limit=2)
    assert "kept 5 of 5 utterances, of which the first 2 are used (limit=2)" in caplog.text


def test_nothing_left_is_an_error_with_the_reasons():
    with pytest.raises(UserError, match=r"corpus: none of 5 .* 5 longer than 0.5 s \(a, b, c, …\)"):
        chosen(max_duration_s=0.5)
    with pytest.raises(UserError, match="no rows at all"):
        select("corpus", [], np.zeros(0), [], None)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"min_duration_s": 2.0, "max_duration_s": 1.0}, "min_duration_s=2 is above .*=1"),
        ({"min_duration_s": math.nan}, "corpus: min_duration_s=nan; expected a number of seconds"),
        ({"max_duration_s": math.nan}, "corpus: max_duration_s=nan; expected a number of seconds"),
        ({"limit": 0}, "limit=0; expected null or a number from 1"),
        ({"max_text_length": -1}, "max_text_length=-1"),
        ({"sort": "size"}, "sort=size; expected null, duration or duration_desc"),
    ],
)
def test_senseless_limits_are_refused(limits, message):
    with pytest.raises(UserError, match=message):
        chosen(**limits)
