"""Recordings vanish, are cut short or go bad between two batches: left out, named, counted."""

import logging
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from src.batch import Utterance
from src.datasets import AudioFiles, Batches, make_loader
from src.datasets.loading.unreadable import FEW, Unreadable
from src.utils.errors import UserError

RATE = 16_000


@pytest.fixture
def folder(tmp_path) -> Path:
    """a.flac … h.flac, a second of noise each."""
    random = np.random.default_rng(0)
    for name in "abcdefgh":
        samples = random.uniform(-0.5, 0.5, RATE)
        soundfile.write(tmp_path / f"{name}.flac", samples, RATE, subtype="PCM_16")
    return tmp_path


def loader(dataset, **keys):
    return make_loader(dataset, Batches(dataset.durations_s, 2, shuffle=False), **keys)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def fill_with_nan(path: Path) -> None:
    samples = np.full(RATE, np.nan, np.float32)
    soundfile.write(path, samples, RATE, format="WAV", subtype="FLOAT")


DAMAGES = [
    (Path.unlink, "no such file"),
    (cut, "is cut short|not readable as audio"),
    (fill_with_nan, "16000 of 16000 samples are NaN or infinite"),
]


@pytest.mark.parametrize(("damage", "reason"), DAMAGES)
@pytest.mark.parametrize("n_workers", [0, 1])
def test_what_goes_bad_between_batches_is_left_out_named_once_and_counted(
    folder, caplog, damage, reason, n_workers
):
    dataset = AudioFiles(folder)
    reading = loader(dataset, n_workers=n_workers, **({"prefetch": 1} if n_workers else {}))
    batches = iter(reading)
    assert next(batches).ids == ["a", "b"]
    for name in "fgh":
        damage(folder / f"{name}.flac")
    with caplog.at_level(logging.WARNING):
        assert [batch.ids for batch in batches] == [["c", "d"], ["e"], []]
        assert [batch.ids for batch in reading] == [["a", "b"], ["c", "d"], ["e"], []]
    assert reading.n_unreadable == 3
    assert [record.args[0] for record in caplog.records] == ["f", "g", "h"]
    assert caplog.text.count("f.flac") == 1
    assert re.search(rf"f is left out: .*f\.flac: ({reason})", caplog.text)


def test_an_empty_batch_has_the_shapes_of_any_other(folder):
    dataset = AudioFiles(folder)
    for name in "gh":
        (folder / f"{name}.flac").unlink()
    *_, last = loader(dataset)
    assert len(last) == 0 and last.waveforms.shape == last.tokens.shape == (0, 0)
    assert last.waveform_lengths.shape == last.token_lengths.shape == (0,)


@pytest.mark.parametrize(("damage", "reason"), DAMAGES)
def test_the_policy_stop_ends_at_the_first(folder, damage, reason):
    dataset = AudioFiles(folder)
    damage(folder / "d.flac")
    with pytest.raises(UserError, match=rf"d\.flac: ({reason})"):
        list(loader(dataset, unreadable="stop"))


def test_nobody_trains_on_nothing(folder):
    dataset = AudioFiles(folder)
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(UserError, match=r"8 of 8 utterances could not be read, more than loader.*"):
        list(loader(dataset, max_unreadable=1.0))


class NotFinite(AudioFiles):
    """Gives NaN, and once an error of the system, where nobody checks."""

    def __getitem__(self, index: int) -> Utterance:
        if index == 1:
            raise OSError(116, "Stale file handle")
        return Utterance(self.ids[index], np.full(4, np.nan if index == 2 else 0, np.float32))


def test_waveforms_of_nan_and_errors_of_the_disk_are_unreadable_too(folder, caplog):
    assert [batch.ids for batch in loader(NotFinite(folder))][:2] == [["a"], ["d"]]
    assert "b is left out: b: could not be read ([Errno 116] Stale file handle)." in caplog.text
    assert "c is left out: c: 4 samples are NaN or infinite" in caplog.text


def test_more_than_the_share_allowed_ends_the_run():
    policy = Unreadable(5000, "skip", 0.01, None)
    for n in range(50):
        policy.note(f"u{n}", "gone")
        policy.note(f"u{n}", "gone")  # met again in a later epoch
    with pytest.raises(UserError) as error:
        policy.note("u50", "/disk/u50.flac: no such file.")
    assert str(error.value) == (
        "51 of 5,000 utterances could not be read, more than loader.max_unreadable=0.01 allows. "
        "Is the disk still there? The last: /disk/u50.flac: no such file."
    )


def test_a_few_may_always_be_missing():
    policy = Unreadable(100, "skip", 0.0, None)
    for n in range(FEW):
        policy.note(f"u{n}", "gone")
    with pytest.raises(UserError, match="11 of 100 utterances could not be read"):
        policy.note("one more", "gone")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"unreadable": "ignore"}, "unreadable=ignore: expected one of skip, stop"),
        ({"max_unreadable": 5.0}, "max_unreadable=5: expected a share between 0 and 1"),
        ({"timeout_s": 0.0}, "timeout_s=0; expected seconds above 0, or null"),
    ],
)
def test_policies_without_sense_are_refused(folder, keys, message):
    with pytest.raises(UserError, match=message):
        loader(AudioFiles(folder), **keys)
