"""A copy of the sound is never taken for that of a list that says something else by now."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from src.batch import to_int16
from src.datasets import AudioFiles, Folder, LibriSpeech, Mixture, cached
from src.datasets.loading import pcm_builder
from src.datasets.shards.writer import write_shards
from src.utils.errors import UserError

RATE = 16_000
SPLITS = {"validation_share": 0.0, "test_share": 0.0}


@pytest.fixture
def folder(tmp_path) -> Path:
    """`steps.wav`: 0.1 s of 0.1, 0.1 s of 0.2, … 0.1 s of 0.8."""
    steps = np.repeat(np.arange(1, 9) / 10, RATE // 10)
    soundfile.write(tmp_path / "steps.wav", steps, RATE)
    return tmp_path


def listed(folder: Path, starts_s: list[float]) -> Path:
    """A list of a tenth of a second from each of `starts_s` on."""
    rows = [
        {"id": f"u{i}", "path": "steps.wav", "text": "step", "start": start_s, "duration": 0.1}
        for i, start_s in enumerate(starts_s)
    ]
    path = folder / "list.jsonl"
    path.write_text("".join(f"{json.dumps(row | {'split': 'train'})}\n" for row in rows))
    return path


def of_list(path: Path) -> Folder:
    return Folder(path, "train", None, **SPLITS)


def of_mixture(path: Path) -> Mixture:
    keys = {"weights": [1], "limit": 4, "sort": "duration_desc"}
    return Mixture([str(path)], "train", None, **keys, **SPLITS)


def levels(dataset) -> list[int]:
    """How loud each utterance is, in tenths."""
    return [round(10 * float(to_int16(item.waveform).max()) / 2**15) for item in dataset]


@pytest.mark.parametrize("open_list", [of_list, of_mixture])
def test_a_start_that_was_corrected_is_heard_in_the_cache(folder, open_list):
    """Ids, paths, durations and files are as before."""
    for starts_s in ([0.0, 0.1, 0.2, 0.3], [0.0, 0.1, 0.2, 0.5]):
        dataset = open_list(listed(folder, starts_s))
        packed = cached(dataset, folder / "cache", n_workers=0)
        assert levels(packed) == levels(dataset)
    assert levels(packed) == [1, 2, 3, 6]


@pytest.mark.parametrize("open_list", [of_list, of_mixture])
def test_a_start_that_was_corrected_is_not_taken_for_packed(folder, open_list):
    options = {"shard_mb": 1, "seed": 1, "n_workers": 0}
    write_shards(open_list(listed(folder, [0.0, 0.1])), folder / "shards", **options)
    with pytest.raises(UserError, match=r"made of something else \(utterances differ\)"):
        write_shards(open_list(listed(folder, [0.0, 0.2])), folder / "shards", **options)
    assert write_shards(open_list(listed(folder, [0.0, 0.1])), folder / "shards", **options)


def test_each_row_of_a_large_corpus_counts(folder, monkeypatch):
    monkeypatch.setattr(pcm_builder, "MOST_LOOKED_AT", 3)  # files: those of rows 0, 3 and 6
    for start_s in (0.5, 0.7):
        dataset = of_list(listed(folder, [0.0, 0.1, 0.2, 0.3, 0.4, start_s, 0.6]))
        packed = cached(dataset, folder / "cache", n_workers=0)
    assert levels(packed) == [1, 2, 3, 4, 5, 8, 7]


def slow_files(folder: Path, **keys) -> AudioFiles:
    return AudioFiles(folder / "*.wav", **keys)


def slow_list(folder: Path, **keys) -> Folder:
    row = {"id": "slow", "path": "slow.wav", "text": "slow", "split": "train"}
    (folder / "slow.jsonl").write_text(json.dumps(row))
    return Folder(folder / "slow.jsonl", "train", None, **SPLITS, **keys)


def slow_mixture(folder: Path, **keys) -> Mixture:
    slow_list(folder)
    return Mixture([str(folder / "slow.jsonl")], "train", None, **SPLITS, **keys)


def slow_chapter(folder: Path, **keys) -> LibriSpeech:
    chapter = folder / "part" / "1" / "2"
    if not chapter.exists():
        chapter.mkdir(parents=True)
        (chapter / "1-2.trans.txt").write_text("1-2-0000 SLOW\n")
        shutil.copyfile(folder / "slow.wav", chapter / "1-2-0000.wav")
    return LibriSpeech(folder, ["part"], None, **keys)


@pytest.mark.parametrize("open_slow", [slow_files, slow_list, slow_mixture, slow_chapter])
def test_a_rate_that_may_not_be_resampled_is_refused_from_the_cache_too(tmp_path, open_slow):
    soundfile.write(tmp_path / "slow.wav", np.full(800, 0.1), 8000)
    cache = tmp_path / "cache"
    assert len(cached(open_slow(tmp_path), cache, n_workers=0)[0].waveform) == 1600
    dataset = open_slow(tmp_path, resample=False)
    with pytest.raises(UserError, match="recorded at 8000 Hz"):
        dataset[0]
    with pytest.raises(UserError, match="recorded at 8000 Hz"):
        cached(dataset, cache, n_workers=0)
