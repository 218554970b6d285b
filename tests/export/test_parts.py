"""What takes the place of a layer in an exported graph does what the layer does."""

import numpy as np
import pytest
import torch
from torch import nn

from src.export.graph import Graph, HeardAtOnce, MatrixFraming, MatrixSpectrum
from src.export.quantised import Directions, Forwards, quantise
from src.models.causal import CausalConv
from src.models.parts.frames import Frames
from src.models.parts.layers import BiRecurrence
from src.models.parts.one_way import OneWay
from src.transforms.framing import Framing, PowerSpectrum
from tests.export.test_formats import recognizer_of
from tests.models.zoo import CONFIGS

KINDS = (nn.LSTM, nn.GRU, nn.RNN)


@pytest.mark.parametrize(("window_ms", "n_fft"), [(25.0, 512), (20.0, 320), (25.0, 400)])
def test_the_matrix_gives_the_spectrum_of_numpys_fft_in_float64(window_ms, n_fft):
    framing = Framing(16_000, window_ms, 10.0)
    power = PowerSpectrum(framing, n_fft, "hamming")
    waveforms = torch.randn(2, 4000, generator=torch.Generator().manual_seed(1))
    frames = framing(waveforms).double() * power.window.double()
    expected = np.abs(np.fft.rfft(frames.numpy(), n_fft)) ** 2
    found = MatrixSpectrum(power)(waveforms).numpy()
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 5e-6 * expected.max()
    assert torch.equal(MatrixFraming(framing)(waveforms), framing(waveforms))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("merge", ["sum", "concat"])
def test_two_layers_of_one_direction_are_one_of_two(kind, merge):
    torch.manual_seed(0)
    recurrence = BiRecurrence(kind, 5, 4, merge).eval()
    frames, x = Frames(torch.tensor([7, 3, 0]), 9), torch.randn(3, 9, 5)
    with torch.no_grad():
        torch.testing.assert_close(Directions(recurrence)(x, frames), recurrence(x, frames))


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_of_one_direction_stays_what_it_is(kind):
    torch.manual_seed(0)
    recurrence = OneWay(kind, 5, 4).eval()
    frames, x = Frames(torch.tensor([7, 3, 0]), 9), torch.randn(3, 9, 5)
    with torch.no_grad():
        torch.testing.assert_close(Forwards(recurrence)(x, frames), recurrence(x, frames))


def test_a_causal_convolution_that_keeps_nothing_emits_the_same():
    torch.manual_seed(0)
    causal, x, kept = CausalConv(2, 3), torch.randn(2, 9, 8, 2), torch.zeros(2, 2, 8, 2)
    torch.testing.assert_close(HeardAtOnce(causal)(x, kept)[0], causal(x, kept)[0])


@pytest.mark.parametrize("name", ["convnet_small", "deepspeech2", "causal"])
def test_int8_holds_every_linear_and_recurrent_weight_in_a_byte(name):
    [config] = [path for path in CONFIGS if path.stem == name]
    graph = quantise(Graph(recognizer_of(config)))
    kinds = {type(module) for module in graph.modules()}
    assert not kinds & {nn.Linear, nn.LSTM, nn.GRU, BiRecurrence, OneWay}
    left = {key.rsplit(".", 1)[0] for key, _ in graph.named_parameters()}
    assert {type(graph.get_submodule(key)).__name__ for key in left} <= {
        "Conv2d", "MaskedBatchNorm", "LayerNorm"
    }  # fmt: skip
