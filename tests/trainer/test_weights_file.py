"""Published checkpoints: what they keep, what they round, and that damage is always seen."""

import numpy as np
import pytest
import torch
from safetensors.torch import save

from src.trainer import load_checkpoint
from src.trainer.weights_file import from_published, to_published
from src.utils.errors import UserError
from tests.cli.in_process import untrained


@pytest.fixture(scope="module")
def state(tmp_path_factory) -> dict:
    """A checkpoint with what only training needs beside the rest."""
    state = load_checkpoint(untrained(tmp_path_factory.mktemp("run") / "best.pt"))
    return state | {"optimizer": {"state": torch.zeros(5)}, "progress": {"step": 0}, "step": 7}


def loaded(path, content: bytes) -> dict:
    path.write_bytes(content)
    return load_checkpoint(path)


def test_matrices_are_rounded_vectors_kept_and_what_training_needs_is_left(state, tmp_path):
    published = loaded(tmp_path / "a.safetensors", to_published(state, half=True))
    wanted = {key: state[key] for key in ("format", "config", "symbols", "name", "versions")}
    weights = published.pop("recognizer")
    assert published == wanted | {"step": 7}
    assert weights.keys() == state["recognizer"].keys()
    for name, tensor in state["recognizer"].items():
        rounded = tensor.half().float() if tensor.dim() > 1 else tensor
        assert weights[name].dtype == tensor.dtype and torch.equal(weights[name], rounded), name
    assert any(tensor.dim() == 0 for tensor in weights.values())  # BatchNorm's count of batches


def test_float32_keeps_every_bit(state):
    weights = from_published(to_published(state, half=False))["recognizer"]
    assert all(torch.equal(weights[name], t) for name, t in state["recognizer"].items())


def test_the_same_state_gives_the_same_bytes(state):
    assert to_published(state, half=True) == to_published(state, half=True)


def test_no_damage_goes_unseen(state, tmp_path):
    good = to_published(state, half=True)
    truth = from_published(good)
    random = np.random.default_rng(0)
    places = {*range(12), *random.integers(0, len(good), 40).tolist()}
    places |= set(random.integers(0, 3000, 40).tolist())  # the header
    n_refused = 0
    for place in places:
        content = bytearray(good)
        content[place] ^= 1 << int(random.integers(8))
        try:
            state = loaded(tmp_path / "a.safetensors", bytes(content))
        except UserError as error:
            assert "not a readable checkpoint" in str(error)
            n_refused += 1
            continue
        weights = state.pop("recognizer")
        assert state == {k: v for k, v in truth.items() if k != "recognizer"}
        assert all(torch.equal(weights[n], t) for n, t in truth["recognizer"].items())
    assert n_refused > 70
    for cut in (0, 7, 100, len(good) // 2, len(good) - 1):
        with pytest.raises(UserError, match="not a readable checkpoint"):
            loaded(tmp_path / "a.safetensors", good[:cut])


def changed(state: dict, name: str, value: float) -> dict:
    weights = {key: tensor.clone() for key, tensor in state["recognizer"].items()}
    weights[name].view(-1)[0] = value
    return state | {"recognizer": weights}


def test_what_float16_has_no_number_for_is_refused(state):
    assert to_published(changed(state, "model.head.weight", 65504.0), half=True)
    with pytest.raises(UserError, match=r"head.weight reaches 7e\+04, beyond float16's 65,504"):
        to_published(changed(state, "model.head.weight", -7e4), half=True)
    kept = from_published(to_published(changed(state, "model.head.bias", 1e30), half=True))
    assert kept["recognizer"]["model.head.bias"][0] == 1e30


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("half", [True, False])
def test_a_broken_weight_is_never_published(state, value, half):
    with pytest.raises(UserError, match=r"head.bias holds NaN or infinity"):
        to_published(changed(state, "model.head.bias", value), half=half)


def test_a_file_that_asks_for_a_foreign_call_is_refused(state, tmp_path):
    evil = state | {"config": state["config"] | {"model": {"_target_": "os.system"}}}
    with pytest.raises(UserError, match=r"model\._target_=os\.system: only parts of src"):
        loaded(tmp_path / "a.safetensors", to_published(evil, half=True))


def test_a_file_of_a_newer_format_is_refused(state, tmp_path):
    with pytest.raises(UserError, match="written in format 99"):
        loaded(tmp_path / "a.safetensors", to_published(state | {"format": 99}, half=True))


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"checkpoint": "[]"}])
def test_safetensors_of_others_are_refused(tmp_path, metadata):
    with pytest.raises(UserError, match="not a readable checkpoint"):
        loaded(tmp_path / "a.safetensors", save({"w": torch.zeros(2)}, metadata))
