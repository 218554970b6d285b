"""Lists of recordings in three formats: the same rows, and a reason for each line that is none."""

import csv
import io
import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.datasets.corpora.listing import Flaw, Row
from src.datasets.corpora.manifest import manifest_rows, write_manifest
from src.utils.errors import UserError

ROWS = [
    Row("u1", "a.wav", 'Say "yes", please', "ana", "train", None, 1.5),
    Row("u2", "b/c d.flac", "El niño", "", "validation", 0.5, 2.0),
    Row("u3", "/abs/e.wav", "", "beto", "test"),
]
COLUMNS = ("id", "path", "text", "speaker", "split", "start", "duration")


def as_jsonl(rows: list[Row]) -> str:
    dicts = (dict(zip(COLUMNS, row, strict=True)) for row in rows)
    return "".join(json.dumps(line) + "\n" for line in dicts)


def as_csv(rows: list[Row]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([COLUMNS, *rows])
    return text.getvalue()


def as_tsv(rows: list[Row]) -> str:
    lines = [COLUMNS, *([("" if v is None else str(v)) for v in row] for row in rows)]
    return "".join("\t".join(line) + "\r\n" for line in lines)


FORMATS = {"jsonl": as_jsonl, "json": as_jsonl, "csv": as_csv, "tsv": as_tsv}


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_all_formats_give_the_same_rows(tmp_path, suffix, encoding):
    path = tmp_path / f"list.{suffix}"
    path.write_bytes(FORMATS[suffix](ROWS).encode(encoding))
    assert list(manifest_rows(path)) == ROWS


def read(tmp_path, name: str, content: str) -> list[Row | Flaw]:
    (tmp_path / name).write_text(content, encoding="utf-8")
    return list(manifest_rows(tmp_path / name))


def test_spaces_behind_commas_are_no_part_of_names_and_values(tmp_path):
    found = read(tmp_path, "l.csv", 'path, text, id\na b.wav, "go, up", x\n')
    assert found == [Row("x", "a b.wav", "go, up")]


def test_indices_of_older_projects_are_one_value(tmp_path):
    array = [{"path": "/data/a.flac", "text": "hi there", "audio_len": 1.25}]
    (tmp_path / "index.json").write_text(json.dumps(array, indent=2))
    assert list(manifest_rows(tmp_path / "index.json")) == [
        Row("a", "/data/a.flac", "hi there", duration_s=1.25)
    ]
    named = {"u1": {"wav": "{data_root}/s1/a.wav", "words": "dos años"}, "u2": {"wav": "b.wav"}}
    (tmp_path / "train.json").write_text(json.dumps(named))
    row, flaw = manifest_rows(tmp_path / "train.json")
    assert row == Row("u1", "s1/a.wav", "dos años")
    assert "line 2 has no path, or no text" in flaw.explanation


def test_0_is_a_name_like_others(tmp_path):
    lines = '{"id": 0, "path": "a.wav", "text": "go"}\n{"id": 1, "path": "b.wav", "text": "go"}'
    assert [row.id for row in read(tmp_path, "l.jsonl", lines)] == ["0", "1"]


def test_a_duration_of_0_is_none(tmp_path):
    found = read(tmp_path, "l.csv", "path,text,start,duration\na.wav,go,1.5,0\n")
    assert found == [Row("a-00001500", "a.wav", "go", start_s=1.5)]


def test_other_names_of_columns_are_understood(tmp_path):
    line = {"audio_filepath": "a.wav", "sentence": "go", "offset": "1.5", "client_id": 7}
    found = read(tmp_path, "l.jsonl", json.dumps(line | {"split": "dev", "age": 3}))
    assert found == [Row("a-00001500", "a.wav", "go", "7", "validation", 1.5)]


def test_ids_are_made_of_paths_and_never_collide(tmp_path):
    paths = ["a b.wav", "a_b.wav", f"{tmp_path}/x/c.wav", "/far/away/d.wav", "a b.wav"]
    found = read(tmp_path, "l.csv", "path,text\n" + "".join(f"{path},go\n" for path in paths))
    assert [item.id for item in found] == ["a_b", "a_b-2", "x_c", "d", "a_b"]
    assert found[4].reason == "listed more than once, first line used"


def test_parts_of_one_recording_are_many_utterances(tmp_path):
    content = "path,text,start,duration\na.wav,one,0,1\na.wav,two,1.25,1\na.wav,three,2.5,\n"
    assert [(row.id, row.start_s, row.duration_s) for row in read(tmp_path, "l.csv", content)] == [
        ("a-00000000", 0.0, 1.0),
        ("a-00001250", 1.25, 1.0),
        ("a-00002500", 2.5, None),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "malformed"),
        ("[1]", "malformed"),
        ("null", "malformed"),
        ('{"path": "a.wav"}', "malformed"),
        ('{"path": 3, "text": "a"}', "malformed"),
        ('{"path": "a.wav", "text": ["a"]}', "malformed"),
        ('{"path": "a", "text": "a", "split": "held out"}', "of an unknown split"),
        ('{"path": "a", "text": "a", "start": -1}', "with a start or duration that is no time"),
        ('{"path": "a", "text": "a", "start": true}', "with a start or duration that is no time"),
        ('{"path": "a", "text": "a", "start": NaN}', "with a start or duration that is no time"),
        ('{"path": "a", "text": "a", "start": "x"}', "with a start or duration that is no time"),
        ('{"path": "a", "text": "a", "duration": [1]}', "with a start or duration that is no time"),
        ("[" * 100_000, "malformed"),
        (r'{"path": "a\ud800b.wav", "text": "a"}', "malformed"),
        (r'{"path": "a", "text": "a", "speaker": "\ud800"}', "malformed"),
        (r'{"path": "a", "text": "a", "id": "\ud800", "split": "x"}', "malformed"),
        (
            f'{{"path": "a", "text": "a", "duration": 1{"0" * 400}}}',
            "with a start or duration that is no time",
        ),
    ],
)
def test_a_line_that_is_no_row_has_a_reason_and_a_place(tmp_path, line, reason):
    good = '{"path": "z.wav", "text": "good"}'
    found = read(tmp_path, "l.jsonl", f"\n{good}\n{line}\n")
    assert [item.id for item in found] == ["z", "l.jsonl line 3"]
    assert found[1].reason == reason


def test_lines_of_a_table_are_counted_with_the_blank_ones(tmp_path):
    content = "path\ttext\tstart\n\na.wav\tone\t0\n\nb.wav\ttwo\tsoon\nc.wav\n"
    for suffix, parted in (("tsv", content), ("csv", content.replace("\t", ","))):
        found = read(tmp_path, f"l.{suffix}", parted)
        assert [item.id for item in found[1:]] == [f"l.{suffix} line 5", f"l.{suffix} line 6"]


def test_a_list_in_brackets_is_told_what_is_expected(tmp_path):
    [flaw] = read(tmp_path, "l.jsonl", '[{"path": "a.wav", "text": "go"}]')
    assert flaw.explanation.endswith("expected one {…} on each line")


def test_a_quote_left_open_costs_lines_that_are_named(tmp_path):
    found = read(
        tmp_path, "l.csv", 'path,text\na.wav,one\nb.wav,"two\nc.wav,three\nd.wav,4"\ne,5\n'
    )
    assert [item.id for item in found] == ["a", "l.csv line 5", "e"]
    assert isinstance(found[1], Flaw)


def test_a_table_without_path_or_text_is_refused(tmp_path):
    for name, content in (("l.csv", "path,said\n"), ("l.tsv", "path\tsaid\n"), ("e.csv", "")):
        with pytest.raises(UserError, match=rf"{name}: its first line names no column \w+"):
            read(tmp_path, name, content)


@pytest.mark.parametrize("parting", [",", ";", "\t"])
@pytest.mark.parametrize("quote", ["", '"'])
def test_columns_are_parted_as_a_spreadsheet_of_any_country_does(tmp_path, parting, quote):
    header = parting.join(f"{quote}{name}{quote}" for name in ("speaker", "path", "sentence"))
    said = "one; two, three" if quote else "one"
    row = parting.join((f"{quote}s1{quote}", "a.wav", f"{quote}{said}{quote}"))
    [found] = read(tmp_path, "l.csv", f"{header}\n{row}\n")
    assert (found.path, found.text, found.speaker) == ("a.wav", said, "s1")


def test_a_line_that_no_csv_has_is_named(tmp_path):
    with pytest.raises(UserError, match=r"l\.csv: line 2 is no line of a CSV file .*JSONL"):
        read(tmp_path, "l.csv", "path,text\na," + "x" * 200_000 + "\n")


def test_another_kind_of_file_is_no_list(tmp_path):
    with pytest.raises(UserError, match=r"l\.xlsx: not a list .* ends in \.jsonl, \.json, \.csv"):
        read(tmp_path, "l.xlsx", "")


times = st.none() | st.floats(0, 1e6).filter(lambda x: x == 0 or x > 1e-6)
words = st.text(st.characters(codec="utf-8"), max_size=10)
names = st.text("abcé 1", min_size=1, max_size=8).filter(str.strip)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(names, words, words, times, times), max_size=6, unique_by=lambda t: t[0]))
def test_what_is_written_is_read_back_as_it_was(tmp_path_factory, values):
    path = tmp_path_factory.getbasetemp() / "written" / "list.jsonl"
    rows = [
        Row(f"u{i}", f"{name}.wav", text, speaker, "train", start_s, duration_s or None)
        for i, (name, text, speaker, start_s, duration_s) in enumerate(values)
    ]
    write_manifest(path, rows)
    assert list(manifest_rows(path)) == rows


def test_paths_below_the_list_move_with_it_and_odd_names_survive(tmp_path):
    odd = b"caf\xe9.wav".decode("utf-8", "surrogateescape")
    rows = [Row("a", f"{tmp_path}/x/a.wav", "sí"), Row("b", "/far/b.wav", "b"), Row("c", odd, "c")]
    rows += [Row("d", "d.wav", "d", speaker=odd)]
    write_manifest(tmp_path / "list.jsonl", rows)
    found = list(manifest_rows(tmp_path / "list.jsonl"))
    assert [row.path for row in found] == ["x/a.wav", "/far/b.wav", odd, "d.wav"]
    assert found[3].speaker == odd
    assert "sí" in (tmp_path / "list.jsonl").read_text(encoding="utf-8")


def test_no_time_is_written_that_json_does_not_know(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_manifest(tmp_path / "l.jsonl", [Row("a", "a.wav", "a", duration_s=math.inf)])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["", ".", "/", "{data_root}/"])
def test_a_path_that_names_no_file_is_a_flaw(tmp_path, place):
    path = tmp_path / "l.jsonl"
    path.write_text(json.dumps({"path": place, "text": "a"}) + "\n")
    (found,) = manifest_rows(path)
    assert isinstance(found, Flaw) and "names no file" in found.explanation


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(["jsonl", "csv", "tsv"]), st.binary(max_size=120))
def test_whatever_a_list_holds_it_gives_rows_and_flaws_or_one_sentence(
    tmp_path_factory, suffix, content
):
    path = tmp_path_factory.getbasetemp() / f"odd.{suffix}"
    head = {"jsonl": b"", "csv": b"path,text\n", "tsv": b"path\ttext\n"}[suffix]
    path.write_bytes(head + content)
    try:
        found = list(manifest_rows(path))
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert all(isinstance(item, Row | Flaw) for item in found)
