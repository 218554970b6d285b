"""bfloat16 on CPUs that multiply tiles (Intel's AMX), and on those that do not."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from src.models.parts import layers
from src.models.parts.frames import Frames
from src.models.parts.layers import BiRecurrence, ConvBlock
from src.utils.devices import has_amx

N_FRAMES = 26


def spread_nan() -> None:
    """Leave NaN in the memory that is freed, where the next tensors will lie."""
    left = [torch.full((2**n,), torch.nan) for n in range(10, 22) for _ in range(3)]
    del left


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("n_bins", "padding"), [(3, 0), (4, 0), (1, 1), (2, 1), (5, 0), (6, 1)])
def test_a_hop_that_leaves_one_bin_gives_what_plain_convolution_gives(n_bins, padding, stride):
    block = ConvBlock(4, 8, (3, 3), (stride, 2), frequency_padding=padding).eval()
    x = torch.randn(3, 11, n_bins, 4).relu()
    y, _ = block(x, Frames(torch.tensor([11] * 3), 11))
    kernel, how = block.conv.weight, {"stride": (stride, 2), "padding": (1, padding)}
    expected = functional.conv2d(x.permute(0, 3, 1, 2), kernel, **how).relu()
    assert y.shape[2] == block.n_bins(n_bins) == expected.shape[3]
    torch.testing.assert_close(y.permute(0, 3, 1, 2), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("n_channels", [16, 48, 64, 96])
def test_no_convolution_reads_memory_that_is_not_its_own(n_channels, stride):
    """One of 48 channels with one bin to come out gave NaN: 3 of 60 batches, 366 of 1,684 steps."""
    block = ConvBlock(n_channels, 64, (3, 3), (stride, 2))
    frames = Frames(torch.tensor([N_FRAMES] * 32), N_FRAMES)
    for _ in range(15):
        spread_nan()
        with torch.autocast("cpu", torch.bfloat16):
            y, _ = block(torch.randn(32, N_FRAMES, 3, n_channels), frames)
        assert y.isfinite().all()


@pytest.mark.parametrize("amx", [True, False])
@pytest.mark.parametrize("n_utterances", [5, 32])
def test_lstms_learn_in_bfloat16_as_in_float64(n_utterances, amx, monkeypatch):
    monkeypatch.setattr(layers, "has_amx", lambda: amx)
    torch.manual_seed(0)
    layer = BiRecurrence(nn.LSTM, 40, 48, "concat")
    x, weights = torch.randn(n_utterances, N_FRAMES, 40), torch.randn(n_utterances, N_FRAMES, 96)
    frames = Frames(torch.tensor([N_FRAMES] * n_utterances), N_FRAMES)

    def values_and_gradients(read, dtype: torch.dtype) -> list[torch.Tensor]:
        layer.to(dtype).zero_grad()
        y = read(x.to(dtype), frames)
        (y * weights).sum().backward()
        return [y.detach().double(), *(p.grad.double() for p in layer.parameters())]

    with torch.autocast("cpu", torch.bfloat16):
        found = values_and_gradients(layer, torch.float32)
    exact = values_and_gradients(layer.over_all, torch.float64)
    assert len(found) == 9
    for a, b in zip(found, exact, strict=True):
        assert (a - b).norm() < 0.01 * b.norm()


def test_it_is_amx_that_decides_in_which_precision_an_lstm_learns(monkeypatch):
    for amx, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(layers, "has_amx", lambda amx=amx: amx)
        with torch.autocast("cpu", torch.bfloat16):
            y = layers.one_direction(nn.LSTM(4, 4), torch.randn(16, 3, 4))
        assert y.dtype == expected
    assert isinstance(has_amx(), bool)
