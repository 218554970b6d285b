"""The table of a part: complete, honest about what is missing, read anew when things change."""

import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from src.datasets.librispeech.index import load_index
from src.utils.errors import UserError
from tests.datasets.tiny_corpus import RATE, tone, write_chapter


@pytest.fixture
def part(tmp_path) -> Path:
    folder = tmp_path / "corpus" / "tiny"
    write_chapter(folder, "11", {"GO UP": 0.5, "STOP": 0.25})
    write_chapter(folder, "2", {"LEFT": 1.0}, suffix=".wav")
    return folder


def test_a_part_becomes_a_table_whatever_the_audio_s_kind(part, tmp_path):
    index, rejections = load_index(part, tmp_path / "index")
    assert list(index.ids) == ["11-1-0000", "11-1-0001", "2-1-0000"]
    assert list(index.paths) == ["11/1/11-1-0000.flac", "11/1/11-1-0001.flac", "2/1/2-1-0000.wav"]
    assert list(index.transcripts) == ["GO UP", "STOP", "LEFT"]
    assert list(index.speakers) == ["11", "2"]
    assert index.speaker_codes.tolist() == [0, 0, 1]
    np.testing.assert_allclose(index.durations_s, [0.5, 0.25, 1.0])
    assert index.durations_s.dtype == np.float32
    assert len(rejections) == 0


def test_files_are_measured_block_by_block(part, monkeypatch):
    monkeypatch.setattr("src.datasets.durations.BLOCK", 2)
    overwrite(part, "11-1-0001.flac", b"noise")
    index, rejections = load_index(part, None)
    np.testing.assert_array_equal(index.durations_s, [0.5, np.nan, 1.0])
    assert rejections.ids_by_reason == {"with unreadable audio": ["11-1-0001"]}


def test_rows_that_lack_something_are_counted_by_reason(part, tmp_path):
    chapter = part / "11" / "1"
    (chapter / "11-1-0001.flac").unlink()
    with (chapter / "11-1.trans.txt").open("a") as lines:
        lines.write("11-1-0000 AGAIN\n\n11-1-0002\n")
    soundfile.write(chapter / "11-1-0009.wav", tone(0.1), RATE)
    soundfile.write(chapter / "11-1-0000.wav", tone(0.1), RATE)
    soundfile.write(chapter / "11-1-0002.wav", tone(0.1), RATE)
    (part / "2" / "1" / "2-1-0000.wav").write_bytes(b"no sound at all")
    for _ in ("scanned", "stored"):
        index, rejections = load_index(part, tmp_path / "index")
        assert list(index.transcripts) == ["GO UP", "", "LEFT"]
        assert np.isnan(index.durations_s).tolist() == [False, False, True]
        assert rejections.ids_by_reason == {
            "in a second audio file of an utterance": ["11/1/11-1-0000.wav"],
            "with a transcript but no audio": ["11-1-0001"],
            "listed more than once, first line used": ["11-1-0000"],
            "with audio but no transcript": ["11-1-0009"],
            "with unreadable audio": ["2-1-0000"],
        }
        assert "2-1-0000.wav: not readable as audio" in str(rejections)


def overwrite(part: Path, name: str, content: bytes) -> None:
    """Change a file in place: neither names nor dates of folders tell of it."""
    (file,) = part.rglob(name)
    file.write_bytes(content)


def test_a_part_is_scanned_once(part, tmp_path):
    before, _ = load_index(part, tmp_path / "index")
    for name in ("11-1-0000.flac", "11-1-0001.flac", "2-1-0000.wav"):
        overwrite(part, name, b"would be found unreadable if it were scanned again")
    after, rejections = load_index(part, tmp_path / "index")
    assert len(rejections) == 0
    for column in ("ids", "paths", "transcripts", "durations_s", "rejected"):
        assert list(getattr(before, column)) == list(getattr(after, column))


def edit_transcript(part: Path) -> None:
    (part / "2/1/2-1.trans.txt").write_text("2-1-0000 RIGHT\n")


def add_speaker(part: Path) -> None:
    write_chapter(part, "3", {"DOWN": 0.5})


def remove_audio(part: Path) -> None:
    (part / "11/1/11-1-0001.flac").unlink()


def rename_audio(part: Path) -> None:
    (part / "2/1/2-1-0000.wav").rename(part / "2/1/2-1-0001.wav")


def remove_chapter(part: Path) -> None:
    shutil.rmtree(part / "11")


@pytest.mark.parametrize(
    "change", [edit_transcript, add_speaker, remove_audio, rename_audio, remove_chapter]
)
def test_a_changed_part_is_scanned_again(part, tmp_path, change):
    load_index(part, tmp_path / "index")
    change(part)
    kept, _ = load_index(part, tmp_path / "index")
    fresh, _ = load_index(part, None)
    assert list(kept.paths) == list(fresh.paths)
    assert list(kept.transcripts) == list(fresh.transcripts)


def test_unreadable_audio_is_tried_again_and_the_rest_is_not(part, tmp_path):
    (whole,) = (file.read_bytes() for file in part.rglob("2-1-0000.wav"))
    overwrite(part, "2-1-0000.wav", b"RIFF")
    load_index(part, tmp_path)
    overwrite(part, "2-1-0000.wav", whole)
    overwrite(part, "11-1-0000.flac", b"not looked at")
    for _ in ("measured", "stored"):
        index, rejections = load_index(part, tmp_path)
        assert len(rejections) == 0
        np.testing.assert_allclose(index.durations_s, [0.5, 0.25, 1.0])


def test_two_copies_of_a_part_have_an_index_each(part, tmp_path):
    copy = tmp_path / "elsewhere" / "tiny"
    shutil.copytree(part, copy)
    (copy / "2/1/2-1.trans.txt").write_text("2-1-0000 OTHER\n")
    for _ in range(2):
        assert load_index(part, tmp_path / "index")[0].transcripts[-1] == "LEFT"
        assert load_index(copy, tmp_path / "index")[0].transcripts[-1] == "OTHER"
    assert len(list((tmp_path / "index").iterdir())) == 2


@pytest.mark.parametrize(
    "damage", [b"", b"arrays1\n", b"something else entirely, of a length that a header has"]
)
def test_a_damaged_index_is_replaced_with_a_warning(part, tmp_path, caplog, damage):
    load_index(part, tmp_path)
    (file,) = tmp_path.glob("*.index")
    file.write_bytes(damage)
    index, _ = load_index(part, tmp_path)
    assert len(index.ids) == 3
    assert "the index is damaged" in caplog.text
    caplog.clear()
    load_index(part, tmp_path)
    assert not caplog.text


def test_a_place_that_cannot_be_written_costs_only_the_index(part, tmp_path, caplog):
    occupied = tmp_path / "file"
    occupied.touch()
    index, _ = load_index(part, occupied / "index")
    assert len(index.ids) == 3
    assert "The index is not kept" in caplog.text


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions are POSIX")
def test_a_read_only_corpus_is_left_untouched(part, tmp_path):
    before = sorted(part.rglob("*"))
    for folder in (part, part / "2", part / "2" / "1"):
        folder.chmod(0o555)
    load_index(part, tmp_path / "index")
    assert sorted(part.rglob("*")) == before
    for folder in (part, part / "2", part / "2" / "1"):
        folder.chmod(0o755)


def test_a_transcript_file_that_is_no_text_is_named(part, tmp_path):
    (part / "2/1/2-1.trans.txt").write_bytes(b"2-1-0000 CAF\xc9\n")
    with pytest.raises(UserError, match=r"2-1\.trans\.txt: not readable as UTF-8 text"):
        load_index(part, tmp_path)


def test_a_folder_that_leads_in_circles_is_named(part, tmp_path):
    (part / "2" / "loop").symlink_to(part)
    with pytest.raises(UserError, match=r"2/loop.*: this folder of the corpus can't be listed"):
        load_index(part, tmp_path)


def test_a_part_without_any_utterance_has_an_empty_table(tmp_path):
    (tmp_path / "empty").mkdir()
    for _ in range(2):
        index, rejections = load_index(tmp_path / "empty", tmp_path / "index")
        assert (len(index), len(rejections), list(index.speakers)) == (0, 0, [])


def test_hidden_files_are_not_the_corpus(part, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    (part / "2/1/._2-1-0000.wav").write_bytes(b"left by a file browser")
    (part / "2/1/._2-1.trans.txt").write_bytes(b"\xff\xff")
    index, rejections = load_index(part, tmp_path)
    assert (len(index.ids), len(rejections)) == (3, 0)
