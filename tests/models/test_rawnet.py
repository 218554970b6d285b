"""Learned filters: where they begin, what they let through, that their edges learn."""

import math

import pytest
import torch

from src.models import RawNet
from src.models.rawnet import LearnedFilters
from src.utils.errors import UserError


def tone(hz: float) -> torch.Tensor:
    """One second at 16 kHz as frames of 10 ms."""
    return torch.sin(2 * math.pi * hz * torch.arange(16_000) / 16_000).view(1, 100, 160)


@pytest.mark.parametrize("hz", [250.0, 700.0, 1_500.0, 4_000.0])
def test_a_tone_is_loudest_in_the_filter_around_it(hz):
    filters = LearnedFilters(40, 401, n_looks=8).requires_grad_(False)
    energies = filters(tone(hz))
    assert energies.shape == (1, 100, 40)
    loudest = int(energies[0, 10:90].mean(0).argmax())
    low, band = (16_000 * float(edge[loudest]) for edge in (filters.low, filters.band))
    assert low - 30 <= hz <= low + band + 30
    # A tone of amplitude 1 has a mean square of 1/2; of narrow bands the window takes some.
    level = float(energies[0, 10:90, loudest].mean())
    assert level < math.log(0.5) + 0.1
    if hz == 4_000.0:
        assert level == pytest.approx(math.log(0.5), abs=0.3)
    assert float(energies[0, 10:90, loudest].std()) < 0.05  # whatever the phase


def test_the_filters_are_those_of_the_definition():
    filters = LearnedFilters(8, 101, n_looks=8).requires_grad_(False)
    low, high, n = filters.low[:, None], (filters.low + filters.band)[:, None], filters.times
    sincnet = 2 * high * torch.sinc(2 * high * n) - 2 * low * torch.sinc(2 * low * n)
    cosine, _ = filters.impulse_responses()
    torch.testing.assert_close(cosine, sincnet * filters.window, rtol=1e-3, atol=1e-5)
    responses = torch.fft.rfft(cosine, n=4096).abs()
    hz = torch.arange(2049) / 4096
    for i in range(2, 8):
        low, high = float(filters.low[i]), float(filters.low[i] + filters.band[i])
        inside = responses[i, (hz > low + 0.012) & (hz < high - 0.012)]
        outside = responses[i, (hz < low - 0.02) | (hz > high + 0.02)]
        assert not len(inside) or float(inside.min()) > 0.9
        assert not len(outside) or float(outside.max()) < 0.05


def test_edges_move_towards_what_lowers_a_loss():
    filters = LearnedFilters(8, 101, n_looks=8)
    before = filters.low.detach().clone()
    # Larger steps than this make the edges swing, differently on every CPU.
    optimizer = torch.optim.SGD(filters.parameters(), lr=1e-5)
    losses = []
    for _ in range(20):
        losses.append(-filters(tone(900.0))[0, 10:90, 3].mean())  # this one begins at 1,100 Hz
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert float(before[3]) > 900 / 16_000
    assert float(filters.low[3].detach()) < 900 / 16_000
    assert float(losses[-1].detach()) < 0.2 * float(losses[0].detach())


def test_filters_without_a_middle_are_refused():
    with pytest.raises(UserError, match=r"model\.filter_length=400: expected an odd number"):
        RawNet(160, 5, filter_length=400)
