"""Lists as people and programs leave them: read whole where possible, row by row where not."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.datasets.corpora.listing import Flaw, Row, find_home, lines_of, listed, table_of
from src.utils.errors import UserError


def test_each_id_counts_once_whatever_its_case_and_is_safe_as_a_file_name():
    found = [Row("a/b c", "1.wav", " go\t up "), Row("A_b_C", "2.wav", "no"), Row("d", "3.wav", "")]
    listing = listed(found)
    assert [(row.id, row.text) for row in listing.rows] == [("a_b_c", "go up"), ("d", "")]
    [flaw] = listing.flaws
    assert (flaw.id, flaw.reason) == ("A_b_C", "listed more than once, first line used")
    assert flaw.explanation == "A_b_C and a/b c would be one file name"


def test_flaws_pass_and_a_text_that_is_none_becomes_one():
    torn = Row("t", "t.wav", b"caf\xe9".decode("utf-8", "surrogateescape"), "s", "test")
    listing = listed([Flaw("x", "lost"), torn])
    assert listing.rows == []
    assert listing.flaws[1] == Flaw("t", "whose transcript is not UTF-8 text", "", "s", "test")


def test_a_path_that_no_system_takes_costs_its_row():
    [flaw] = listed([Row("z", "a\0b.wav", "go", "s", "test")]).flaws
    assert flaw == Flaw("z", "malformed", "a zero byte in its path", "s", "test")


@pytest.mark.parametrize(
    "content",
    [
        b"uno\ndos\n\n  tres \n",
        "uno\r\ndos\r\n\r\ntres".encode("utf-8-sig"),
        b"uno\rdos\r\rtres\r",
        "uno\ndos\ntres".encode("utf-16"),
        b"\xfe\xff" + "uno\r\ndos\r\ntres".encode("utf-16-be"),
    ],
)
def test_marks_of_byte_order_line_ends_and_blank_lines_make_no_difference(tmp_path, content):
    (tmp_path / "list").write_bytes(content)
    assert lines_of(tmp_path / "list") == ["uno", "dos", "tres"]


def test_an_older_encoding_is_read_where_it_is_known_of(tmp_path):
    (tmp_path / "old").write_bytes("a1 El niño\r\na2 Mañana\r".encode("latin-1"))
    assert lines_of(tmp_path / "old", fallback="latin-1") == ["a1 El niño", "a2 Mañana"]
    (tmp_path / "new").write_text("a1 El niño\n", encoding="utf-8")
    assert lines_of(tmp_path / "new", fallback="latin-1") == ["a1 El niño"]


def test_a_line_ends_at_its_newline_only(tmp_path):
    (tmp_path / "list").write_text("a\u2028b\x0cc\x85d\n", encoding="utf-8")
    assert lines_of(tmp_path / "list") == ["a\u2028b\x0cc\x85d"]


def test_damaged_utf_16_is_named(tmp_path):
    (tmp_path / "list").write_bytes(b"\xff\xfea\0b")
    with pytest.raises(UserError, match=r"list: could not be read as text .* UTF-8"):
        lines_of(tmp_path / "list")


def test_a_table_keeps_quotes_and_names_lines_that_do_not_fit(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text('a\tb\n1\t"one\n\n2\n3\t3"\tx\n4\tfour\n')
    assert list(table_of(path, ["b"])) == [
        {"a": "1", "b": '"one'},
        Flaw("t.tsv line 4", "malformed", "1 column instead of 2"),
        Flaw("t.tsv line 5", "malformed", "3 columns instead of 2"),
        {"a": "4", "b": "four"},
    ]


def test_a_table_without_a_column_that_is_needed_is_refused(tmp_path):
    (tmp_path / "t.tsv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match=r"t\.tsv: has no column path .it has a,b."):
        list(table_of(tmp_path / "t.tsv", ["path"]))


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=200))
def test_no_bytes_end_a_run(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "bytes.tsv"
    path.write_bytes(b"path\tsentence\n" + content)
    for line in table_of(path, ["path"]):
        assert isinstance(line, Flaw | dict)


def test_a_home_is_found_up_to_two_folders_down(tmp_path):
    (tmp_path / "cv-17" / "es" / "clips").mkdir(parents=True)
    for root in (tmp_path, tmp_path / "cv-17", tmp_path / "cv-17" / "es"):
        assert find_home(root, "clips", "Common Voice", "") == tmp_path / "cv-17" / "es"
    (tmp_path / "cv-17" / "en" / "clips").mkdir(parents=True)
    with pytest.raises(UserError, match=r"has 2 folders with clips in them; name one: .*en, .*es"):
        find_home(tmp_path, "clips", "Common Voice", "")
    with pytest.raises(UserError, match=r"is no Common Voice, which has clips in it.* Ask\.$"):
        find_home(tmp_path / "nowhere", "clips", "Common Voice", "Ask.")
