"""A stream of shards: each utterance exactly once, for any workers, processes and interruption."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.datasets import Batches, ShardStream, make_loader
from src.datasets.shards.files import ShardReader, scan
from src.datasets.shards.order import StreamBatches
from src.text import Characters
from src.utils.errors import UserError
from tests.datasets.shards.tiny_shards import (
    N,
    damaged,
    flat,
    read,
    stream_loader,
    write,
    write_files,
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """45 recordings of 0.1 … 0.14 s, FLAC, with transcripts."""
    return write_files(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def packed(corpus, tmp_path_factory) -> Path:
    """The same in five shards, as part "train"."""
    root = tmp_path_factory.mktemp("shards")
    assert write(corpus, root) == (5, N, {})
    return root


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


def test_an_epoch_takes_the_shards_in_a_new_order():
    shards = np.repeat(np.arange(10), 3)
    order = StreamBatches(np.ones(30), shards, 3, batch_size=3, shuffle=True, seed=1)
    turns = set()
    for epoch in range(3):
        order.set_position(epoch)
        turns.add(tuple(dict.fromkeys(int(shards[row]) for rows in order for row in rows)))
    assert len(turns) == 3 and {tuple(sorted(turn)) for turn in turns} == {tuple(range(10))}


def test_a_filling_of_the_buffer_is_read_forward(packed, monkeypatch):
    places, read_ = [], ShardReader.read

    def noted(self, shard, begin, *rest):
        places.append((shard, begin))
        return read_(self, shard, begin, *rest)

    monkeypatch.setattr(ShardReader, "read", noted)
    read(stream_loader(packed, buffer=N))
    assert len(places) == N and places == sorted(places)


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
