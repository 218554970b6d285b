"""Packed recordings: the same samples, made once, whole after a kill, anew when files change."""

import logging
import os
import pickle
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import soundfile
from torch.utils.data import Dataset

from src.batch import NO_SOUND, Utterance, to_int16
from src.datasets import AudioFiles, Batches, LibriSpeech, SpeechCommands, cached, make_loader
from src.text import Characters
from src.utils.errors import UserError
from tests.datasets.commands.tiny_commands import pack_corpus

RATE = 16_000
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def corpus(tmp_path) -> Path:
    """70 recordings of 0.1 … 0.2 s: FLAC, and every tenth an MP3 of another rate."""
    random = np.random.default_rng(0)
    folder = tmp_path / "corpus"
    folder.mkdir()
    for i in range(70):
        samples = random.uniform(-1, 1, RATE // 10 + 20 * i)
        if i % 10 == 3:
            soundfile.write(folder / f"{i:02d}.mp3", samples, 44_100)
        else:
            soundfile.write(folder / f"{i:02d}.flac", samples, RATE, subtype="PCM_16")
        (folder / f"{i:02d}.txt").write_text(f"number {'one' * (i % 3)}")
    return folder


def pack(corpus: Path, **keys):
    return cached(AudioFiles(corpus, Characters()), corpus.parent / "cache", n_workers=0, **keys)


def whole_caches(corpus: Path) -> list[Path]:
    return sorted(path.parent for path in (corpus.parent / "cache").glob("[!.]*/index.arrays"))


def test_cached_utterances_are_bit_for_bit_those_of_the_files(corpus):
    dataset, packed = AudioFiles(corpus, Characters()), pack(corpus)
    assert list(packed.ids) == list(dataset.ids) and packed.unreadable == {}
    np.testing.assert_array_equal(packed.durations_s, dataset.durations_s)
    for i in range(len(dataset)):
        direct, stored = dataset[i], packed[i]
        assert stored.waveform.dtype == np.int16
        np.testing.assert_array_equal(stored.waveform, to_int16(direct.waveform))
        for name in ("id", "transcript", "target", "tokens", "speaker"):
            assert (
                getattr(stored, name) == getattr(direct, name) == getattr(packed.describe(i), name)
            )


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_batches_are_the_same_in_any_worker(corpus, start):
    dataset, packed = AudioFiles(corpus, Characters()), pack(corpus)
    packed[0]  # the file is open when workers start

    def batches(source, n_workers):
        order = Batches(source.durations_s, 16, shuffle=True, seed=3)
        loader = make_loader(source, order, n_workers=n_workers)
        loader.reader.multiprocessing_context = start if n_workers else None
        return list(loader)

    for direct, stored in zip(batches(dataset, 0), batches(packed, 1), strict=True):
        assert direct.ids == stored.ids and direct.targets == stored.targets
        assert direct.waveforms.equal(stored.waveforms)
        assert direct.tokens.equal(stored.tokens)


def test_a_cache_is_made_once_and_again_when_a_file_changes(corpus):
    pack(corpus)
    [path] = whole_caches(corpus)
    inode = (path / "samples.pcm").stat().st_ino
    pack(corpus)
    assert (path / "samples.pcm").stat().st_ino == inode
    first = next(iter(AudioFiles(corpus).ids))
    n_samples = soundfile.info(corpus / f"{first}.flac").frames
    soundfile.write(corpus / f"{first}.flac", np.zeros(n_samples), RATE)
    assert not pack(corpus)[0].waveform.any()
    assert whole_caches(corpus) == [path] and len(list(path.parent.iterdir())) == 1


def test_other_utterances_have_a_cache_of_their_own(corpus):
    pack(corpus)
    few = cached(AudioFiles(corpus, limit=5), corpus.parent / "cache", n_workers=0)
    assert len(few) == 5 and len(whole_caches(corpus)) == 2


@pytest.mark.parametrize("name", ["samples.pcm", "index.arrays"])
def test_a_cache_that_was_cut_short_is_made_again(corpus, name):
    expected = pack(corpus)[9].waveform
    [path] = whole_caches(corpus)
    (path / name).write_bytes((path / name).read_bytes()[:-3])
    np.testing.assert_array_equal(pack(corpus)[9].waveform, expected)


def test_a_cache_that_shrinks_while_it_is_read_is_told(corpus):
    packed = pack(corpus)
    [path] = whole_caches(corpus)
    os.truncate(path / "samples.pcm", 100)
    with pytest.raises(UserError, match=r"samples\.pcm: ends too early.*Delete its folder"):
        packed[0]
    copy = pickle.loads(pickle.dumps(packed))
    with pytest.raises(UserError, match="ends too early"):
        copy[69]


def test_samples_that_were_altered_are_told(corpus):
    packed = pack(corpus)
    [path] = whole_caches(corpus)
    with (path / "samples.pcm").open("r+b") as file:
        file.seek(101)
        file.write(b"\x55")
    with pytest.raises(
        UserError, match=r"samples\.pcm: the samples of 00 do not match their check"
    ):
        packed[0]
    assert len(packed[1].waveform)  # the others are as they were


def test_what_can_t_be_read_is_left_out_and_named(corpus, caplog):
    dataset = AudioFiles(corpus)
    (corpus / "01.flac").write_bytes((corpus / "01.flac").read_bytes()[:1000])
    (corpus / "40.flac").unlink()
    packed = cached(dataset, corpus.parent / "cache", n_workers=0)
    assert len(packed) == 68 and {"01", "40"}.isdisjoint(packed.ids)
    assert list(packed.unreadable) == ["01", "40"] and "no such file" in packed.unreadable["40"]
    assert "40 is left out" in caplog.text
    assert packed[40].id == "42"
    np.testing.assert_array_equal(packed[40].waveform, to_int16(dataset[42].waveform))
    caplog.clear()
    again = cached(dataset, corpus.parent / "cache", n_workers=0)
    assert again.unreadable == packed.unreadable


def test_a_disk_that_is_gone_makes_no_cache(corpus):
    dataset = AudioFiles(corpus)
    for path in sorted(corpus.glob("*.flac"))[:20]:
        path.unlink()
    with pytest.raises(UserError, match="11 of 70 utterances could not be read"):
        cached(dataset, corpus.parent / "cache", n_workers=0)
    assert not whole_caches(corpus)


class Numbers(Dataset):
    """Utterance i is i mod 300 + 1 samples of value i; reading takes a while and is counted."""

    sample_rate = RATE
    unreadable: ClassVar[dict[str, str]] = {}

    def __init__(self, file: Path, n: int, pause_s: float = 0.0, hours: float = 0.0) -> None:
        self.file = file
        self.pause_s = pause_s
        self.ids = [f"n{i}" for i in range(n)]
        self.durations_s = np.full(n, 1e-3 + 3600 * hours / n, np.float32)
        self.n_read = 0

    def __len__(self) -> int:
        return len(self.ids)

    def describe(self, index: int) -> Utterance:
        return Utterance(self.ids[index], NO_SOUND)

    def source(self, index: int) -> Path:
        return self.file

    def __getitem__(self, index: int) -> Utterance:
        self.n_read += 1
        time.sleep(self.pause_s)
        return Utterance(self.ids[index], np.full(index % 300 + 1, index, np.int16))


@pytest.fixture
def file(tmp_path) -> Path:
    (tmp_path / "source").write_text("numbers")
    return tmp_path / "source"


def start_packing(file: Path, folder: Path, n: int) -> subprocess.Popen:
    """A process that packs slowly, and is now in the middle of it."""
    code = (
        "from pathlib import Path\n"
        "from src.datasets import cached\n"
        "from tests.datasets.loading.test_pcm_cache import Numbers\n"
        f"cached(Numbers(Path({str(file)!r}), {n}, 5e-4), {str(folder)!r}, n_workers=1)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.DEVNULL)
    while not any(path.stat().st_size for path in folder.glob(".*/done.jsonl")):
        assert process.poll() is None
        time.sleep(0.02)
    return process


def hold(packed, n: int) -> None:
    assert len(packed) == n
    for i in range(0, n, 7):
        assert packed[i].waveform.tolist() == [i] * (i % 300 + 1)


def test_a_killed_builder_leaves_what_the_next_one_goes_on_with(file, tmp_path, caplog):
    n, folder = 6000, tmp_path / "cache"
    process = start_packing(file, folder, n)
    process.kill()
    process.wait()
    [partial] = folder.iterdir()
    with (partial / "done.jsonl").open("a") as journal:
        journal.write("[[1, 2")  # as if killed while it wrote
    with (partial / "samples.pcm").open("ab") as samples:
        samples.write(b"not noted in the journal")
    dataset = Numbers(file, n)
    with caplog.at_level(logging.INFO):
        hold(cached(dataset, folder, n_workers=0), n)
    assert 0 < dataset.n_read <= n - 1600
    assert f"going on after {n - dataset.n_read:,} utterances" in caplog.text
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize("damage", [b"\0" * 512, b"\xff\xfe", b"17"])
def test_a_journal_that_a_power_cut_damaged_counts_up_to_there(file, tmp_path, damage):
    """It stopped every later run for good."""
    n, folder = 6000, tmp_path / "cache"
    process = start_packing(file, folder, n)
    process.kill()
    process.wait()
    [journal] = folder.glob(".*/done.jsonl")
    lines = journal.read_bytes().splitlines()
    journal.write_bytes(b"\n".join([*lines[:10], damage, *lines[11:], b""]))
    dataset = Numbers(file, n)
    hold(cached(dataset, folder, n_workers=0), n)
    assert dataset.n_read == n - 10 * 32  # utterances of a batch


def test_the_journal_is_on_disk_before_more_is_packed(file, tmp_path, monkeypatch):
    synced, sync = [], os.fsync

    def noted(handle: int) -> None:
        sync(handle)
        synced.append((Path(f"/proc/self/fd/{handle}").readlink(), os.fstat(handle).st_size))

    monkeypatch.setattr(os, "fsync", noted)
    cached(Numbers(file, 2000), tmp_path / "cache", n_workers=0)
    journals = [size for name, size in synced if name.name == "done.jsonl"]
    assert len(journals) == 2 and 0 < journals[0] < journals[1]  # after 50 batches, and at the end


def test_what_a_killed_builder_left_of_other_files_is_not_used(file, tmp_path):
    n, folder = 6000, tmp_path / "cache"
    process = start_packing(file, folder, n)
    process.kill()
    process.wait()
    file.write_text("other numbers")
    dataset = Numbers(file, n)
    hold(cached(dataset, folder, n_workers=0), n)
    assert dataset.n_read == n


def test_a_second_builder_waits_for_the_first_and_reads_nothing(file, tmp_path, caplog):
    n, folder = 4000, tmp_path / "cache"
    process = start_packing(file, folder, n)
    dataset = Numbers(file, n)
    with caplog.at_level(logging.INFO):
        hold(cached(dataset, folder, n_workers=0), n)
    assert process.wait() == 0
    assert dataset.n_read == 0
    assert "another process is packing recordings there; waiting for it" in caplog.text


def test_what_was_packed_before_the_disk_was_full_is_kept(file, tmp_path):
    n, folder = 4000, tmp_path / "cache"
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (800_000, most))  # bytes of one file
    try:
        with pytest.raises(UserError, match=r"could not be written .*Give it room .* is kept"):
            cached(Numbers(file, n), folder, n_workers=0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    dataset = Numbers(file, n)
    hold(cached(dataset, folder, n_workers=0), n)
    assert dataset.n_read == n - 1600


def test_too_little_room_is_told_before_anything_is_read(file, tmp_path):
    dataset = Numbers(file, 10, hours=1e9)
    with pytest.raises(
        UserError, match=r"packing 999,999,\d+\.\d h .* takes 115,\d+.* GB are free\. Make"
    ):
        cached(dataset, tmp_path / "cache", n_workers=0)
    assert dataset.n_read == 0


def test_a_folder_that_can_t_be_made_is_told(file):
    with pytest.raises(UserError, match=r"could not be written \(Not a directory\).*loader\.cache"):
        cached(Numbers(file, 10), file / "cache", n_workers=0)


def test_a_corpus_that_is_samples_in_one_file_already_stays_as_it_is(tmp_path):
    dataset = SpeechCommands(pack_corpus(tmp_path)[1], "train", Characters())
    assert cached(dataset, "/nowhere") is dataset


def test_real_speech_is_the_same_from_the_cache(shared_data, tmp_path):
    dataset = LibriSpeech(shared_data / "LibriSpeech", ["test-other"], Characters(), limit=12)
    packed = cached(dataset, tmp_path, n_workers=0)
    for i in range(12):
        np.testing.assert_array_equal(packed[i].waveform, to_int16(dataset[i].waveform))
        assert packed[i].target == dataset[i].target and packed[i].speaker == dataset[i].speaker
