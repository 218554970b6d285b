"""SpecAugment hides what it may, never more, and never counts padding."""

import inspect

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from src.transforms import FeatureSteps, FrequencyWarp, Identity, SpecAugment, TimeWarp
from src.utils.errors import UserError
from tests.transforms.chosen import AUGMENTS, CONFIGS, augmentation


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def hidden(augment: SpecAugment, lengths: list[int], n_bins: int, seed: int) -> torch.Tensor:
    """(B, T, F) bool: what a batch of ones loses."""
    ones = torch.ones(len(lengths), max(lengths), n_bins)
    return augment(ones, torch.tensor(lengths), generator(seed)) == 0


def runs(row: torch.Tensor) -> list[int]:
    """Lengths of the runs of True."""
    text = "".join("x" if v else " " for v in row.tolist())
    return [len(run) for run in text.split()]


@settings(max_examples=50, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 120), min_size=1, max_size=4),
    n_masks=st.integers(0, 3),
    widest=st.integers(0, 50),
    fraction=st.floats(0, 1),
    seed=st.integers(0, 2**16),
)
def test_time_masks_stay_within_their_limits(lengths, n_masks, widest, fraction, seed):
    augment = SpecAugment(
        n_frequency_masks=0,
        n_time_masks=n_masks,
        max_time_frames=widest,
        max_time_fraction=fraction,
    )
    holes = hidden(augment, lengths, 5, seed)
    assert torch.equal(holes.all(2), holes.any(2))  # whole frames
    for row, length in zip(holes.all(2), lengths, strict=True):
        limit = min(widest, int(length * fraction + 1e-4))
        assert not row[length:].any()
        assert len(runs(row)) <= n_masks
        assert sum(runs(row)) <= n_masks * limit
        assert n_masks != 1 or max(runs(row), default=0) <= limit


@settings(max_examples=50, deadline=None)
@given(
    n_bins=st.integers(1, 80),
    n_masks=st.integers(0, 3),
    widest=st.integers(0, 100),
    seed=st.integers(0, 2**16),
)
def test_frequency_masks_stay_within_their_limits(n_bins, n_masks, widest, seed):
    augment = SpecAugment(n_time_masks=0, n_frequency_masks=n_masks, max_frequency_bins=widest)
    holes = hidden(augment, [7, 4], n_bins, seed)
    assert torch.equal(holes.all(1), holes.any(1))  # whole bands, over all frames
    for row in holes.all(1):
        assert len(runs(row)) <= n_masks
        assert sum(runs(row)) <= n_masks * min(widest, n_bins)


def test_widths_and_places_are_uniform():
    augment = SpecAugment(
        n_frequency_masks=0, n_time_masks=1, max_time_frames=4, max_time_fraction=1
    )
    rows = hidden(augment, [10] * 20_000, 1, seed=0)[:, :, 0]
    widths = torch.bincount(rows.sum(1), minlength=5) / len(rows)
    torch.testing.assert_close(widths, torch.full((5,), 0.2), atol=0.02, rtol=0)
    full = rows[rows.sum(1) == 4].int().argmax(1)  # starts of the widest: 0 … 6
    places = torch.bincount(full, minlength=7) / len(full)
    torch.testing.assert_close(places, torch.full((7,), 1 / 7), atol=0.03, rtol=0)


def test_utterances_get_masks_of_their_own():
    holes = hidden(SpecAugment(), [300] * 8, 80, seed=1)
    patterns = {tuple(row.flatten().tolist()) for row in holes}
    assert len(patterns) == 8


def test_what_is_not_hidden_stays_as_it_was():
    features = torch.randn(3, 50, 40, generator=generator(2))
    before = features.clone()
    masked = SpecAugment()(features, torch.tensor([50, 30, 1]), generator(3))
    assert torch.equal(features, before)
    kept = masked != 0
    assert torch.equal(masked[kept], features[kept])
    assert 0 < (~kept).float().mean() < 1


def test_the_generator_decides_everything():
    features, lengths = torch.ones(4, 100, 80), torch.tensor([100, 80, 60, 40])
    first, again, other = (SpecAugment()(features, lengths, generator(s)) for s in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_padding_beside_an_utterance_does_not_move_its_masks():
    augment = SpecAugment()
    short = augment(torch.ones(2, 60, 80), torch.tensor([60, 40]), generator(7))
    long = augment(torch.ones(2, 90, 80), torch.tensor([60, 40]), generator(7))
    assert torch.equal(long[:, :60], short)


def test_utterances_without_frames_are_left_alone():
    features = torch.ones(2, 10, 8)
    masked = SpecAugment(n_frequency_masks=0)(features, torch.tensor([0, 0]), generator(0))
    assert torch.equal(masked, features)


def test_identity_changes_nothing():
    features = torch.randn(2, 10, 8)
    assert Identity()(features, torch.tensor([10, 5]), generator(0)) is features


def test_every_augment_is_called_alike():
    parameters = list(inspect.signature(SpecAugment.forward).parameters)
    for other in (Identity, TimeWarp, FrequencyWarp, FeatureSteps):
        assert list(inspect.signature(other.forward).parameters) == parameters


@pytest.mark.parametrize("name", AUGMENTS)
def test_every_config_augments_a_batch(name):
    augment = augmentation(name)[1]
    features = torch.ones(16, 98, 80)
    masked = augment(features, torch.full((16,), 98), generator(0))
    share = float((masked == 0).float().mean())
    assert masked.shape == features.shape
    assert share == 0 if name in ("none", "waveform") else 0 < share < 0.5
    assert not list(augment.parameters())


def test_every_config_is_tested_here():
    assert {"none", "specaugment", "specaugment_light"} <= set(AUGMENTS)
    assert len(AUGMENTS) == len(list((CONFIGS / "augment").iterdir()))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("n_frequency_masks", -1),
        ("n_time_masks", 1.5),
        ("max_frequency_bins", True),
        ("max_time_frames", "x"),
        ("max_time_fraction", 1.1),
    ],
)
def test_impossible_numbers_are_refused(key, value):
    with pytest.raises(UserError, match=f"{key}={value}: expected a"):
        SpecAugment(**{key: value})
