import pytest
import torch

from src.transforms.deltas import Deltas


def test_a_straight_line_has_a_constant_slope_and_no_curve():
    line = (3.0 * torch.arange(12.0))[None, :, None]
    both = Deltas(2)(line, torch.tensor([12]))
    assert both.shape == (1, 12, 3)
    # Away from the ends, where the repeated frames flatten the line.
    torch.testing.assert_close(both[0, 2:-2, 1], torch.full((8,), 3.0))
    torch.testing.assert_close(both[0, 4:-4, 2], torch.zeros(4))


def test_slopes_by_hand_at_the_ends_of_an_utterance():
    x = torch.tensor([1.0, 2.0, 4.0, 8.0])[None, :, None]
    slopes = Deltas(1)(x, torch.tensor([4]))[0, :, 1]
    wanted = [
        (1 * (2 - 1) + 2 * (4 - 1)) / 10,
        (1 * (4 - 1) + 2 * (8 - 1)) / 10,
        (1 * (8 - 2) + 2 * (8 - 1)) / 10,
        (1 * (8 - 4) + 2 * (8 - 2)) / 10,
    ]
    torch.testing.assert_close(slopes, torch.tensor(wanted))


@pytest.mark.parametrize("n_frames", [1, 2, 3, 7])
def test_padding_never_reaches_a_slope(n_frames):
    x = torch.randn(1, n_frames, 4, generator=torch.Generator().manual_seed(0))
    padded = torch.cat([x, torch.full((1, 5, 4), torch.nan)], dim=1)
    lengths = torch.tensor([n_frames])
    alone, beside = Deltas(2)(x, lengths), Deltas(2)(padded, lengths)
    torch.testing.assert_close(beside[:, :n_frames], alone)


def test_order_zero_changes_nothing():
    x = torch.randn(2, 5, 3)
    assert torch.equal(Deltas(0)(x, torch.tensor([5, 2])), x)
