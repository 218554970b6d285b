"""Configs as the commands compose them, with a model that costs nothing."""

from typing import Any

from hydra import compose, initialize_config_dir

from src.build import plain
from src.cli import CONFIGS

TINY = ["model=convnet_small", "model.channels=[4,4,4,4]", "model.rnn_width=8"]


def composed(name: str, *overrides: str) -> dict[str, Any]:
    """configs/NAME.yaml with overrides, resolved."""
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return plain(compose(name, list(overrides)))


def tiny(*overrides: str) -> dict[str, Any]:
    """The convnet config with a model of a few thousand weights."""
    return composed("convnet", *TINY, "device=cpu", "loader.n_workers=0", *overrides)
