"""The order of reading: complete, repeatable, seekable, low in padding."""

import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from src.datasets import Batches, LibriSpeech
from src.utils.errors import UserError
from tests.conftest import REPOSITORY

durations = st.lists(st.floats(0.25, 16.0, width=16), min_size=1, max_size=80)
LENGTHS = np.random.default_rng(0).uniform(1, 16, 500).astype(np.float32)


def epoch(batches: Batches, number: int = 0, start: int = 0) -> list[list[int]]:
    batches.set_position(number, start)
    return list(batches)


@settings(deadline=None)
@given(
    durations,
    st.sampled_from([(1, None), (4, None), (9, 16.0), (3, 40.0), (None, 16.0), (None, 40.1)]),
    st.integers(1, 5),
    st.booleans(),
    st.booleans(),
    st.integers(0, 3),
)
def test_every_utterance_is_read_exactly_once_an_epoch(
    seconds, limits, pool, shuffle, sort_first, number
):
    batch_size, max_batch_s = limits
    batches = Batches(
        seconds,
        batch_size,
        shuffle=shuffle,
        bucket_pool=pool,
        max_batch_s=max_batch_s,
        sort_first_epoch=sort_first,
    )
    found = epoch(batches, number)
    assert sorted(flat(found)) == list(range(len(seconds)))
    assert len(batches) == len(found)
    for batch in found:
        assert 1 <= len(batch) <= (batch_size or len(seconds))
        longest = max(np.float32(seconds[i]) for i in batch)
        assert max_batch_s is None or len(batch) * longest <= max_batch_s


def cut_one_by_one(seconds: list[float], batch_size: int, max_batch_s: float) -> list[list[int]]:
    """Rows in their order, a batch closed as soon as one more would exceed a limit."""
    batches = [[0]]
    for row in range(1, len(seconds)):
        candidate = [*batches[-1], row]
        padded_s = len(candidate) * max(seconds[i] for i in candidate)
        if len(candidate) > batch_size or padded_s > max_batch_s:
            batches.append([row])
        else:
            batches[-1] = candidate
    return batches


@settings(deadline=None)
@given(durations, st.integers(1, 12), st.sampled_from([16.0, 40.0, 100.0]))
def test_batches_are_as_full_as_the_limits_allow(seconds, batch_size, max_batch_s):
    batches = Batches(seconds, batch_size, max_batch_s=max_batch_s, shuffle=False)
    assert epoch(batches) == cut_one_by_one(seconds, batch_size, max_batch_s)


def test_recordings_without_sound_fill_no_batch_without_end():
    sizes = [len(b) for b in epoch(Batches(np.zeros(250), max_batch_s=1.0, shuffle=True))]
    assert sorted(sizes) == [50, 100, 100]  # each counts as 10 ms


@settings(deadline=None)
@given(durations, st.integers(1, 9), st.integers(1, 6), st.sampled_from([None, 30.0]))
def test_processes_share_each_batch_of_the_plan_of_one(seconds, batch_size, world, max_batch_s):
    keys = {"batch_size": batch_size, "max_batch_s": max_batch_s, "shuffle": True, "seed": 2}
    whole = epoch(Batches(seconds, **keys), 1)
    ranks = [Batches(seconds, **keys, rank=rank, world=world) for rank in range(world)]
    shares = [epoch(batches, 1) for batches in ranks]
    assert {len(share) for share in shares} == {len(whole)}
    for rows, parts in zip(whole, zip(*shares, strict=True), strict=True):
        assert sorted(flat(parts)) == sorted(rows)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


@settings(deadline=None)
@given(durations, st.integers(1, 5), st.integers(0, 3), st.data())
def test_an_epoch_can_be_entered_at_any_batch(seconds, batch_size, number, data):
    whole = epoch(Batches(seconds, batch_size, shuffle=True, seed=3), number)
    start = data.draw(st.integers(0, len(whole)))
    resumed = Batches(seconds, batch_size, shuffle=True, seed=3)
    resumed.set_position(number, start)
    assert resumed.state() == {"epoch": number, "start_batch": start}
    resumed.set_position(**resumed.state())
    assert list(resumed) == whole[start:]
    assert len(resumed) == len(whole)


def test_order_follows_from_seed_and_epoch_alone():
    first, second = (Batches(LENGTHS, 8, shuffle=True, seed=5) for _ in range(2))
    epoch(first, 0)  # what was read before doesn't matter
    assert epoch(first, 7) == epoch(second, 7)
    assert epoch(first, 7) != epoch(first, 8)
    assert epoch(first, 7) != epoch(Batches(LENGTHS, 8, shuffle=True, seed=6), 7)


def test_unshuffled_epochs_keep_the_dataset_order():
    batches = Batches(np.ones(5), 2, shuffle=False)
    assert epoch(batches, 0) == epoch(batches, 4) == [[0, 1], [2, 3], [4]]


def flat(batches: list[list[int]]) -> list[int]:
    return [i for batch in batches for i in batch]


def test_padding_share_is_what_is_computed_on_silence():
    batches = Batches([1.0, 2.0, 4.0], 2, shuffle=False)  # padded to 2 × 2 s and 1 × 4 s
    assert batches.padding_share() == pytest.approx(1 - 7 / 8)
    assert Batches([], 2, shuffle=False).padding_share() == 0


def shuffled_padding(seconds: np.ndarray, **keys) -> float:
    batches = Batches(seconds, shuffle=True, **keys)
    batches.set_position(1)
    return batches.padding_share()


def test_pools_of_like_duration_pad_far_less_than_a_plain_shuffle():
    plain = shuffled_padding(LENGTHS, batch_size=10, bucket_pool=1)
    assert shuffled_padding(LENGTHS, batch_size=10, bucket_pool=20) < plain / 4


def deepspeech2_loader() -> dict:
    """What configs/deepspeech2.yaml tells Batches."""
    base, own = (OmegaConf.load(REPOSITORY / f"configs/{n}.yaml") for n in ("base", "deepspeech2"))
    loader = OmegaConf.merge(base.loader, own.loader)
    known = ("batch_size", "max_batch_s", "bucket_pool", "sort_first_epoch")
    return {key: loader[key] for key in known}


def test_less_than_5_percent_is_padding_on_960_hours_like_librispeech():
    rng = np.random.default_rng(0)
    n = 281_241  # two thirds are cut at 12 … 16 s, the others anywhere; 12.3 s on average
    anywhere = rng.uniform(1.4, 14.0, n)
    seconds = np.where(rng.random(n) < 1 / 3, anywhere, rng.normal(14.6, 1.0, n)).clip(1.4, 17.0)
    assert seconds.sum() / 3600 == pytest.approx(960, rel=0.01)
    assert shuffled_padding(seconds, **deepspeech2_loader()) < 0.05


def test_less_than_5_percent_is_padding_on_real_speech(shared_data):
    root, parts = shared_data / "LibriSpeech", ["train-clean-100", "test-clean", "test-other"]
    corpus = LibriSpeech(root, parts, None, max_duration_s=17.0)
    assert shuffled_padding(corpus.durations_s, **deepspeech2_loader()) < 0.05


def test_the_log_tells_padding_once_for_each_kind_of_epoch(caplog):
    caplog.set_level(logging.INFO)
    batches = Batches([1.0, 1.0, 3.0, 3.0], 2, shuffle=True, sort_first_epoch=True)
    for number in (0, 0, 1, 2):
        epoch(batches, number)
    assert caplog.messages == [
        "Sorted epoch: 2 batches of 2.0 utterances and 4 s of speech on average; padding is "
        "0.0 % of what is computed.",
        "Shuffled epoch: 2 batches of 2.0 utterances and 4 s of speech on average; padding is "
        "0.0 % of what is computed.",
    ]
    caplog.clear()
    epoch(Batches([1.0, 3.0], 2, shuffle=False))
    epoch(Batches([1.0, 3.0], 2, shuffle=True, rank=1, world=2))
    assert not caplog.messages  # held-out speech and the other processes say nothing


def test_batches_of_a_pool_are_shuffled():
    means = [LENGTHS[b].mean() for b in epoch(Batches(LENGTHS, 10, shuffle=True), 1)]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.4


def test_who_shares_a_batch_is_another_matter_each_epoch():
    batches = Batches(LENGTHS, 10, shuffle=True, bucket_pool=5)
    pairs = [
        {frozenset((i, j)) for batch in epoch(batches, n) for i in batch for j in batch if i != j}
        for n in (1, 2)
    ]
    # Pools of 50 among 500 utterances: who met in one epoch seldom meets in the next.
    assert 0 < len(pairs[0] & pairs[1]) < 0.3 * len(pairs[0])
    # Were a pool the whole corpus, each epoch would hold the batches of the last.
    whole = Batches(LENGTHS, 10, shuffle=True, bucket_pool=50)
    assert len({frozenset(b) for n in (1, 2) for b in epoch(whole, n)}) == 50


def test_first_epoch_can_go_from_short_to_long():
    batches = Batches(LENGTHS, 8, shuffle=True, sort_first_epoch=True)
    order = flat(epoch(batches, 0))
    assert (np.diff(LENGTHS[order]) >= 0).all()
    assert flat(epoch(batches, 1)) != order


def test_dropping_leaves_full_batches_and_other_leftovers_each_epoch():
    batches = Batches(LENGTHS[:50], 8, shuffle=True, drop_last=True, sort_first_epoch=True)
    dropped = [set(range(50)) - set(flat(epoch(batches, number))) for number in range(3)]
    assert all(len(left) == 2 for left in dropped)
    assert len(set(map(frozenset, dropped))) == 3
    assert {len(batch) for batch in epoch(batches, 0)} == {8}
    longest = set(np.argsort(LENGTHS[:50])[-2:].tolist())
    assert dropped[0] != longest  # the sorted epoch drops by chance too


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"batch_size": 0}, "batch_size=0; expected a number from 1"),
        ({"batch_size": 2, "bucket_pool": 0}, "bucket_pool=0"),
        ({"batch_size": 9, "drop_last": True}, "leaves nothing of 3 utterances"),
        ({"batch_size": 2, "drop_last": True, "max_batch_s": 50}, "can't be combined"),
        ({"batch_size": 2, "max_batch_s": 2.5}, "lasts 3.0 s, more than a whole batch"),
        ({"batch_size": None}, "loader.batch_size and loader.max_batch_s are both null"),
        ({"batch_size": 2, "world": 0}, "world=0; expected a number from 1"),
        ({"batch_size": 2, "rank": 2, "world": 2}, "rank=2; expected a number from 0 to 1"),
    ],
)
def test_senseless_arguments_are_refused(keys, message):
    with pytest.raises(UserError, match=message):
        Batches(np.array([1.0, 2.0, 3.0]), shuffle=True, **keys)
