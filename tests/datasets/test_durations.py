"""Durations are measured once and never believed of another file."""

import os

import numpy as np
import pytest

from src.datasets.durations import durations_of
from tests.datasets.tiny_corpora import damaged, sound


@pytest.fixture
def root(tmp_path):
    sound(tmp_path / "c" / "a.wav", 0.5)
    sound(tmp_path / "c" / "b.flac", 0.25)
    damaged(tmp_path / "c" / "d.wav")
    return tmp_path / "c"


def disguise(path, as_path) -> None:
    """Other content under the same name, size and time of change."""
    status = path.stat()
    path.write_bytes(as_path.read_bytes()[: status.st_size].ljust(status.st_size, b"\0"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_files_are_measured_and_what_has_no_duration_says_why(root, tmp_path):
    for index_dir in (None, tmp_path / "index", tmp_path / "index"):
        seconds, reasons = durations_of(root, ["a.wav", "gone.wav", "b.flac", "d.wav"], index_dir)
        np.testing.assert_array_equal(seconds, np.float32([0.5, np.nan, 0.25, np.nan]))
        assert sorted(reasons) == [1, 3]
        assert "no such file" in reasons[1] and "not readable as audio" in reasons[3]


def test_a_file_is_not_opened_twice(root, tmp_path):
    durations_of(root, ["a.wav", "b.flac"], tmp_path / "index")
    disguise(root / "a.wav", root / "d.wav")
    seconds, reasons = durations_of(root, ["b.flac", "a.wav"], tmp_path / "index")
    assert (seconds.tolist(), reasons) == ([0.25, 0.5], {})


def test_a_file_that_changed_is_measured_anew_and_others_stay_known(root, tmp_path):
    durations_of(root, ["a.wav", "b.flac"], tmp_path / "index")
    sound(root / "a.wav", 0.75)
    assert durations_of(root, ["a.wav"], tmp_path / "index")[0].tolist() == [0.75]
    disguise(root / "b.flac", root / "d.wav")
    assert durations_of(root, ["b.flac"], tmp_path / "index")[0].tolist() == [0.25]


def test_a_file_of_the_same_size_is_known_by_its_date(root, tmp_path):
    durations_of(root, ["a.wav"], tmp_path / "index")
    before = (root / "a.wav").stat()
    sound(root / "a.wav", 1.0, rate=8000)
    assert (root / "a.wav").stat().st_size == before.st_size
    os.utime(root / "a.wav", ns=(0, before.st_mtime_ns + 1_000_000_000))
    assert durations_of(root, ["a.wav"], tmp_path / "index")[0].tolist() == [1.0]


def test_a_damaged_memory_is_made_again(root, tmp_path, caplog):
    durations_of(root, ["a.wav"], tmp_path / "index")
    [file] = (tmp_path / "index").iterdir()
    file.write_bytes(file.read_bytes()[:-3])
    assert durations_of(root, ["a.wav"], tmp_path / "index")[0].tolist() == [0.5]
    assert "is damaged" in caplog.text
    caplog.clear()
    durations_of(root, ["a.wav"], tmp_path / "index")
    assert not caplog.text


def test_a_memory_that_can_t_be_kept_is_told_and_no_more(root, tmp_path, caplog):
    (tmp_path / "file").touch()
    assert durations_of(root, ["a.wav"], tmp_path / "file" / "index")[0].tolist() == [0.5]
    assert "each start will measure all again" in caplog.text
