"""The sizes of the models this project unites, worked out by hand.

Per direction an LSTM from n to h has 4·h·(n + h) weights and 2·4·h biases, a GRU 3·h·(n + h)
and 2·3·h. BatchNorm and LayerNorm have 2 values a channel or bin.
"""

import pytest
import torch
from omegaconf import OmegaConf

import src.models
from src.build.targets import parameters_of
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
CNN_GRU = (
    32 * 7 * 15 + 64 * 32 * 5 * 9 + 64 * 64 * 3 * 5 + 2 * (32 + 64 + 64)  # convolutions, BatchNorms
    + 2 * (3 * 384 * (17 * 64 + 384) + 6 * 384)  # 201 bins become 67, 34, 17
    + 3 * (2 * 768 + 2 * (3 * 384 * (768 + 384) + 6 * 384))
    + 768 * 29 + 29
)  # fmt: skip
RECURRENT = (
    2 * (4 * 384 * (3 * 80 + 384) + 8 * 384)  # the first LSTM hears three frames
    + 3 * 2 * (4 * 384 * (768 + 384) + 8 * 384) + 4 * 2 * 768  # LSTMs, LayerNorms
    + 768 * 29 + 29
)  # fmt: skip
RESNET_RNN = (  # behind the trunk and its linear layer
    2 * 384 + 2 * (3 * 384 * (384 + 384) + 6 * 384)
    + 2 * (2 * 768 + 2 * (3 * 384 * (768 + 384) + 6 * 384))
    + 768 * 29 + 29
)  # fmt: skip
# torchvision publishes 11,689,512, 21,797,672 and 25,557,032 for whole networks. Their last stage
# has blocks of 512 channels at the end of 256 (2,048 of 1,024), their head 1,000 classes.
RESNET18 = (
    11_689_512 - (512 * 1000 + 1000)
    - (512 * 256 * 9 + 3 * 512 * 512 * 9 + 512 * 256 + 5 * 2 * 512)
    + 5 * 256 * 384 + 384 + RESNET_RNN  # 80 bins become 5
)  # fmt: skip
RESNET34 = (
    21_797_672 - (512 * 1000 + 1000)
    - (512 * 256 * 9 + 5 * 512 * 512 * 9 + 512 * 256 + 7 * 2 * 512)
    + 5 * 256 * 384 + 384 + RESNET_RNN
)  # fmt: skip
RESNET50 = (
    25_557_032 - (2048 * 1000 + 1000)
    - (1024 * 512 + 512 * 512 * 9 + 512 * 2048 + 1024 * 2048 + 4 * 512 + 2 * 2 * 2048)
    - 2 * (2048 * 512 + 512 * 512 * 9 + 512 * 2048 + 4 * 512 + 2 * 2048)
    + 5 * 1024 * 384 + 384 + RESNET_RNN
)  # fmt: skip
WAV2LETTER = (
    250 * 40 * 48 + 7 * 250 * 250 * 7 + 2000 * 250 * 32 + 2000 * 2000  # kernels
    + 8 * 250 + 2 * 2000 + 2000 * 29 + 29
)  # fmt: skip


def quartznet(n_blocks: int) -> int:
    """Five groups of blocks: kernel, channels before and after the first of them."""
    total = 64 * 33 + 64 * 256 + 2 * 256
    groups = ((33, 256, 256), (39, 256, 256), (51, 256, 512), (63, 512, 512), (75, 512, 512))
    for kernel, before, n in groups:
        first = before * kernel + before * n + before * n  # and the shortcut
        total += first + 4 * (n * kernel + n * n) + 6 * 2 * n
        total += (n_blocks - 1) * (5 * (n * kernel + n * n) + n * n + 6 * 2 * n)
    total += 512 * 87 + 512 * 512 + 2 * 512 + 512 * 1024 + 2 * 1024
    return total + 1024 * 29 + 29


def conformer(d: int) -> int:
    """Weights of the encoder with 16 blocks, which is what the paper gives names to.

    The paper's 10.3 and 30.7 million have an LSTM decoder and a joint network besides.
    """
    feed_forward = 2 * 4 * d * d + 5 * d + 2 * d
    attention = 5 * d * d + 4 * d + 2 * d + 2 * d  # with distances, u and v, LayerNorm
    convolution = 2 * d * d + 2 * d + 31 * d + d + d * d + d + 2 * 2 * d
    block = 2 * feed_forward + attention + convolution + 2 * d
    subsampling = 9 * d + d + 9 * d * d + d + 20 * d * d + d
    return subsampling + 16 * block + d * 29 + 29


CAUSAL = (
    32 * 9 + 32 + 32 * 32 * 9 + 32 + 20 * 32 * 640 + 640  # convolutions; 80 bins become 20
    + 4 * (2 * 640 + 3 * 640 * (640 + 640) + 6 * 640) + 640 * 29 + 29
)  # fmt: skip


MLP = 15 * 80 * 512 + 512 + 2 * (512 * 512 + 512) + 512 * 29 + 29


@pytest.mark.parametrize(
    ("name", "n_features", "n_tokens", "by_hand"),
    [
        ("mlp", 80, 29, MLP),
        ("cnn_gru", 201, 29, CNN_GRU),
        ("recurrent", 80, 29, RECURRENT),
        ("resnet18", 80, 29, RESNET18),
        ("resnet34", 80, 29, RESNET34),
        ("resnet50", 80, 29, RESNET50),
        ("wav2letter", 40, 29, WAV2LETTER),
        ("quartznet5x5", 64, 29, quartznet(1)),
        ("quartznet10x5", 64, 29, quartznet(2)),
        ("conformer_s", 80, 29, conformer(144)),
        ("conformer_m", 80, 29, conformer(256)),
        ("causal", 80, 29, CAUSAL),
    ],
)
def test_each_model_has_the_number_of_parameters_worked_out_and_that_its_header_tells(
    name, n_features, n_tokens, by_hand
):
    config = next(path for path in CONFIGS if path.stem == name)
    with torch.device("meta"):
        n = n_parameters(build(config, n_features, n_tokens))
    assert n == by_hand
    header = " ".join(config.read_text(encoding="utf-8").split("_target_")[0].split())
    told = f"{n / 1e6:.1f} million weights"
    assert told in header.replace("# ", "")


@pytest.mark.parametrize(("n_blocks", "published"), [(1, 6.7), (2, 12.8), (3, 18.9)])
def test_quartznet_has_the_millions_of_parameters_that_its_paper_tells(n_blocks, published):
    assert round(quartznet(n_blocks) / 1e6, 1) == published


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
    assert set(keys) == set(parameters_of(model)) - {"n_features", "n_tokens"}


def n_parameters(model) -> int:
    return sum(p.numel() for p in model.parameters())
