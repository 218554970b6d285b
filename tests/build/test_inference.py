"""A checkpoint may come from a stranger: what it asks for is checked before anything is called."""

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch

import src.utils.published
from src.build import build_inference, build_recognizer, build_text, load_recognizer
from src.build.inference import LongestFirst, pick_n_decoders
from src.build.training import describe
from src.trainer import save_checkpoint
from src.utils.errors import UserError
from tests.build.configs import composed, tiny


@pytest.fixture(scope="module")
def good() -> dict:
    """The state of a checkpoint with valid weights."""
    config = tiny()
    text = build_text(config)
    recognizer = build_recognizer(config, text)
    return describe(config, text) | {"step": 1, "recognizer": recognizer.state_dict()}


def saved(folder: Path, state: dict) -> Path:
    save_checkpoint(folder / "a.pt", state)
    return folder / "a.pt"


def changed(state: dict, key: str, value: object) -> dict:
    """A copy with the dotted `key` of its config set to `value`."""
    state = deepcopy(state)
    *outer, last = key.split(".")
    node = state["config"]
    for name in outer:
        node = node[name]
    node[last] = value
    return state


def test_what_was_trained_is_what_comes_back(good, tmp_path):
    text, recognizer, state = load_recognizer(saved(tmp_path, good))
    assert list(text.vocabulary.symbols) == good["symbols"] and state["step"] == 1
    assert not recognizer.training
    for name, tensor in recognizer.state_dict().items():
        assert torch.equal(tensor, good["recognizer"][name])


@pytest.mark.parametrize("part", ["text", "transform", "transform.features", "model"])
@pytest.mark.parametrize("target", ["os.system", "torch.optim.SGD", "src.utils.files.write_json"])
def test_a_checkpoint_that_asks_for_a_foreign_call_is_refused(good, tmp_path, part, target):
    victim = tmp_path / "was_called"
    evil = {"_target_": target, "command": f"touch {victim}", "path": str(victim), "value": 1}
    file = saved(tmp_path, changed(good, part, evil))
    with pytest.raises(UserError, match=rf"{part}\._target_={target}: only parts of src\."):
        load_recognizer(file)
    assert not victim.exists()


def test_a_call_hidden_in_a_key_of_a_part_is_refused(good, tmp_path):
    victim = tmp_path / "was_called"
    evil = {"_target_": "os.system", "command": f"touch {victim}"}
    file = saved(tmp_path, changed(good, "model.dropout", evil))
    with pytest.raises(UserError, match=r"model\.dropout\._target_=os\.system: only parts"):
        load_recognizer(file)
    assert not victim.exists()


BROKEN = {
    "model": ("words", "model=words: expected keys with a _target_"),
    "model.rnn_width": (10**9, r"model\.rnn_width=1000000000: expected a whole number"),
    "model.layers": (3, r"model\.layers: ConvNet has no such key"),
    "transform.features.n_mels": (40, "holds the weights of another model or front end"),
    "text.dictionary": ("cmu", "vocabulary of 46 symbols .* this config has 41"),
}


@pytest.mark.parametrize("key", BROKEN)
def test_a_checkpoint_whose_parts_do_not_fit_is_refused_in_a_sentence(good, tmp_path, key):
    value, message = BROKEN[key]
    with pytest.raises(UserError, match=message):
        load_recognizer(saved(tmp_path, changed(good, key, value)))


@pytest.mark.parametrize("lacking", ["config", "symbols", "recognizer"])
def test_a_checkpoint_that_lacks_something_names_it(good, tmp_path, lacking):
    state = {key: value for key, value in good.items() if key != lacking}
    with pytest.raises(UserError, match=f"lacks .*{lacking}.*not written by train.py"):
        load_recognizer(saved(tmp_path, state))


@pytest.mark.parametrize("weights", [{}, {"model.x": torch.zeros(1)}, "weights", None])
def test_a_checkpoint_without_the_weights_of_its_model_is_refused(good, tmp_path, weights):
    with pytest.raises(UserError, match="holds the weights of another model or front end"):
        load_recognizer(saved(tmp_path, good | {"recognizer": weights}))


@pytest.mark.parametrize("config", [{}, {"text": {}}, "text transform model", [], None])
def test_a_checkpoint_with_half_a_config_is_refused(good, tmp_path, config):
    with pytest.raises(UserError, match=r"a\.pt: the checkpoint lacks config"):
        load_recognizer(saved(tmp_path, good | {"config": config}))


def test_a_training_config_is_no_inference_config():
    with pytest.raises(UserError, match=r"no checkpoint, .*choose one .* such as -cn=inference"):
        build_inference(composed("convnet"), "speech_commands")


def test_without_a_checkpoint_the_commands_that_get_one_are_named(tmp_path, monkeypatch):
    registry = tmp_path / "registry.yaml"
    registry.write_text("default: null\nmodels: {}\n")
    monkeypatch.setattr(src.utils.published, "REGISTRY", registry)
    with pytest.raises(UserError, match=r"make quickstart.*download_model\.py --list"):
        build_inference(composed("inference"), "librispeech")


def test_the_longest_are_read_first_and_what_exceeds_the_cap_comes_alone():
    durations_s = np.array([2.0, 30.0, 5.0, 4.0, 6.0, 5.0], np.float32)
    batches = LongestFirst(durations_s, batch_size=None, max_batch_s=12.0)
    assert list(batches) == [[1], [4, 2], [5, 3], [0]]  # 30; 2 × 6; 2 × 5, not 3; 2
    assert len(batches) == 4
    assert list(LongestFirst(durations_s, batch_size=4)) == [[1, 4, 2, 5], [3, 0]]


def test_a_cpu_is_left_to_the_model_unless_decoders_are_asked_for():
    assert pick_n_decoders(None, "cpu") == 0
    assert 1 <= pick_n_decoders(None, "cuda") <= 8
    assert pick_n_decoders(3, "cpu") == 3 and pick_n_decoders(0, "cuda") == 0
