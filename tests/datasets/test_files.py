"""Recordings found by file, folder or glob, with names and references that can be trusted."""

import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from src.datasets import AudioFiles
from src.datasets.files import unique_ids
from src.text import Characters, Phonemes
from src.utils.errors import UserError
from tests.datasets.tiny_corpus import RATE, tone


def write(path: Path, seconds: float = 0.1, transcript: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(seconds), RATE)
    if transcript is not None:
        path.with_suffix(".txt").write_text(transcript, encoding="utf-8")
    return path


@pytest.fixture
def talks(tmp_path) -> Path:
    folder = tmp_path / "talks"
    write(folder / "b.wav", 0.2, "Go\nup!")
    write(folder / "monday" / "a b.flac", 0.3)
    write(folder / "monday" / "late" / "c.OGG", 0.1)
    write(folder / ".hidden.wav")
    (folder / "notes.txt").write_text("not a recording")
    return folder


def test_a_folder_is_searched_with_its_subfolders(talks):
    files = AudioFiles(talks)
    assert files.ids == ["b", "monday_a_b", "monday_late_c"]
    np.testing.assert_allclose(files.durations_s, [0.2, 0.3, 0.1])
    assert files.durations_s.dtype == np.float32


def test_a_single_file_is_taken_by_its_own_name(talks):
    files = AudioFiles(str(talks / "monday" / "a b.flac"))
    assert files.ids == ["a_b"]
    assert files[0].waveform.shape == (4800,)
    assert files[0].waveform.dtype == np.float32


@pytest.mark.parametrize(
    ("pattern", "ids"),
    [
        ("*.wav", ["b"]),
        ("*", ["b", "monday_a_b", "monday_late_c"]),
        ("**/*.flac", ["a_b"]),
        ("m*/**", ["a_b", "late_c"]),
    ],
)
def test_globs_match_files_and_folders_and_never_take_a_recording_twice(talks, pattern, ids):
    assert AudioFiles(f"{talks}/{pattern}").ids == ids


def test_a_folder_whose_name_looks_like_a_glob_is_that_folder(tmp_path):
    write(tmp_path / "take [1]" / "a.wav")
    assert AudioFiles(tmp_path / "take [1]").ids == ["a"]


def test_the_text_beside_a_recording_is_its_transcript(talks):
    utterance = AudioFiles(talks, Characters())[0]
    assert (utterance.transcript, utterance.target) == ("Go up!", "go up")
    assert Characters().vocabulary.decode(utterance.tokens) == "go up"
    silent = AudioFiles(talks, Characters())[1]
    assert (silent.transcript, silent.target, silent.tokens) == ("", "", ())
    assert AudioFiles(talks)[0].target == ""  # without a vocabulary


def test_names_never_collide(tmp_path):
    for name in ("a_b.wav", "a b.wav", "a/b.wav", "a/b.flac"):
        write(tmp_path / name)
    ids = AudioFiles(tmp_path).ids
    assert sorted(ids) == ["a_b", "a_b-2", "a_b-3", "a_b-4"]


@given(st.lists(st.sampled_from(["a", "A", "a-2", "b", "a-2-2"])))
def test_ids_are_unique_even_where_case_does_not_count(names):
    ids = unique_ids(names)
    assert len({name.casefold() for name in ids}) == len(names)
    assert all(found.startswith(name) for found, name in zip(ids, names, strict=True))


def test_ids_are_safe_as_file_names(tmp_path):
    for stem in ("~odd; rm *?", "x" * 240, "x" * 241, "día", "?!"):
        write(tmp_path / "in" / f"{stem}.wav")
    ids = AudioFiles(tmp_path / "in").ids
    assert len(set(ids)) == 5
    assert {"odd_rm", "día", "_"} < set(ids)
    for name in ids:
        (tmp_path / f"{name}.json").write_text("{}")
    assert len(list(tmp_path.glob("*.json"))) == 5


def test_a_transcript_that_letters_cannot_write_is_still_scored(tmp_path, caplog):
    write(tmp_path / "a.wav", transcript="Room 12!")
    write(tmp_path / "b.wav", transcript="Señor")
    files = AudioFiles(tmp_path, Characters())
    assert [(u.target, u.tokens) for u in (files[0], files[1])] == [("room 12", ()), ("señor", ())]
    (line,) = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert "can't write 2 transcripts (a, b; first: 'Room 12!'" in line
    assert "scored with errors" in line


def test_words_without_a_pronunciation_are_read_but_not_scored(tmp_path, caplog):
    write(tmp_path / "a.wav", transcript="brillig")
    write(tmp_path / "b.wav", transcript="down")
    files = AudioFiles(tmp_path, Phonemes("csr"))
    assert [files[0].target, files[1].target] == ["", "D AW N"]
    assert files[0].transcript == "brillig"
    assert "read, but not scored" in caplog.text


def test_limits_and_order_are_those_of_every_dataset(talks, caplog):
    assert AudioFiles(talks, sort="duration").ids == ["monday_late_c", "b", "monday_a_b"]
    assert AudioFiles(talks, max_duration_s=0.25, limit=1).ids == ["b"]
    assert "kept 2 of 3 utterances" in caplog.text


def test_unreadable_recordings_are_left_out_by_name(talks, caplog):
    (talks / "broken.wav").write_bytes(b"RIFF")
    (talks / "empty.wav").touch()
    assert len(AudioFiles(talks)) == 3
    assert "kept 3 of 5 utterances; 2 can't be used: 2 with unreadable audio (broken, empty" in (
        caplog.text
    )
    unreadable = AudioFiles(talks).unreadable
    assert list(unreadable) == ["broken", "empty"]
    assert "empty.wav: is empty (0 bytes)" in unreadable["empty"]


def test_a_single_unreadable_file_says_why(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    with pytest.raises(UserError, match=r"^\S*a\.wav: not readable as audio"):
        AudioFiles(tmp_path / "a.wav")


def test_a_recording_without_sound_is_not_an_utterance(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(0), RATE)
    with pytest.raises(UserError, match=r"a\.wav: holds no samples at all"):
        AudioFiles(tmp_path)


@pytest.mark.parametrize("pattern", ["missing.wav", "none/*.wav", "texts"])
def test_nothing_found_says_what_counts_as_a_recording(tmp_path, pattern):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").touch()
    with pytest.raises(UserError, match=rf"{pattern.split('*')[0]}.*\.wav \.flac .*count as rec"):
        AudioFiles(tmp_path / pattern)


def test_a_transcript_that_is_no_text_is_named(talks):
    (talks / "b.txt").write_bytes(b"caf\xe9")
    with pytest.raises(UserError, match=r"b\.txt: not readable as UTF-8 .* transcript of b\.wav"):
        AudioFiles(talks)


def test_other_rates_are_resampled_or_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros((4000, 2)), 8000)
    assert AudioFiles(tmp_path)[0].waveform.shape == (8000,)
    with pytest.raises(UserError, match="recorded at 8000 Hz"):
        AudioFiles(tmp_path, resample=False)[0]
