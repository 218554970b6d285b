"""ARPA files: what is written is read again, and what is damaged is refused by line."""

import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.language_models import Grams, estimate, read_arpa, write_arpa
from src.language_models.grams import NEVER
from src.utils.errors import UserError
from tests.language_models.models import as_dict, models

BIGRAMS = """\
made by hand

\\data\\
ngram 1=4
ngram 2=2

\\1-grams:
-0.5\t<unk>
-99\t<s>\t-0.25
-1.5\t</s>
-1\ta\t0

\\2-grams:
-0.125\t<s> a
-2\ta </s>

\\end\\
"""


def write(tmp_path, text: str | bytes, name: str = "model.arpa"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refusal(path) -> str:
    """What `read_arpa` says: one sentence that begins with the file."""
    with pytest.raises(UserError) as caught:
        read_arpa(path)
    message = str(caught.value)
    assert message.startswith(str(path)) and "\n" not in message
    return message.removeprefix(str(path))


def test_a_file_by_hand(tmp_path):
    grams = read_arpa(write(tmp_path, BIGRAMS))
    assert grams.words == ("<unk>", "<s>", "</s>", "a")
    assert [ids.tolist() for ids in grams.ids] == [[[0], [1], [2], [3]], [[1, 3], [3, 2]]]
    logs = np.concatenate([*grams.log_probs, *grams.backoffs]) / np.log(10)
    expected = [-0.5, -99, -1.5, -1, -0.125, -2, 0, -0.25, 0, 0, 0, 0]
    assert logs.tolist() == pytest.approx(expected)
    assert {part.dtype for part in (*grams.log_probs, *grams.backoffs)} == {np.dtype(np.float32)}


@pytest.mark.parametrize("name", ["model.arpa", "model.arpa.gz"])
@settings(deadline=None)
@given(models())
def test_a_round_trip_changes_nothing(tmp_path_factory, name, grams):
    path = tmp_path_factory.mktemp("arpa") / name
    grams.log_probs[0][0] = NEVER
    write_arpa(grams, path)
    again = read_arpa(path)
    grams.backoffs[-1][:] = 0  # the longest never back off: none is written
    assert as_dict(again) == as_dict(grams)  # to the last bit
    assert [again.words[i] for (i,) in again.ids[0]] == [grams.words[i] for (i,) in grams.ids[0]]
    text = gzip.decompress(path.read_bytes()) if name.endswith(".gz") else path.read_bytes()
    assert b"\n-99\t" in text and text.endswith(b"\n\\end\\\n")


@settings(deadline=None)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters=" \t\n\r\x0b\x0c"))
        .filter(bool)
        .filter(lambda word: word not in ("<s>", "</s>", "<unk>")),
        min_size=1,
    )
)
def test_words_of_any_signs_but_ascii_spaces_survive(tmp_path_factory, words):
    path = tmp_path_factory.mktemp("arpa") / "model.arpa"
    grams = estimate([words], 2)
    write_arpa(grams, path)
    assert as_dict(read_arpa(path)).keys() == as_dict(grams).keys()


@pytest.mark.parametrize("word", ["", "a b", "a\t", "\n"])
def test_a_word_that_would_be_none_in_the_file_is_not_written(tmp_path, word):
    values = [np.zeros(2, np.float32)]
    grams = Grams(("a", word), [np.arange(2)[:, None]], values, values)
    with pytest.raises(UserError, match="is empty or has a space"):
        write_arpa(grams, tmp_path / "model.arpa")
    assert list(tmp_path.iterdir()) == []


def test_crlf_blank_lines_spaces_and_a_missing_back_off_are_fine(tmp_path):
    changed = (
        BIGRAMS.replace("\n", "\r\n \r\n").replace("\t", "  ").replace("ngram 1=4", "ngram 1 = 4")
    )
    ours, theirs = (
        read_arpa(write(tmp_path, text, name)) for text, name in ((changed, "a"), (BIGRAMS, "b"))
    )
    assert as_dict(ours) == as_dict(theirs)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\\data\\", "", ": has no \\data\\ line, so it is no ARPA file."),
        ("ngram 2", "ngram 3", ", line 5: expected 'ngram 2=COUNT'; met 'ngram 3=2'."),
        ("=2", "=-2", ", line 5: expected 'ngram 2=COUNT'; met 'ngram 2=-2'."),
        ("=2", "=²", ", line 5: expected 'ngram 2=COUNT'; met 'ngram 2=²'."),
        ("=2", "=" + "9" * 5000, ", line 5: expected orders up to 12 and counts up to 12 digits"),
        ("ngram 1=4", "ngram 1=0", ", line 7: expected lines 'ngram ORDER=COUNT', not 0 for 1"),
        ("ngram 1=4\nngram 2=2\n", "", ", line 5: expected lines 'ngram ORDER=COUNT'"),
        (
            "ngram 1=4",
            "ngram 1=3",
            ", line 11: expected '\\2-grams:' after 3 1-grams; met '-1\\ta\\t0'",
        ),
        (
            "ngram 1=4",
            "ngram 1=5",
            ", line 13: expected one of 5 1-grams, with a logarithm, 1 word",
        ),
        ("=2", "=1", ", line 15: expected \\end\\ after 1 2-grams; met '-2\\ta </s>'."),
        (
            "=2",
            "=3",
            ", line 17: expected one of 3 2-grams, with a logarithm, 2 words; met '\\\\end",
        ),
        ("=2", "=999999999999", ", line 17: expected one of 999999999999 2-grams"),
        ("\\2-grams:", "\\3-grams:", ", line 13: expected '\\2-grams:' after 4 1-grams; met"),
        ("\\end\\", "", ": ends after line 17, without \\end\\."),
        (
            "\\end\\",
            "\\end\\\n\\data\\",
            ", line 18: expected nothing after \\end\\; met '\\\\data",
        ),
        ("-1.5", "nan", ", line 10: expected one of 4 1-grams, with a logarithm of at most 0"),
        ("-1.5", "0.5", ", line 10: expected one of 4 1-grams, with a logarithm of at most 0"),
        ("-1.5", "x", ", line 10: expected one of 4 1-grams, with numbers around the words"),
        ("-0.25", "nan", ", line 9: expected one of 4 1-grams, with a back-off of at most 99"),
        ("-0.25", "inf", ", line 9: expected one of 4 1-grams, with a back-off of at most 99"),
        ("-0.25", "-", ", line 9: expected one of 4 1-grams, with numbers around the words"),
        (
            "\t-0.25",
            "\t-1\t-1",
            ", line 9: expected one of 4 1-grams, with a logarithm, 1 word and",
        ),
        (
            "<s> a",
            "<s> b",
            ", line 14: expected one of 2 2-grams, with words of the 1-grams, where",
        ),
        (
            "<s> a",
            "<s> a\t-1",
            ", line 14: expected one of 2 2-grams, with a logarithm, 2 words; met",
        ),
        (
            "\ta\t",
            "\t</s>\t",
            ", line 11: expected one of 4 1-grams, with a word that was not listed",
        ),
        ("<s> a", "a </s>", ", line 15: the 2-gram 'a </s>' is listed twice."),
    ],
)
def test_damage_is_named_by_line(tmp_path, old, new, message):
    assert old in BIGRAMS
    assert message in refusal(write(tmp_path, BIGRAMS.replace(old, new, 1)))


def test_an_n_gram_without_its_beginning_is_named_by_line_past_blank_lines(tmp_path):
    text = BIGRAMS.replace("ngram 2=2", "ngram 2=2\nngram 3=2").replace(
        "\n\\end", "\\3-grams:\n-1\t<s> a </s>\n\n\n-1\ta a </s>\n\\end"
    )
    message = refusal(write(tmp_path, text))
    assert message == ", line 21: the 3-gram 'a a </s>' is listed without its first 2 words."


def test_logarithms_of_nothing_are_read_as_minus_99(tmp_path):
    for nothing in ("-inf", "-1e308", "-100"):
        path = write(tmp_path, BIGRAMS.replace("-99", nothing).replace("-0.25", nothing))
        grams = read_arpa(path)
        values = [grams.log_probs[0][1], grams.backoffs[0][1]]
        assert values == [np.float32(NEVER)] * 2


def test_a_file_that_is_not_utf_8_is_refused(tmp_path):
    path = write(tmp_path, BIGRAMS.encode().replace(b"\ta\t", b"\t\xff\t"))
    assert ", line 11: expected one of 4 1-grams, with a word in UTF-8; met" in refusal(path)


def test_orders_beyond_reason_are_refused(tmp_path):
    counts = "".join(f"ngram {k}=1\n" for k in range(2, 200))
    text = BIGRAMS.replace("ngram 2=2\n", counts)
    assert ", line 16: expected orders up to 12" in refusal(write(tmp_path, text))


def test_a_file_cut_off_anywhere_is_refused(tmp_path):
    whole = BIGRAMS.encode()
    assert read_arpa(write(tmp_path, whole.rstrip()))
    for end in range(len(whole.rstrip())):
        refusal(write(tmp_path, whole[:end]))


def test_a_gzip_file_cut_off_or_altered_anywhere_is_refused_or_unharmed(tmp_path):
    whole = gzip.compress(BIGRAMS.encode(), mtime=0)
    right = as_dict(read_arpa(write(tmp_path, whole)))
    for end in range(len(whole)):
        refusal(write(tmp_path, whole[:end]))
        altered = whole[:end] + bytes([whole[end] ^ 16]) + whole[end + 1 :]
        try:
            assert as_dict(read_arpa(write(tmp_path, altered))) == right
        except UserError as error:
            assert str(tmp_path) in str(error)


def test_a_file_that_is_not_there_is_said_in_a_sentence(tmp_path):
    assert "No such file or directory" in refusal(tmp_path / "no.arpa")
    assert "Is a directory" in refusal(tmp_path)


def test_a_section_larger_than_a_block_is_read_and_its_damage_found(tmp_path, monkeypatch):
    monkeypatch.setattr("src.language_models.arpa.BLOCK", 3)
    monkeypatch.setattr("src.language_models.arpa.WRITTEN", 2)
    grams = estimate(["abcdefgh", "hgfedcba"], 3)
    path = tmp_path / "model.arpa"
    write_arpa(grams, path)
    assert as_dict(read_arpa(path)) == as_dict(grams)
    lines = path.read_text().splitlines()
    place = lines.index("\\2-grams:") + 9
    lines[place] = lines[place].replace("\t", "\t\t?", 1)
    path.write_text("\n".join(lines))
    assert f", line {place + 1}: expected one of" in refusal(path)
