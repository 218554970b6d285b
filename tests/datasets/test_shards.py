"""Shards: whole, the same bytes after any kill, and each utterance exactly once for any reader."""

import json
import logging
import os
import signal
import subprocess
import sys
import tarfile
import time
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts import write_shards
from src.batch import to_int16
from src.datasets import (
    AudioFiles,
    Batches,
    LibriSpeech,
    Shards,
    ShardStream,
    make_batches,
    make_loader,
)
from src.datasets.shard_files import scan
from src.datasets.shard_order import StreamBatches
from src.datasets.shard_writer import cut
from src.datasets.shard_writer import write_shards as pack
from src.text import Characters
from src.utils.errors import UserError
from tests.conftest import REPOSITORY

RATE = 16_000
N = 45


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """45 recordings of 0.1 … 0.14 s, FLAC, with transcripts."""
    folder = tmp_path_factory.mktemp("corpus")
    random = np.random.default_rng(0)
    for i in range(N):
        samples = random.integers(-30000, 30000, RATE // 10 + 16 * i, dtype=np.int16)
        soundfile.write(folder / f"{i:02d}.flac", samples, RATE, subtype="PCM_16")
        (folder / f"{i:02d}.txt").write_text(f"Number {'one' * (i % 3)}")
    return folder


@pytest.fixture(scope="module")
def packed(corpus, tmp_path_factory) -> Path:
    """The same in five shards, as part "train"."""
    root = tmp_path_factory.mktemp("shards")
    n_shards, n_utterances, left_out = write(corpus, root)
    assert (n_shards, n_utterances, left_out) == (5, N, {})
    return root


def write(corpus: Path, root: Path, shard_mb: float = 0.063):
    return pack(AudioFiles(corpus), root / "train", shard_mb=shard_mb, seed=1, n_workers=0)


def stream_loader(root: Path, n_workers: int = 0, *, buffer: int = 12, rank=0, world=1, **keys):
    stream = ShardStream(root, "train", Characters(), shuffle_buffer=buffer)
    order = {"batch_size": 4, "shuffle": True, "seed": 3, "bucket_pool": 2}
    batches = make_batches(stream, **order, rank=rank, world=world)
    return make_loader(stream, batches, n_workers=n_workers, **keys)


def flat(batches) -> list:
    return [item for batch in batches for item in batch]


def read(loader, epoch: int = 0, start: int = 0) -> list[list[str]]:
    loader.batch_sampler.set_position(epoch, start)
    return [batch.ids for batch in loader]


def test_packed_utterances_are_bit_for_bit_those_of_the_files(corpus, packed):
    files, shards = AudioFiles(corpus, Characters()), Shards(packed, "train", Characters())
    row_of = {name: row for row, name in enumerate(files.ids)}
    assert len(shards) == N and list(shards.ids) != list(files.ids)  # the order is another
    for i in range(N):
        direct, stored = files[row_of[shards.ids[i]]], shards[i]
        np.testing.assert_array_equal(stored.waveform, to_int16(direct.waveform))
        assert stored.waveform.dtype == np.int16
        assert shards.durations_s[i] == np.float32(len(stored.waveform) / RATE)
        for name in ("id", "transcript", "target", "tokens", "speaker"):
            assert (
                getattr(stored, name) == getattr(direct, name) == getattr(shards.describe(i), name)
            )


def test_anyone_can_read_a_shard(corpus, packed, tmp_path):
    with tarfile.open(packed / "train" / "00002.tar") as tar:
        tar.extractall(tmp_path, filter="data")
    texts = sorted(tmp_path.glob("0*.json"))
    assert len(texts) >= 8
    for path in texts:
        about = json.loads(path.read_text())
        assert about["transcript"] == (corpus / f"{about['id']}.txt").read_text().strip()
        samples, rate = soundfile.read(corpus / f"{about['id']}.flac", dtype="int16")
        with wave.open(str(path.with_suffix(".wav"))) as file:
            assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (rate, 2, 1)
            np.testing.assert_array_equal(np.frombuffer(file.readframes(N * RATE), "<i2"), samples)


def test_no_shard_is_larger_than_asked_but_for_a_single_large_utterance(packed):
    sizes = [path.stat().st_size for path in (packed / "train").glob("*.tar")]
    assert len(sizes) == 5 and max(sizes) <= 63_000 + 10_240  # tar fills its last record
    assert cut([5, 5, 5, 50, 1, 1], 10) == [0, 2, 3, 4, 6]


def test_the_index_is_what_the_shards_say(packed):
    shards = Shards(packed, "train", None)
    found = [entry for number in range(5) for entry in scan(packed / f"train/{number:05d}.tar")[0]]
    assert [entry.id for entry in found] == list(shards.ids)
    assert [entry.begin for entry in found] == shards.places()[1].tolist()


@pytest.mark.parametrize("n_workers", [0, 1, 2, 3])
def test_every_utterance_comes_once_in_the_same_order_for_any_number_of_workers(packed, n_workers):
    expected = read(stream_loader(packed), epoch=1)
    assert sorted(flat(expected)) == [f"{i:02d}" for i in range(N)]
    assert read(stream_loader(packed, n_workers), epoch=1) == expected


@pytest.mark.parametrize("n_workers", [0, 2])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_processes_share_each_batch_and_lose_and_repeat_nothing(packed, world, n_workers):
    whole = read(stream_loader(packed), epoch=2)
    shares = [
        read(stream_loader(packed, n_workers, rank=rank, world=world), epoch=2)
        for rank in range(world)
    ]
    assert {len(share) for share in shares} == {len(whole)}
    for batch, parts in zip(whole, zip(*shares, strict=True), strict=True):
        assert sorted(flat(parts)) == sorted(batch)


def test_one_shard_is_enough_for_many_workers(corpus, tmp_path):
    assert write(corpus, tmp_path, shard_mb=100)[0] == 1
    found = read(stream_loader(tmp_path, 3, rank=1, world=2, buffer=1000))
    assert found == read(stream_loader(tmp_path, 0, rank=1, world=2, buffer=1000))


@pytest.mark.parametrize("n_workers", [0, 2])
def test_an_epoch_can_be_entered_at_any_batch(packed, n_workers):
    whole = read(stream_loader(packed), epoch=1)
    starts = range(len(whole) + 1) if n_workers == 0 else (1, 4, len(whole) - 1)
    loader = stream_loader(packed, n_workers)
    for start in starts:
        assert read(loader, 1, start) == whole[start:]
    assert loader.batch_sampler.state() == {"epoch": 1, "start_batch": starts[-1]}


def test_epochs_differ_and_follow_from_the_seed(packed):
    loader = stream_loader(packed)
    assert read(loader, 1) != read(loader, 2)
    assert read(loader, 1) == read(stream_loader(packed), 1)


shard_sizes = st.lists(st.integers(1, 9), min_size=1, max_size=6)


@settings(deadline=None, max_examples=60)
@given(shard_sizes, st.integers(1, 20), st.integers(1, 5), st.integers(0, 2), st.booleans())
def test_no_plan_loses_repeats_or_takes_more_than_the_buffer(sizes, buffer, size, epoch, cap):
    shards = np.repeat(np.arange(len(sizes)), sizes)
    seconds = np.linspace(1, 2, len(shards))
    limits = {"max_batch_s": 6.0} if cap else {"batch_size": size}
    order = StreamBatches(seconds, shards, buffer, shuffle=True, **limits)
    order.set_position(epoch)
    batches = list(order)
    assert sorted(flat(batches)) == list(range(len(shards)))
    covered = []
    for begin, end in order.fillings(0):
        rows = flat(batches[begin:end])
        assert len(rows) <= buffer
        covered += range(begin, end)
        # A filling is one piece of the tape: only its first and last shard may be cut.
        counts = np.bincount(shards[rows], minlength=len(sizes))
        assert ((counts > 0) & (counts < sizes)).sum() <= 2
    assert covered == list(range(len(batches)))
    for start in range(len(batches) + 1):
        spans = list(order.fillings(start))
        assert [b for begin, end in spans for b in range(begin, end)] == covered[start:]
    assert len(order) == len(batches)


def test_a_worker_that_is_killed_costs_no_batch(packed, caplog):
    expected = read(stream_loader(packed), epoch=1)
    loader = stream_loader(packed, 2, prefetch=1)
    loader.batch_sampler.set_position(1)
    found = []
    for number, batch in enumerate(loader):
        found.append(batch.ids)
        if number == 2:
            loader._workers()[0].kill()
    assert found == expected
    assert "was killed by SIGKILL" in caplog.text


def test_the_first_epoch_can_go_from_short_to_long_within_each_buffer(packed):
    stream = ShardStream(packed, "train", Characters(), shuffle_buffer=20)
    order = stream.batches(batch_size=4, shuffle=True, sort_first_epoch=True)
    rows = flat(order)
    for begin in (0, 20, 40):
        assert (np.diff(stream.durations_s[rows[begin : begin + 20]]) >= 0).all()


def damaged(packed: Path, root: Path, harm) -> Path:
    """A copy of the shards with `harm` done to the third."""
    (root / "train").mkdir(parents=True)
    for path in (packed / "train").iterdir():
        (root / "train" / path.name).write_bytes(path.read_bytes())
    harm(root / "train" / "00002.tar")
    return root


def flip(path: Path) -> None:
    """One bit of the samples of the second utterance."""
    begin = scan(path)[0][1].begin
    with path.open("r+b") as file:
        file.seek(begin + 100)
        byte = file.read(1)[0]
        file.seek(begin + 100)
        file.write(bytes([byte ^ 4]))


def truncate(path: Path) -> None:
    """All but the first utterance."""
    os.truncate(path, scan(path)[0][1].begin + 10)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (flip, r"00002\.tar: the samples of \d\d do not match their checksum\. Delete it, and run"),
        (truncate, r"00002\.tar: ends too early, at or before the samples of \d\d"),
        (os.unlink, r"00002\.tar: can't be read \(No such file"),
    ],
)
def test_a_damaged_shard_stops_the_run_in_one_sentence_or_is_left_out(
    packed, tmp_path, harm, message, caplog
):
    root = damaged(packed, tmp_path, harm)
    with pytest.raises(UserError, match=message):
        read(stream_loader(root, unreadable="stop"))
    loader = stream_loader(root, 1)
    names = set(flat(read(loader)))
    lost = set(loader.unreadable.reasons)
    assert names.isdisjoint(lost) and len(names | lost) == N
    shard = {entry.id for entry in scan(packed / "train/00002.tar")[0]}
    n_lost = {flip: 1, truncate: len(shard) - 1, os.unlink: len(shard)}[harm]
    assert lost <= shard and len(lost) == n_lost
    assert caplog.text.count("is left out") == n_lost


def test_a_damaged_index_is_refused(packed, tmp_path):
    root = damaged(packed, tmp_path, lambda path: None)
    content = bytearray((root / "train/index.arrays").read_bytes())
    content[-20] ^= 1
    (root / "train/index.arrays").write_bytes(content)
    with pytest.raises(UserError, match=r"index\.arrays: is damaged .*altered.*Delete it\. Write"):
        Shards(root, "train", None)


def test_a_missing_part_names_those_that_are_there(packed):
    with pytest.raises(UserError, match=r"test: has no index.*There is train\. .*write_shards"):
        Shards(packed, "test", None)
    with pytest.raises(UserError, match=r"recordings at 16000 Hz, but 8000 Hz are wanted"):
        Shards(packed, "train", None, sample_rate=8000)


def test_limits_apply_to_shards_as_to_files(packed):
    few = Shards(packed, "train", Characters(), min_duration_s=0.12, limit=7, sort="duration_desc")
    assert len(few) == 7 and few.durations_s.min() >= 0.12
    assert (np.diff(few.durations_s) <= 0).all()
    stream = ShardStream(packed, "train", Characters(), min_duration_s=0.12, shuffle_buffer=3)
    loader = make_loader(stream, make_batches(stream, batch_size=2, shuffle=True))
    assert len(set(flat(read(loader)))) == len(stream) < N


def test_a_stream_can_be_read_in_its_own_order(packed):
    stream = ShardStream(packed, "train", Characters())
    loader = make_loader(stream, Batches(stream.durations_s, 7, shuffle=False), n_workers=2)
    assert flat(read(loader)) == list(stream.ids)
    assert [u.id for batch in stream for u in batch] == list(stream.ids)


@pytest.mark.parametrize(
    ("keys", "message"),
    [({"shuffle_buffer": 0}, "shuffle_buffer=0"), ({"sort": "duration"}, "set it to null")],
)
def test_senseless_arguments_are_refused(packed, keys, message):
    with pytest.raises(UserError, match=message):
        ShardStream(packed, "train", None, **keys).batches(batch_size=2, shuffle=True)
    stream = ShardStream(packed, "train", None)
    with pytest.raises(UserError, match="drop_last=true: a stream has a short batch"):
        stream.batches(batch_size=2, shuffle=True, drop_last=True)


def test_what_can_t_be_decoded_is_left_out_of_the_shards_and_named(corpus, tmp_path, caplog):
    for path in corpus.iterdir():
        (tmp_path / "files").mkdir(exist_ok=True)
        (tmp_path / "files" / path.name).write_bytes(path.read_bytes())
    bad = tmp_path / "files" / "07.flac"
    bad.write_bytes(bad.read_bytes()[:1500])
    _, n_utterances, left_out = write(tmp_path / "files", tmp_path)
    assert n_utterances == N - 1 and list(left_out) == ["07"]
    shards = Shards(tmp_path, "train", None)
    assert shards.unreadable == left_out and "07" not in list(shards.ids)
    assert write(tmp_path / "files", tmp_path)[1:] == (N - 1, left_out)  # known from the shards


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_writer_that_is_killed_leaves_whole_shards_and_its_successor_the_same_bytes(
    corpus, packed, tmp_path
):
    code = (
        "import time\n"
        "from pathlib import Path\n"
        "from src.datasets import AudioFiles\n"
        "from tests.datasets.test_shards import write\n"
        "read = AudioFiles.__getitem__\n"
        "AudioFiles.__getitem__ = lambda self, i: time.sleep(0.02) or read(self, i)\n"
        f"write(Path({str(corpus)!r}), Path({str(tmp_path)!r}))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY)
    while not (tmp_path / "train" / "00001.tar").exists():
        assert process.poll() is None
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    (tmp_path / "train" / ".00002.tar.x.part").write_bytes(b"half a shard")
    assert not (tmp_path / "train" / "index.arrays").exists()
    kept = (tmp_path / "train" / "00000.tar").stat().st_mtime_ns
    write(corpus, tmp_path)
    assert contents(tmp_path / "train") == contents(packed / "train")
    assert (tmp_path / "train" / "00000.tar").stat().st_mtime_ns == kept


def test_shards_that_were_deleted_are_made_again(corpus, packed, tmp_path, caplog):
    root = damaged(packed, tmp_path, os.unlink)
    with caplog.at_level(logging.INFO):
        write(corpus, root)
    assert contents(root / "train") == contents(packed / "train")
    assert "going on after" in caplog.text


def test_a_folder_of_something_else_is_refused(corpus, packed, tmp_path):
    with pytest.raises(UserError, match=r"made of something else \(shard_mb, n_shards differ\)"):
        write(corpus, packed, shard_mb=1)
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="holds something else; choose another --out"):
        write(corpus, tmp_path)


def test_real_speech_comes_out_of_the_command_as_it_went_in(shared_data, tmp_path, capsys):
    overrides = [
        *("dataset=librispeech", f"dataset.root={shared_data / 'LibriSpeech'}"),
        *("dataset.test.limit=12", f"dataset.index_dir={tmp_path}", "loader.n_workers=0"),
    ]
    arguments = [*overrides, "--part", "test", "--out", str(tmp_path), "--size_mb", "3"]
    write_shards.main(arguments)
    assert "12 utterances in" in capsys.readouterr().out
    direct = LibriSpeech(shared_data / "LibriSpeech", ["test-clean"], Characters(), limit=12)
    shards = Shards(tmp_path, "test", Characters())
    row_of = {name: row for row, name in enumerate(direct.ids)}
    for i in range(12):
        stored, expected = shards[i], direct[row_of[shards.ids[i]]]
        np.testing.assert_array_equal(stored.waveform, to_int16(expected.waveform))
        assert (stored.target, stored.speaker) == (expected.target, expected.speaker)


def test_a_mistake_ends_in_one_line(tmp_path):
    with pytest.raises(SystemExit) as ended:
        write_shards.main(
            [f"dataset.root={tmp_path}/no", "--part", "train", "--out", str(tmp_path / "out")]
        )
    assert str(ended.value).startswith("write_shards: LibriSpeech train-clean-100: not in")
    assert not (tmp_path / "out").exists()
