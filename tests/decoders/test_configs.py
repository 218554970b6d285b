"""The YAML files of configs/decoder spell out every argument and build their decoder."""

import inspect

import pytest
from omegaconf import OmegaConf

from src import decoders
from src.language_models import estimate, write_arpa
from src.text import Vocabulary
from tests.conftest import REPOSITORY
from tests.decoders.brute_force import random_emissions

FILES = sorted((REPOSITORY / "configs" / "decoder").glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_file_names_every_argument_and_builds_a_decoder(path, tmp_path):
    keys = dict(OmegaConf.load(path))
    name = keys.pop("_target_").removeprefix("src.decoders.")
    assert name in decoders.__all__
    decoder_class = getattr(decoders, name)
    assert set(keys) == set(inspect.signature(decoder_class).parameters) - {"vocabulary"}
    if "language_model" in keys:  # the one thing that a user has to name
        assert keys["language_model"] is None
        keys["language_model"] = tmp_path / "tiny.arpa"
        write_arpa(estimate([["a"]], order=1), keys["language_model"])
    [n_best] = decoder_class(vocabulary=Vocabulary(("_", "a")), **keys)(
        random_emissions(0, [6], n_tokens=2)
    )
    assert n_best and isinstance(n_best[0].text, str)
