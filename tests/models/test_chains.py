"""Whole models as chains of plain PyTorch layers, written down once more, without any padding."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from src.models import CNNGRU, Causal, Conformer, DeepSpeech2, DeepSpeech2Conv, RawNet
from src.models.conformer import positions
from src.models.parts.frames import Frames
from tests.models.zoo import side_by_side, stir, utterances

N_FRAMES, N_FEATURES = 21, 24


def batch_norm(x: Tensor, norm: nn.BatchNorm1d) -> Tensor:
    """PyTorch's own over the last axis of x (B, T, D), in evaluation mode."""
    mean, var = norm.running_mean, norm.running_var
    return functional.batch_norm(x.mT, mean, var, norm.weight, norm.bias).mT


def convolved(model: nn.Module, x: Tensor, strides: tuple, paddings: tuple) -> Tensor:
    """Convolution, BatchNorm, ReLU, three times: x (B, T, F) to (B, T_out, F' · C)."""
    x = x[:, None]  # (B, C, T, F)
    for block, stride, padding in zip(model.convs, strides, paddings, strict=True):
        x = functional.conv2d(x, block.conv.weight, None, stride, padding)
        norm = block.norm
        mean, var = norm.running_mean, norm.running_var
        x = functional.relu(functional.batch_norm(x, mean, var, norm.weight, norm.bias))
    return x.permute(0, 2, 3, 1).flatten(2)


def both_ways(layer: nn.Module, x: Tensor) -> Tensor:
    return layer.rnn(x)[0]


def deepspeech2(model: DeepSpeech2, x: Tensor) -> Tensor:
    y = functional.conv2d(x[:, None], model.subsample.weight, model.subsample.bias, 2, 1)
    for block in model.cnn:
        z = y
        for norm, conv in zip(block.norms, block.convs, strict=True):
            z = functional.layer_norm(z, (N_FEATURES // 2,), norm.weight, norm.bias, 0.1)
            z = functional.conv2d(functional.gelu(z), conv.weight, conv.bias, padding=1)
        y = y + z
    y = model.join(y.transpose(1, 2).flatten(2))
    for block in model.rnn:
        norm = block.norm
        y = functional.layer_norm(y, y.shape[2:], norm.weight, norm.bias)
        y = both_ways(block.recurrence, functional.gelu(y))
    first, _, _, last = model.head
    return last(functional.gelu(first(y)))


def deepspeech2_conv(model: DeepSpeech2Conv, x: Tensor) -> Tensor:
    y = convolved(model, x, ((2, 2), (1, 2), (1, 2)), ((5, 20), (5, 10), (5, 10)))
    for norm, rnn in zip(model.norms, model.rnns, strict=True):
        y = sum(both_ways(rnn, batch_norm(y, norm)).chunk(2, 2))
    return model.head(batch_norm(y, model.last_norm))


def cnn_gru(model: CNNGRU, x: Tensor) -> Tensor:
    y = convolved(model, x, ((2, 3), (1, 2), (1, 2)), ((3, 7), (2, 4), (1, 2)))
    y = both_ways(model.rnns[0], y)
    return model.head(both_ways(model.rnns[1], batch_norm(y, model.norms[0])))


def causal(model: Causal, x: Tensor) -> Tensor:
    y = x[:, None]
    for block in model.convs:  # two frames of silence before the first, none behind the last
        y = functional.pad(y, (1, 1, 2, 0))
        y = functional.relu(functional.conv2d(y, block.conv.weight, block.conv.bias, 2))
    y = model.join(y.permute(0, 2, 3, 1).flatten(2))
    for norm, rnn in zip(model.norms, model.rnns, strict=True):
        y = rnn.rnn(functional.layer_norm(y, y.shape[2:], norm.weight, norm.bias))[0]
    return model.head(y)


def rawnet(model: RawNet, x: Tensor) -> Tensor:
    y = batch_norm(model.filters(x), model.norm)
    for conv, norm, stride in zip(model.convs, model.conv_norms, (2, 1), strict=True):
        y = functional.conv1d(y.mT, conv.weight, None, stride, padding=2).mT
        y = functional.relu(batch_norm(y, norm))
    y = both_ways(model.rnns[0], y)
    return model.head(both_ways(model.rnns[1], batch_norm(y, model.norms[0])))


def conformer(model: Conformer, x: Tensor) -> Tensor:
    """Equation 1 of Gulati et al. 2020 in each block; its parts have tests of their own."""
    y = x[:, None]
    for conv in model.subsample.convs:
        y = functional.relu(functional.conv2d(y, conv.weight, conv.bias, 2, 1))
    y = model.subsample.join(y.transpose(1, 2).flatten(2))
    n = y.shape[1]
    distances, frames = positions(n, y.shape[2]), Frames(torch.full((len(y),), n), n)
    for block in model.blocks:
        y = y + 0.5 * block.before(y)
        y = y + block.attention(block.attention_norm(y), distances, frames)
        y = y + block.convolution(y, frames)
        y = y + 0.5 * block.behind(y)
        y = functional.layer_norm(y, y.shape[2:], block.norm.weight, block.norm.bias, 1e-3)
    return model.head(y)


TWO_LAYERS = {"n_rnn_layers": 2, "width": 4}
CHAINS = [
    (DeepSpeech2, deepspeech2, {"n_cnn_layers": 2, "n_channels": 3, **TWO_LAYERS}),
    (DeepSpeech2Conv, deepspeech2_conv, TWO_LAYERS),
    (CNNGRU, cnn_gru, {"n_channels": 2, **TWO_LAYERS}),
    (Causal, causal, {"n_channels": 3, **TWO_LAYERS}),
    (RawNet, rawnet, {"n_filters": 8, "filter_length": 11, **TWO_LAYERS}),
    (Conformer, conformer, {"width": 6, "n_layers": 2, "n_heads": 2, "kernel_size": 3}),
]


@torch.no_grad()
@pytest.mark.parametrize(
    ("kind", "chain", "keys"), CHAINS, ids=lambda x: getattr(x, "__name__", "")
)
def test_a_model_is_a_chain_of_plain_pytorch_layers(kind, chain, keys):
    torch.manual_seed(0)
    model = stir(kind(N_FEATURES, 7, **keys)).eval()
    x, lengths = side_by_side(utterances(N_FRAMES, N_FRAMES, n_features=N_FEATURES))
    expected = chain(model, x).log_softmax(-1)
    torch.testing.assert_close(model(x, lengths).log_probs, expected, rtol=1e-4, atol=1e-5)
