"""TextGrids through a reader of their own, and one by hand."""

from src.alignment import Interval, textgrid
from tests.alignment.textgrid_reader import read


def interval(label: str, start_s: float, end_s: float) -> Interval:
    return Interval(label, start_s, end_s, 0.5)


def test_gaps_are_filled_and_labels_come_back():
    words = [interval('say "ä"', 0.1, 0.25), interval("1 2", 0.25, 0.5), interval("ж", 1, 1.5)]
    tokens = [interval(" ", 0, 1.5)]
    tiers = read(textgrid({"words": words, "tokens": tokens, "none": []}, 2.0))
    assert tiers["words"].intervals == [
        (0, 0.1, ""),
        (0.1, 0.25, 'say "ä"'),
        (0.25, 0.5, "1 2"),
        (0.5, 1.0, ""),
        (1.0, 1.5, "ж"),
        (1.5, 2.0, ""),
    ]
    assert tiers["tokens"].intervals == [(0, 1.5, " "), (1.5, 2, "")]
    assert tiers["none"].intervals == [(0, 2, "")]


def test_small_numbers_are_written_out():
    text = textgrid({"words": [interval("a", 0.00001, 3600.123456)]}, 3600.123456)
    assert "xmin = 0.00001\n" in text
    assert "xmax = 3600.123456\n" in text


BY_HAND = """\
File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 0.75
tiers? <exists>
size = 1
item []:
    item [1]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = 0.75
        intervals: size = 2
        intervals [1]:
            xmin = 0
            xmax = 0.5
            text = "go"
        intervals [2]:
            xmin = 0.5
            xmax = 0.75
            text = ""
"""


def test_the_whole_file_by_hand():
    assert textgrid({"words": [interval("go", 0, 0.5)]}, 0.75) == BY_HAND
