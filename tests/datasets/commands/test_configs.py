"""The YAML files say what the constructors take."""

import inspect

import pytest
import yaml

from src.datasets import SpeechCommands, SpeechCommandsCSR
from tests.conftest import REPOSITORY


@pytest.mark.parametrize(
    ("name", "dataset"),
    [("speech_commands", SpeechCommands), ("speech_commands_csr", SpeechCommandsCSR)],
)
def test_a_config_spells_out_every_argument_but_the_text(name, dataset):
    config = yaml.safe_load((REPOSITORY / f"configs/dataset/{name}.yaml").read_text())
    arguments = set(inspect.signature(dataset).parameters) - {"text"}
    for split in ("train", "validation", "test"):
        node = config[split]
        assert node.pop("_target_") == f"src.datasets.{dataset.__name__}"
        assert node["split"] == split
        assert node.keys() == arguments
