"""The order of reading: complete, repeatable, seekable, low in padding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.datasets import Batches
from src.utils.errors import UserError

durations = st.lists(st.floats(0.25, 16.0, width=16), min_size=1, max_size=80)
LENGTHS = np.random.default_rng(0).uniform(1, 16, 500).astype(np.float32)


def epoch(batches: Batches, number: int = 0, start: int = 0) -> list[list[int]]:
    batches.set_position(number, start)
    return list(batches)


@settings(deadline=None)
@given(
    durations,
    st.integers(1, 9),
    st.integers(1, 5),
    st.sampled_from([None, 16.0, 40.0]),
    st.booleans(),
    st.booleans(),
    st.integers(0, 3),
)
def test_every_utterance_is_read_exactly_once_an_epoch(
    seconds, batch_size, pool, max_batch_s, shuffle, sort_first, number
):
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
        assert 1 <= len(batch) <= batch_size
        longest = max(np.float32(seconds[i]) for i in batch)
        assert max_batch_s is None or len(batch) * longest <= max_batch_s


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


def padding_share(batches: list[list[int]]) -> float:
    padded = sum(len(batch) * LENGTHS[batch].max() for batch in batches)
    return 1 - LENGTHS[flat(batches)].sum() / padded


def test_pools_of_like_duration_pad_far_less_than_a_plain_shuffle():
    plain = padding_share(epoch(Batches(LENGTHS, 10, shuffle=True, bucket_pool=1), 1))
    pooled = padding_share(epoch(Batches(LENGTHS, 10, shuffle=True, bucket_pool=20), 1))
    assert pooled < plain / 4


def test_batches_of_a_pool_are_shuffled():
    means = [LENGTHS[b].mean() for b in epoch(Batches(LENGTHS, 10, shuffle=True), 1)]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.4


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
    ],
)
def test_senseless_arguments_are_refused(keys, message):
    with pytest.raises(UserError, match=message):
        Batches(np.array([1.0, 2.0, 3.0]), shuffle=True, **keys)
