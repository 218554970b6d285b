"""Shapes, lengths, precision and refusals of the models."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from src.models import (
    CNNGRU,
    Causal,
    Conformer,
    ConvNet,
    DeepSpeech2,
    DeepSpeech2Conv,
    QuartzNet,
    Recurrent,
    ResNet,
    Wav2Letter,
)
from src.utils.errors import UserError
from tests.models.zoo import (
    N_FEATURES,
    N_TOKENS,
    NARROW,
    build,
    every_config,
    narrow,
    side_by_side,
    stir,
    utterances,
)


@every_config
def test_output_lengths_are_what_the_network_emits_for_1_to_200_frames(config):
    few = {"n_rnn_layers": 1, "n_cnn_layers": 1, "n_blocks": 1, "n_stages": 2}
    model = narrow(config, n_features=20, **few)
    for n_frames in range(1, 201):
        lengths = torch.tensor([n_frames])
        with torch.inference_mode():
            emissions = model(torch.zeros(1, n_frames, 20), lengths)
        n_emitted = emissions.log_probs.shape[1]
        assert n_emitted == int(emissions.lengths) == int(model.output_lengths(lengths))
        assert (n_emitted - 1) * model.time_stride < n_frames <= n_emitted * model.time_stride


@every_config
def test_emissions_are_float32_log_probabilities_even_under_autocast(config):
    # With 2 to 14 channels and kernels of 16, 32 or 48 frames oneDNN (3.14) is wrong under AMX.
    model = narrow(config, width=16)
    batch = side_by_side(utterances(50, 31))
    expected = model(*batch)
    with torch.autocast("cpu", torch.bfloat16):
        emissions = model(*batch)
    assert emissions.log_probs.dtype == torch.float32
    assert emissions.log_probs.shape[2] == N_TOKENS
    for i, n in enumerate(emissions.lengths.tolist()):
        found = emissions.log_probs[i, :n].exp()
        torch.testing.assert_close(found.sum(-1), torch.ones(n), rtol=0, atol=1e-5)
        # bfloat16 keeps 8 bits: two or three digits are all that can be asked.
        torch.testing.assert_close(found, expected.log_probs[i, :n].exp(), rtol=0, atol=0.05)


@every_config
def test_training_under_autocast_keeps_float32_weights_and_statistics(config):
    model = narrow(config).train()
    with torch.autocast("cpu", torch.bfloat16):
        emissions = model(*side_by_side(utterances(50, 31)))
    emissions.log_probs[:, :8].square().sum().backward()
    for name, p in model.named_parameters():
        assert p.grad.dtype == torch.float32 and p.grad.isfinite().all(), name
    assert all(b.isfinite().all() for b in model.buffers())


@every_config
def test_masked_and_silent_frames_do_not_blow_up_gradients(config):
    """Frames alike in every bin once gave DeepSpeech2 gradients 4 million times larger."""
    norms = []
    for n_masked in (0, 30):
        torch.manual_seed(1)
        model = build(config, **NARROW).train()
        features, lengths = side_by_side(utterances(60, 60))
        features[:, 10 : 10 + n_masked] = 0
        torch.manual_seed(2)
        model(features, lengths).log_probs[:, :, 1].sum().backward()
        squares = [p.grad.square().sum() for p in model.parameters() if p.grad is not None]
        norms.append(torch.stack(squares).sum().sqrt())
    assert norms[1] < 10 * norms[0]


# MFCC, mel, raw windows, power spectrogram; and around ConvNet's edges.
@pytest.mark.parametrize("n_features", [20, 21, 36, 37, 39, 70, 80, 120, 128, 160, 201, 257])
@every_config
def test_models_take_the_features_of_every_front_end(config, n_features):
    model = narrow(config, n_features=n_features)
    emissions = model(*side_by_side(utterances(13, 6, n_features=n_features)))
    assert emissions.log_probs.isfinite().all()


@pytest.mark.parametrize("n_features", [1, 13, 19])
def test_convnet_refuses_features_too_few_to_halve_four_times(n_features):
    with pytest.raises(UserError, match=rf"at least 20 .* gives {n_features}.*model=deepspeech2"):
        ConvNet(n_features, N_TOKENS)
    assert DeepSpeech2(n_features, N_TOKENS, width=4)(
        torch.zeros(1, 5, n_features), torch.tensor([5])
    )


@pytest.mark.parametrize(
    ("model", "keys", "complaint"),
    [
        (ConvNet, {"n_rnn_layers": 0}, "model.n_rnn_layers=0: expected a whole number from 1 to"),
        (ConvNet, {"n_rnn_layers": 2.0}, "model.n_rnn_layers=2.0: .*whole number"),
        (ConvNet, {"rnn_width": -1}, "model.rnn_width=-1"),
        (ConvNet, {"rnn_width": True}, "model.rnn_width=True"),
        (ConvNet, {"channels": [4, 4, 4]}, r"model.channels=\[4, 4, 4\]: expected 4 numbers"),
        (ConvNet, {"channels": 64}, "model.channels=64: expected 4 numbers"),
        (ConvNet, {"channels": None}, "model.channels=None: expected 4 numbers"),
        (ConvNet, {"channels": "4444"}, "model.channels=4444: expected 4 numbers"),
        (ConvNet, {"channels": [4, 0, 4, 4]}, r"model.channels\[1\]=0"),
        (ConvNet, {"dropout": 1.0}, "model.dropout=1.0: expected a number from 0 up to"),
        (ConvNet, {"dropout": "much"}, "model.dropout=much"),
        (DeepSpeech2, {"n_cnn_layers": 0}, "model.n_cnn_layers=0: .*from 1 to 10"),
        (DeepSpeech2, {"n_cnn_layers": 11}, "model.n_cnn_layers=11: .*from 1 to 10"),
        (DeepSpeech2, {"n_rnn_layers": 0}, "model.n_rnn_layers=0: .*from 1 to 10"),
        (DeepSpeech2, {"n_rnn_layers": 11}, "model.n_rnn_layers=11: .*from 1 to 10"),
        (DeepSpeech2, {"n_channels": 0}, "model.n_channels=0"),
        (DeepSpeech2, {"width": 0}, "model.width=0"),
        (DeepSpeech2, {"dropout": -0.1}, "model.dropout=-0.1"),
        (DeepSpeech2Conv, {"n_rnn_layers": 11}, "model.n_rnn_layers=11: .*from 1 to 10"),
        (DeepSpeech2Conv, {"width": 0}, "model.width=0"),
        (DeepSpeech2Conv, {"dropout": 2}, "model.dropout=2"),
        (CNNGRU, {"n_channels": 0}, "model.n_channels=0"),
        (CNNGRU, {"n_rnn_layers": 11}, "model.n_rnn_layers=11: .*from 1 to 10"),
        (Recurrent, {"kind": "transformer"}, "model.kind=transformer: expected one of gru, lstm"),
        (Recurrent, {"n_stacked": 2}, "model.n_stacked=2: expected at least model.stride=3"),
        (Recurrent, {"stride": 0}, "model.stride=0"),
        (ResNet, {"depth": 101}, "model.depth=101: expected one of 18, 34, 50"),
        (ResNet, {"n_stages": 5}, "model.n_stages=5: .*from 1 to 4"),
        (ResNet, {"kind": "mlp"}, "model.kind=mlp"),
        (ResNet, {"weights": "no.pth"}, "model.weights=no.pth: no such file"),
        (Wav2Letter, {"width": 0}, "model.width=0"),
        (QuartzNet, {"n_blocks": 0}, "model.n_blocks=0"),
        (QuartzNet, {"n_convs": 11}, "model.n_convs=11"),
        (Conformer, {"width": 150}, "model.width=150: expected an even multiple of model.n_heads"),
        (Conformer, {"kernel_size": 32}, "model.kernel_size=32: expected an odd number, .*31"),
        (Conformer, {"n_layers": 0}, "model.n_layers=0"),
        (Causal, {"kind": "bilstm"}, "model.kind=bilstm"),
        (Causal, {"dropout": 1.5}, "model.dropout=1.5"),
    ],
)
def test_keys_that_make_no_model_are_refused_by_name(model, keys, complaint):
    with pytest.raises(UserError, match=complaint):
        model(N_FEATURES, N_TOKENS, **keys)


@pytest.mark.parametrize("n_cnn_layers", range(1, 11))
def test_deepspeech2_has_as_many_layers_as_asked_for(n_cnn_layers):
    n_rnn_layers = 11 - n_cnn_layers
    model = DeepSpeech2(
        N_FEATURES, N_TOKENS, n_cnn_layers, n_rnn_layers, n_channels=2, width=4
    ).eval()
    layers = [type(m) for m in model.modules()]
    assert layers.count(nn.Conv2d) == 1 + 2 * n_cnn_layers
    assert layers.count(nn.GRU) == n_rnn_layers
    assert model(*side_by_side(utterances(9, 4))).log_probs.isfinite().all()


@pytest.mark.parametrize("training", [False, True])
def test_without_padding_convnet_is_a_chain_of_plain_pytorch_layers(training):
    torch.manual_seed(0)
    model = stir(ConvNet(N_FEATURES, N_TOKENS, channels=(3, 4, 5, 6), rnn_width=7)).train(training)
    features, lengths = side_by_side([200 * x for x in utterances(26, 26, 26)])  # some clipped
    x = features[:, None].transpose(2, 3)  # (B, 1, F, T) as in the original
    for block, stride in zip(model.convs, [(2, 2), (2, 2), (2, 1), (2, 1)], strict=True):
        kernel = block.conv.weight.transpose(2, 3)
        x = functional.conv2d(x, kernel, stride=stride, padding=(0, (kernel.shape[3] - 1) // 2))
        x = functional.hardtanh(batch_norm(x, block.norm, training), 0, 20)
    x = x.permute(0, 3, 2, 1).flatten(2)  # (B, T_out, F' · C)
    x = sum(model.rnns[0].rnn(x)[0].chunk(2, dim=-1))
    x = batch_norm(x.transpose(1, 2), model.norms[0], training).transpose(1, 2)
    x = model.head(sum(model.rnns[1].rnn(x)[0].chunk(2, dim=-1)))
    torch.testing.assert_close(
        model(features, lengths).log_probs, x.log_softmax(-1), rtol=1e-4, atol=1e-5
    )


def batch_norm(x, norm, training):
    """PyTorch's own, channels second; copies keep the running statistics out of it."""
    mean, var = norm.running_mean.clone(), norm.running_var.clone()
    return functional.batch_norm(x, mean, var, norm.weight, norm.bias, training)
