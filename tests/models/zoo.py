"""Every model of configs/model, as it stands and with narrow layers; what a batch looks like."""

from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

import src.models

CONFIGS = sorted((Path(__file__).resolve().parents[2] / "configs" / "model").glob("*.yaml"))
N_FEATURES = 40
N_TOKENS = 7

# Width is nothing these tests look at. A config without one of these keys keeps its own.
NARROW = {"channels": [3, 4, 5, 6], "rnn_width": 6, "n_channels": 3, "width": 6}
NARROW |= {"n_context": 40}  # an MLP that hears whole utterances of these tests
NARROW |= {"n_heads": 2, "n_layers": 2, "n_convs": 2}  # nor do these, of which there are many
NARROW |= {"n_tuned_layers": None}  # what is frozen can't show that padding is never heard

every_config = pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)


def build(config: Path, n_features: int = N_FEATURES, n_tokens: int = N_TOKENS, **keys):
    """The model of a YAML file; `keys` replace those of its keys that it has."""
    arguments = OmegaConf.to_container(OmegaConf.load(config))
    module, name = arguments.pop("_target_").rsplit(".", 1)
    assert module == "src.models" and name in src.models.__all__
    arguments |= {key: value for key, value in keys.items() if key in arguments}
    return getattr(src.models, name)(n_features=n_features, n_tokens=n_tokens, **arguments)


def narrow(config: Path, **keys) -> nn.Module:
    """A small model of the same architecture in evaluation mode, its values all in use."""
    torch.manual_seed(1)
    model = build(config, **(NARROW | keys)).eval()
    return stir(model)


def stir(model: nn.Module) -> nn.Module:
    """Move zero biases, unit scales and fresh running statistics to where training takes them."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.ndim == 1 and tensor.is_floating_point():
                tensor += 0.5 * torch.rand(tensor.shape, generator=generator)
    return model


def utterances(*lengths: int, n_features: int = N_FEATURES, seed: int = 0) -> list[Tensor]:
    """Features (T, F) of utterances with these lengths."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, n_features, generator=generator) for n in lengths]


def side_by_side(
    features: list[Tensor], extra_frames: int = 0, filling: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Utterances (T, F) as (B, T, F) with `filling` in the padding, and their lengths (B,)."""
    lengths = torch.tensor([len(x) for x in features])
    shape = (len(features), int(lengths.max()) + extra_frames, features[0].shape[1])
    batch = torch.full(shape, filling)
    for row, x in zip(batch, features, strict=True):
        row[: len(x)] = x
    return batch, lengths
