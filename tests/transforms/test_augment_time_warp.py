"""A time warp bends time within an utterance, never its ends, never its padding."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from src.transforms import TimeWarp
from src.transforms.time_warp import _between, _warped
from src.utils.errors import UserError
from tests.transforms.sounds import generator


def warped_ramp(lengths: list[int], limit: int, seed: int, spare: int = 0) -> torch.Tensor:
    """(B, T): which moment each frame shows, told by features that are their own time."""
    n_frames = max(lengths) + spare
    ramp = torch.arange(float(n_frames))[None, :, None].repeat(len(lengths), 1, 1)
    warp = TimeWarp(probability=1, max_warp_frames=limit)
    return warp(ramp, torch.tensor(lengths), generator(seed))[:, :, 0]


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 120), min_size=1, max_size=4),
    limit=st.integers(0, 60),
    seed=st.integers(0, 2**16),
)
def test_time_runs_forward_between_the_same_ends(lengths, limit, seed):
    moments = warped_ramp(lengths, limit, seed, spare=5)
    still = torch.arange(float(moments.shape[1]))
    for row, length in zip(moments, lengths, strict=True):
        assert torch.equal(row[length:], still[length:])
        if length:
            assert row[0] == 0 and row[length - 1] == length - 1
            assert (row[:length].diff() >= -1e-4).all()
            furthest = (row[:length] - still[:length]).abs().max()
            assert furthest <= min(limit, (length - 1) / 4) + 1e-3


def test_a_warp_worked_out_by_hand():
    # Of nine frames moment 4 comes at 6: time runs at 4 / 6 before it, at 4 / 2 after.
    source = _warped(10, torch.tensor([6.0]), torch.tensor([4.0]), torch.tensor([8.0]))
    thirds = [0, 2 / 3, 4 / 3, 2, 8 / 3, 10 / 3, 4, 6, 8, 9]
    torch.testing.assert_close(source[0], torch.tensor(thirds))


def test_features_between_two_frames_lie_on_a_line():
    features = torch.tensor([[0.0, 10.0], [1.0, 30.0], [0.0, 0.0]])[None]
    result = _between(features, torch.tensor([[0.0, 0.25, 1.5, 2.0]])[:, :3])
    assert result[0].tolist() == [[0.0, 10.0], [0.25, 15.0], [0.5, 15.0]]


def test_warps_reach_their_limit_to_both_sides():
    moments = warped_ramp([201] * 500, limit=20, seed=0)
    still = torch.arange(201.0)
    later, earlier = (still - moments).amax(1), (moments - still).amax(1)
    assert 18 < later.max() <= 20 and 18 < earlier.max() <= 20
    assert 0.4 < (later > earlier).float().mean() < 0.6


def test_padding_beside_an_utterance_does_not_move_its_warp():
    short, long = warped_ramp([60, 40], 10, 7), warped_ramp([60, 40], 10, 7, spare=30)
    assert torch.equal(long[:, :60], short)


@pytest.mark.parametrize("probability", [0.0, 0.3])
def test_the_share_that_is_warped_is_the_probability(probability):
    features = torch.randn(1_000, 30, 4, generator=generator())
    warp = TimeWarp(probability=probability, max_warp_frames=10)
    warped = warp(features, torch.full((1_000,), 30), generator(1))
    changed = (warped != features).flatten(1).any(1)
    assert abs(int(changed.sum()) - 1_000 * probability) <= 4 * 14.5 * (probability > 0)
    assert torch.equal(warped[~changed], features[~changed])


def test_half_precision_features_stay_so():
    features = torch.randn(2, 30, 4, generator=generator()).bfloat16()
    assert TimeWarp(probability=1)(features, torch.tensor([30, 20]), generator()).dtype == (
        torch.bfloat16
    )


@pytest.mark.parametrize(("key", "value"), [("probability", 2), ("max_warp_frames", -1)])
def test_impossible_numbers_are_refused(key, value):
    with pytest.raises(UserError, match=f"{key}={value}: expected a"):
        TimeWarp(**{key: value})
