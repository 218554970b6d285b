"""Two views of an utterance: hidden in other places, moved alike."""

import pytest
import torch

from src.transforms import FeatureSteps, Identity, SpecAugment, TimeWarp
from src.transforms.views import TwoViews
from tests.transforms.chosen import AUGMENTS, augmentation

LENGTHS = torch.tensor([300, 180, 41])


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(8)


def features(n_bins: int = 80) -> torch.Tensor:
    """Every frame tells where it was; nothing is 0 but what gets hidden."""
    place = 1 + torch.arange(300.0)[None, :, None]
    return (place * torch.ones(len(LENGTHS), 1, n_bins)).repeat(2, 1, 1)


def views(augment) -> tuple[torch.Tensor, torch.Tensor]:
    return TwoViews(augment)(features(), LENGTHS.repeat(2), generator()).chunk(2)


def warp() -> TimeWarp:
    return TimeWarp(probability=1, max_warp_frames=40)


@pytest.mark.parametrize("augment", [warp(), FeatureSteps(a=warp(), b=FeatureSteps(c=warp()))])
def test_time_is_warped_alike_in_both_views(augment):
    a, b = views(augment)
    assert torch.equal(a, b)
    moved = (a != features()[: len(LENGTHS)]).any(2)
    assert moved.any(1).all()
    assert all(not row[n:].any() for row, n in zip(moved, LENGTHS.tolist(), strict=True))


def test_a_warp_of_two_views_is_the_warp_of_one():
    one = features()[: len(LENGTHS)]
    assert torch.equal(views(warp())[1], warp()(one, LENGTHS, generator()))


def test_masks_are_drawn_for_each_view():
    a, b = views(SpecAugment())
    assert all(not torch.equal(x, y) for x, y in zip(a == 0, b == 0, strict=True))
    expected = SpecAugment()(features(), LENGTHS.repeat(2), generator())
    assert torch.equal(torch.cat([a, b]), expected)


@pytest.mark.parametrize("order", [("warp", "masks"), ("masks", "warp")])
def test_what_is_hidden_from_neither_view_is_the_same_moment_in_both(order):
    steps = {"warp": warp(), "masks": SpecAugment(n_frequency_masks=0)}
    a, b = views(FeatureSteps(**{name: steps[name] for name in order}))
    if order[0] == "masks":  # edges of masks are blurred by the warp
        a, b = (torch.where((x - x.round()).abs() < 1e-3, x, 0.0) for x in (a, b))
    seen = (a != 0) & (b != 0)
    assert seen.any() and ((a == 0) != (b == 0)).any()
    torch.testing.assert_close(a[seen], b[seen])


def test_without_augmentation_both_views_are_the_speech_itself():
    a, b = views(Identity())
    assert torch.equal(a, b) and torch.equal(a, features()[: len(LENGTHS)])


@pytest.mark.parametrize("name", AUGMENTS)
def test_every_choice_of_augmentation_makes_two_views(name):
    made = TwoViews(augmentation(name)[1])(features(), LENGTHS.repeat(2), generator())
    assert made.shape == features().shape and made.isfinite().all()


def test_the_masks_for_consistency_hide_as_much_as_the_paper_at_most():
    _, masks = augmentation("specaugment_consistent")
    masks.n_frequency_masks = 0
    for n_frames, most, mean in ((100, 35, 0.16), (400, 150, 0.17), (1500, 500, 0.15)):
        ones = torch.ones(2000, n_frames, 1)
        hidden = masks(ones, torch.full((2000,), n_frames), generator()) == 0
        assert 0.8 * most < hidden.sum(1).max() <= most <= 0.375 * n_frames
        assert hidden.float().mean().item() == pytest.approx(mean, abs=0.01)
