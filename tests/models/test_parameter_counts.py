"""The sizes of the models this project unites, worked out by hand.

Per direction an LSTM from n to h has 4·h·(n + h) weights and 2·4·h biases, a GRU 3·h·(n + h)
and 2·3·h. BatchNorm and LayerNorm have 2 values a channel or bin.
"""

from inspect import signature

import pytest
from omegaconf import OmegaConf

import src.models
from tests.models.zoo import CONFIGS, build, every_config

CONVNET = (
    64 * 25 + 128 * 64 * 25 + 256 * 128 * 9 + 512 * 256 * 9  # convolutions without bias
    + 2 * (64 + 128 + 256 + 512)  # their BatchNorms
    + 2 * (4 * 512 * (3 * 512 + 512) + 8 * 512)  # LSTM; 70 bins become 33, 15, 7, 3
    + 2 * 512 + 2 * (4 * 512 * (512 + 512) + 8 * 512)  # BatchNorm and LSTM
    + 512 * 46 + 46  # head
)  # fmt: skip
LSTM = CONVNET + 2 * 512 + 2 * (4 * 512 * (512 + 512) + 8 * 512)  # one more of these
DEEPSPEECH2 = (
    32 * 9 + 32  # first convolution
    + 3 * 2 * (2 * 64 + 32 * 32 * 9 + 32)  # residual blocks; 128 bins become 64
    + 32 * 64 * 512 + 512  # to the first GRU
    + 2 * 512 + 2 * (3 * 512 * (512 + 512) + 6 * 512)  # LayerNorm and GRU
    + 4 * (2 * 1024 + 2 * (3 * 512 * (1024 + 512) + 6 * 512))  # four on both directions
    + 1024 * 512 + 512 + 512 * 29 + 29  # head
)  # fmt: skip
DEEPSPEECH2_CONV = (
    32 * 11 * 41 + 96 * 32 * 11 * 21 + 96 * 96 * 11 * 21  # convolutions without bias
    + 2 * (32 + 96 + 96)  # their BatchNorms
    + 2 * 1536 + 2 * (3 * 512 * (1536 + 512) + 6 * 512)  # 128 bins become 16 of 96 channels
    + 6 * (2 * 512 + 2 * (3 * 512 * (512 + 512) + 6 * 512))  # six more BatchNorms and GRUs
    + 2 * 512 + 512 * 28 + 28  # last BatchNorm and head
)  # fmt: skip
WHISPER_TINY = (
    80 * 384 * 3 + 384 + 384 * 384 * 3 + 384  # convolutions
    + 4 * (4 * 384 * 384 + 3 * 384)  # attentions, whose keys have no bias
    + 4 * (2 * 4 * 384 * 384 + 5 * 384 + 2 * 2 * 384)  # MLPs and LayerNorms
    + 2 * 384 + 384 * 29 + 29  # last LayerNorm and head
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "n_features", "n_tokens", "by_hand", "published"),
    [
        ("convnet", 70, 46, CONVNET, 14_306_798),
        ("lstm", 70, 46, LSTM, 18_510_318),
        ("deepspeech2", 128, 29, DEEPSPEECH2, 23_705_373),
        ("deepspeech2_conv", 128, 28, DEEPSPEECH2_CONV, 28_086_844),
        ("whisper_tiny", 80, 29, WHISPER_TINY, 7_632_384 + 384 * 29 + 29),
    ],
)
def test_each_model_has_the_published_number_of_parameters(
    name, n_features, n_tokens, by_hand, published
):
    config = next(path for path in CONFIGS if path.stem == name)
    assert n_parameters(build(config, n_features, n_tokens)) == by_hand == published


def test_the_small_convnet_stays_below_a_million_parameters():
    config = next(path for path in CONFIGS if path.stem == "convnet_small")
    assert n_parameters(build(config, 70, 46)) < 1_000_000


@every_config
def test_the_yaml_spells_out_every_key_of_its_model(config):
    """So that a default in code is never what decides."""
    keys = OmegaConf.to_container(OmegaConf.load(config))
    model = getattr(src.models, keys.pop("_target_").rsplit(".", 1)[1])
    assert set(keys) == set(signature(model).parameters) - {"n_features", "n_tokens"}


def n_parameters(model) -> int:
    return sum(p.numel() for p in model.parameters())
