"""Tables as a person sees them in a terminal."""

import pytest

from src.utils.tables import counted, percent, rounded, table


@pytest.mark.parametrize(
    ("n", "told"), [(0, "0 clips"), (1, "1 clip"), (2, "2 clips"), (1260, "1,260 clips")]
)
def test_one_thing_has_no_s(n, told):
    assert counted(n, "clip") == told


def test_what_takes_more_than_an_s_brings_its_plural():
    assert [counted(n, "batch", "batches") for n in (1, 2)] == ["1 batch", "2 batches"]


@pytest.mark.parametrize(
    ("value", "told"),
    [(124_633.2, "124,600"), (1.2345678e7, "12,350,000"), (1475.2, "1,475"), (629.34, "629.3"),
     (1.5, "1.5"), (float("inf"), "inf"), (float("nan"), "nan")],
)  # fmt: skip
def test_four_digits_are_told_without_an_exponent(value, told):
    assert rounded(value) == told


def test_text_goes_left_numbers_right_under_a_ruled_header():
    rows = [("convnet", 14_300_000, "3.7 %"), ("lstm", 9, "16.7 %")]
    assert table(rows, ("model", "weights", "PER")).split("\n") == [
        "model     weights     PER",
        "───────  ────────  ──────",
        "convnet  14300000   3.7 %",
        "lstm            9  16.7 %",
    ]


@pytest.mark.parametrize(
    "cell", ["-1", "−1.5", "+2", "1,234.5", "1e-3", "12.3 % [11.0, 13.6]", "n/a", "nan", "inf", "–"]
)
def test_a_cell_that_is_a_number_or_lacks_one_goes_right(cell):
    lines = table([(cell,), ("1",)], ("a very wide header, wider than all cells",)).split("\n")
    assert lines[2].endswith(cell) and lines[2].startswith(" ")


@pytest.mark.parametrize("cell", ["1st", "v2", "2 words", "information"])
def test_one_word_among_the_numbers_sends_the_column_left(cell):
    lines = table([(cell,), ("1",)], ("a wide header, wider than all",)).split("\n")
    assert lines[2] == cell and lines[3] == "1"


def test_wide_and_combining_characters_keep_the_columns_straight():
    decomposed = "n\N{COMBINING TILDE}o"  # three characters, two columns
    lines = table([("日本", "x"), (decomposed, "y")], ("word", "z")).split("\n")
    assert lines[2] == "日本  x" and lines[3] == decomposed + "    y"


def test_line_breaks_do_not_break_the_table_and_no_line_ends_in_spaces():
    text = table([("a\nb", ""), ("c", "long")], ("one", "two"))
    assert text.split("\n")[2:] == ["a b", "c    long"]
    assert all(line == line.rstrip() for line in text.split("\n"))


def test_a_table_without_rows_is_its_header():
    assert table([], ("a", "bc")) == "a  bc\n─  ──"


def test_a_row_of_another_width_is_a_mistake_of_ours():
    with pytest.raises(ValueError, match="zip"):
        table([("a", "b"), ("c",)], ("one", "two"))


@pytest.mark.parametrize(
    ("rate", "interval", "text"),
    [
        (0.1234, None, "12.3 %"),
        (0.1234, (0.11, 0.136), "12.3 % [11.0, 13.6]"),
        (0.0, (0.0, 0.0), "0.0 % [0.0, 0.0]"),
        (1.5, None, "150.0 %"),
        (float("nan"), (0.1, 0.2), "n/a"),
        (0.5, (float("nan"), 0.2), "50.0 %"),
    ],
)
def test_percent_is_for_people(rate, interval, text):
    assert percent(rate, interval) == text
