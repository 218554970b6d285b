from itertools import product

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.metrics import (
    ErrorCounts,
    aligned,
    character_errors,
    corpus_rate,
    phoneme_errors,
    phonemes,
    word_errors,
)

WORDS = st.lists(st.sampled_from(["a", "b", "ab", "the", "don't"]), max_size=8)


def distance(reference, hypothesis):
    """Fewest substitutions, deletions and insertions; Wagner and Fischer's table (1974)."""
    rows = len(reference) + 1
    columns = len(hypothesis) + 1
    cost = {(i, 0): i for i in range(rows)} | {(0, j): j for j in range(columns)}
    for i, j in product(range(1, rows), range(1, columns)):
        replaced = cost[i - 1, j - 1] + (reference[i - 1] != hypothesis[j - 1])
        cost[i, j] = min(replaced, cost[i - 1, j] + 1, cost[i, j - 1] + 1)
    return cost[rows - 1, columns - 1]


def check_alignment(counts, reference, hypothesis):
    """The counts are those of some alignment, and no alignment has fewer errors."""
    assert counts.errors == distance(reference, hypothesis)
    assert counts.reference_length == len(reference)
    assert counts.hits + counts.substitutions + counts.insertions == len(hypothesis)
    assert min(counts.substitutions, counts.deletions, counts.insertions, counts.hits) >= 0


@given(WORDS, WORDS)
def test_word_errors_are_the_fewest_that_any_alignment_has(reference, hypothesis):
    counts = word_errors(" ".join(reference), " ".join(hypothesis))
    check_alignment(counts, reference, hypothesis)


@given(st.text("ab c", max_size=10), st.text("ab c", max_size=10))
def test_character_errors_are_the_fewest_that_any_alignment_has(reference, hypothesis):
    reference, hypothesis = " ".join(reference.split()), " ".join(hypothesis.split())
    check_alignment(character_errors(reference, hypothesis), reference, hypothesis)


@given(WORDS.filter(bool), WORDS)
def test_jiwer_finds_the_same_rates(reference, hypothesis):
    reference, hypothesis = " ".join(reference), " ".join(hypothesis)
    assert word_errors(reference, hypothesis).rate == jiwer.wer(reference, hypothesis)
    assert character_errors(reference, hypothesis).rate == jiwer.cer(reference, hypothesis)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "counts"),
    [
        ("the cat sat", "the cat sat", ErrorCounts(hits=3)),
        ("the cat sat", "the bat sat", ErrorCounts(substitutions=1, hits=2)),
        ("the cat sat", "the sat", ErrorCounts(deletions=1, hits=2)),
        ("the cat sat", "the cat sat down", ErrorCounts(insertions=1, hits=3)),
        ("a b c d e", "x b d e f", ErrorCounts(1, 1, 1, hits=3)),
        ("the cat", "", ErrorCounts(deletions=2)),
        ("", "the cat", ErrorCounts(insertions=2)),
        ("", "", ErrorCounts()),
    ],
)
def test_words_worked_out_by_hand(reference, hypothesis, counts):
    assert word_errors(reference, hypothesis) == counts


def test_a_space_is_a_character_and_more_spaces_are_none():
    assert character_errors("to day", "today") == ErrorCounts(deletions=1, hits=5)
    assert character_errors("to day", " to  day ") == ErrorCounts(hits=6)
    assert word_errors("to day", " to  day ") == ErrorCounts(hits=2)


def test_phonemes_are_counted_without_word_boundaries():
    assert phonemes("N AY N | T UW") == ["N", "AY", "N", "T", "UW"]
    assert phoneme_errors("N AY N | T UW", "N AY N T UW") == ErrorCounts(hits=5)
    # the symbol is the unit: one substitution, whatever its letters
    assert phoneme_errors("D AW N", "D AE N") == ErrorCounts(substitutions=1, hits=2)


def test_an_empty_reference_counts_as_one_unit_for_its_own_rate():
    assert word_errors("", "").rate == 0
    assert word_errors("", "a b").rate == 2
    assert word_errors("a", "b c d").rate == 3


def test_a_corpus_rate_is_summed_errors_over_summed_length():
    counts = [word_errors("a b c d e f g h i", "a b c d e f g h i"), word_errors("a", "b")]
    assert corpus_rate(counts) == 1 / 10  # the mean of 0 and 1 would be a half


def test_what_is_inserted_into_silence_counts_against_the_corpus():
    assert corpus_rate([word_errors("a b c d", "a b c d"), word_errors("", "x y")]) == 2 / 4
    assert corpus_rate([]) == 0


@given(WORDS, WORDS)
def test_aligned_lines_hold_both_sides_and_show_every_error(reference, hypothesis):
    lines = aligned(reference, hypothesis, width=12)
    above = " ".join(a for a, _ in lines).split()
    below = " ".join(b for _, b in lines).split()
    assert [unit for unit in above if unit != "***"] == reference
    assert [unit for unit in below if unit != "***"] == hypothesis
    wrong = sum(a != b for a, b in zip(above, below, strict=True))
    assert wrong == distance(reference, hypothesis)
    assert all(len(line) <= 12 for pair in lines for line in pair)


def test_aligned_units_stand_under_each_other():
    reference = ["the", "cat", "sat", "on", "it"]
    assert aligned(reference, ["the", "sat", "upon", "it", "all"]) == [
        ("the cat sat on   it ***", "the *** sat upon it all")
    ]
