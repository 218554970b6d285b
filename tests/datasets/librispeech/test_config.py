"""configs/dataset/librispeech.yaml: complete, and honest about who is held out."""

import inspect

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from src.datasets import LibriSpeech
from src.text import Characters
from tests.conftest import REPOSITORY


def dataset_config(*overrides: str) -> dict:
    with initialize_config_dir(str(REPOSITORY / "configs"), version_base=None):
        config = compose(overrides=["+dataset=librispeech", *overrides])
    return OmegaConf.to_container(config.dataset, resolve=True)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_node_spells_out_every_argument_but_the_text(split):
    node = dataset_config()[split]
    assert node.pop("_target_") == "src.datasets.LibriSpeech"
    assert node.keys() == set(inspect.signature(LibriSpeech).parameters) - {"text"}


def test_scores_are_taken_on_every_utterance():
    for split in ("validation", "test"):
        node = dataset_config()[split]
        assert node["min_duration_s"] == 0
        assert [node[key] for key in ("max_duration_s", "max_text_length", "limit")] == [None] * 3


def test_nothing_is_downloaded_by_default():
    assert not any(dataset_config()[split]["download"] for split in ("train", "validation", "test"))


def test_dev_clean_can_take_the_place_of_held_out_speakers():
    config = dataset_config(
        "dataset.validation.parts=[dev-clean]",
        "dataset.validation.speakers=all",
        "dataset.train.speakers=all",
    )
    assert (config["train"]["parts"], config["train"]["speakers"]) == (["train-clean-100"], "all")
    assert (config["validation"]["parts"], config["test"]["parts"]) == (
        ["dev-clean"],
        ["test-clean"],
    )


def test_no_speaker_of_real_speech_is_in_two_nodes(shared_data, tmp_path):
    config = dataset_config(
        f"dataset.root={shared_data}",
        f"dataset.index_dir={tmp_path}",
        "dataset.validation_share=0.2",
        "dataset.train.max_duration_s=null",
    )
    speakers = []
    for split in ("train", "validation", "test"):
        node = {key: value for key, value in config[split].items() if key != "_target_"}
        ids = LibriSpeech(**node, text=Characters()).ids
        speakers.append({name.split("-")[0] for name in ids})
    train, validation, test = speakers
    assert len(train | validation | test) == len(train) + len(validation) + len(test)
    assert (len(train) + len(validation), len(validation), len(test)) == (251, 51, 8)
