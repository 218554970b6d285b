"""Sentences found in files as people have them."""

import gzip
import lzma

import pytest

from src.language_models import lines, sentences
from src.utils.errors import UserError


def test_plain_gzip_and_xz_files_are_read_whatever_their_names(tmp_path):
    paths = [tmp_path / name for name in ("a", "b", "c")]
    for path, pack in zip(paths, (bytes, gzip.compress, lzma.compress), strict=True):
        path.write_bytes(pack(f"é {path.name}\nx".encode()))
    assert list(lines(paths)) == ["é a\n", "x", "é b\n", "x", "é c\n", "x"]
    assert list(lines([])) == []


def test_files_that_can_not_be_read_are_told_by_line(tmp_path):
    (tmp_path / "latin").write_bytes(b"fine\nna\xefve\n")
    with pytest.raises(UserError, match=r"latin, line 2: is not UTF-8 .*iconv"):
        list(lines([tmp_path / "latin"]))
    for name, pack in (("gz", gzip.compress), ("xz", lzma.compress)):
        packed = pack(b"a line\n" * 99)
        for content in (packed[:-9], packed[:30] + b"??" + packed[32:]):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(UserError, match=rf"{name}: could not be read.* Fetch it again"):
                list(lines([tmp_path / name]))
    with pytest.raises(UserError, match=r"no: could not be read \(No such file or directory\)"):
        list(lines([tmp_path / "no"]))


@pytest.mark.parametrize(
    "text",
    [
        "It rained.| “Oh!” said he.| We left;| it was 3.5 miles.",
        "“Who?”| “Mr. Bennet of St. Ives, etc., and Mrs. J. K. Long.”| He bowed.",
        "What…| Well… well.| (No.)| “Yes!” she cried;| “yes.”",
        "No mark at all",
        "One.’”| Two!?| Three",
    ],
)
def test_sentences_end_where_a_reader_would_end_them(text):
    printed = text.replace("|", "")
    assert list(sentences([printed])) == text.split("| ")


def test_wrapped_lines_are_joined_and_headings_stand_alone():
    printed = """\
CHAPTER I
The Period

It was the best of times, it was the worst of times, it was the
age of wisdom, it was the age of foolishness. It was
  the end of this one, as was said at great length by Mr.
Lorry. So it
was.
Another paragraph begins on the very next line here; as is seen
"""
    assert list(sentences(printed.splitlines(keepends=True))) == [
        "CHAPTER I",
        "The Period",
        "It was the best of times, it was the worst of times, it was the age of wisdom, it was the "
        "age of foolishness.",
        "It was the end of this one, as was said at great length by Mr. Lorry.",
        "So it",  # the line is too short to be one that goes on
        "was.",
        "Another paragraph begins on the very next line here;",
        "as is seen",
    ]


def test_nothing_is_lost(shared_data):
    book = shared_data / "text/books/jules-verne_around-the-world-in-eighty-days"
    (path,) = book.parent.glob(f"{book.name}*")
    printed = list(lines([path]))
    found = list(sentences(printed))
    assert " ".join(found).split() == " ".join(printed).split()
    assert len(printed) < len(found) < 5 * len(printed)
