"""What a `_target_` may name, and what a person hears of a node that can't be built."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

import src.models
from src.build import build, check_keys, check_top, plain
from src.build.targets import OPTIMIZERS, ROOM_OF, find_target
from src.utils.errors import UserError

FOREIGN = [
    "os.system",
    "torch.load",
    "builtins.eval",
    "subprocess.Popen",
    "src.models",  # a room, no name in it
    "src.models.parts.layers.BatchNorm",  # inside a room
    "src.models.convnet.ConvNet",  # not by its public name
    "src.datasets.LibriSpeech",  # another room's
    "src.models.os.system",
    "src..models.ConvNet",
    ".ConvNet",
    "ConvNet",
    "",
]


@pytest.mark.parametrize("name", FOREIGN)
def test_a_model_can_only_be_a_public_name_of_its_room(name):
    with pytest.raises(UserError, match=r"^model\._target_=.*src\.models"):
        build({"_target_": name}, "model")


@pytest.mark.parametrize("name", ["_private", "__all__", "__builtins__", "layers", "torch"])
def test_a_name_that_the_room_does_not_export_is_unknown(name):
    with pytest.raises(
        UserError, match=f"src.models has no {name}; there are .*ConvNet.*DeepSpeech"
    ):
        build({"_target_": f"src.models.{name}"}, "model")


@given(st.text(max_size=30), st.sampled_from(sorted(ROOM_OF)))
def test_whatever_a_target_says_it_is_a_public_name_or_refused(name, part):
    try:
        target = find_target(name, part)
    except UserError:
        return
    assert name.startswith(f"src.{ROOM_OF[part]}.") and callable(target)


@pytest.mark.parametrize("part", sorted(ROOM_OF))
def test_every_public_name_of_a_room_can_be_called(part):
    room = __import__(f"src.{ROOM_OF[part]}", fromlist=["__all__"])
    for name in room.__all__:
        assert callable(find_target(f"src.{ROOM_OF[part]}.{name}", part))


def test_a_nested_target_is_held_to_the_room_of_the_node_around_it():
    inner = {"_target_": "os.system", "command": "true"}
    node = {"_target_": "src.transforms.FrontEnd", "features": inner, "normalise": inner}
    message = r"transform\.features\._target_=os\.system: only parts of src\.transforms"
    with pytest.raises(UserError, match=message):
        build(node, "transform")


def test_nested_targets_are_built_first():
    node = {
        "_target_": "src.transforms.FrontEnd",
        "features": {"_target_": "src.transforms.RawFrames", "sample_rate": 8000, "hop_ms": 20},
        "normalise": {"_target_": "src.transforms.NoNormalisation"},
    }
    front_end = build(node, "transform")
    assert front_end.n_features == 160 and front_end.hop_s == 0.02


def test_a_misspelt_name_hears_of_the_nearest():
    with pytest.raises(UserError, match=r"has no ConvNett; did you mean ConvNet\?"):
        build({"_target_": "src.models.ConvNett"}, "model")


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_an_optimizer_is_one_of_three(name):
    weights = [torch.zeros(2, requires_grad=True)]
    optimizer = build({"_target_": name, "lr": 0.5}, "optimizer", params=weights)
    assert type(optimizer) is OPTIMIZERS[name] and optimizer.param_groups[0]["lr"] == 0.5


@pytest.mark.parametrize("name", ["torch.optim.LBFGS", "os.system", "torch.optim.Adam.__init__"])
def test_no_other_optimizer_is_called(name):
    with pytest.raises(UserError, match=r"expected one of torch\.optim\.AdamW, torch\.optim\.Adam"):
        build({"_target_": name, "lr": 0.5}, "optimizer", params=[])


CONVNET = {
    "_target_": "src.models.ConvNet",
    "channels": [2, 2, 2, 2],
    "rnn_width": 4,
    "n_rnn_layers": 1,
    "dropout": 0.0,
}
WRONG_KEYS = {
    "model.rnn_widht: ConvNet has no such key; did you mean model.rnn_width": {"rnn_widht": 4},
    "model.rnn_width=wide: expected a whole number": {"rnn_width": "wide"},
    "model.rnn_width=4.5: expected a whole number": {"rnn_width": 4.5},
    "model.rnn_width=True: expected a whole number": {"rnn_width": True},
    "model.rnn_width=None: expected a whole number": {"rnn_width": None},
    "model.dropout=some: expected a number": {"dropout": "some"},
}


@pytest.mark.parametrize("message", WRONG_KEYS)
def test_a_key_that_does_not_fit_is_named_with_what_does(message):
    with pytest.raises(UserError, match=message):
        build(CONVNET | WRONG_KEYS[message], "model", n_features=40, n_tokens=5)


def test_a_whole_number_will_do_where_a_number_is_wanted():
    model = build(CONVNET | {"dropout": 0}, "model", n_features=40, n_tokens=5)
    assert isinstance(model, src.models.ConvNet)


def test_a_missing_key_is_named():
    node = {"_target_": "src.trainer.Noam"}
    with pytest.raises(UserError, match=r"schedule: Noam also needs warmup_steps\."):
        build(node, "schedule")


def test_a_part_from_elsewhere_is_not_offered_as_a_key():
    with pytest.raises(UserError, match="n_feature: ConvNet has no such key") as raised:
        build(CONVNET | {"n_feature": 3}, "model", n_features=40, n_tokens=5)
    assert "n_features" not in str(raised.value)


@pytest.mark.parametrize("node", [3, "none", None, ["a"]])
def test_a_value_where_a_node_belongs_is_refused(node):
    with pytest.raises(UserError, match=r"^model=.*: expected keys with a _target_"):
        build(node, "model")


@pytest.mark.parametrize("value", ["none", 3, {"per_bin": True}])
def test_a_value_where_a_part_belongs_is_refused(value):
    features = {"_target_": "src.transforms.RawFrames"}
    node = {"_target_": "src.transforms.FrontEnd", "features": features, "normalise": value}
    with pytest.raises(UserError, match=r"transform\.normalise=.*: expected keys with a _target_"):
        build(node, "transform")


def test_a_target_that_was_left_out_is_told():
    with pytest.raises(UserError, match=r"model\._target_=None: only parts of src\.models"):
        build({"channels": [1]}, "model")


def test_keys_of_the_config_itself_are_named_without_a_dot():
    def seed_everything(seed: int) -> None: ...

    with pytest.raises(UserError, match=r"^seed=x: expected a whole number"):
        check_keys(seed_everything, {"seed": "x"}, set(), "")


@pytest.mark.parametrize("content", [{"name": "???"}, {"name": "???", "run_dir": "saved/${name}"}])
def test_a_mandatory_value_that_was_left_out_is_named(content):
    with pytest.raises(UserError, match=r"name: was left out; give it a value with name=…"):
        plain(OmegaConf.create(content))


def test_interpolations_are_resolved_and_lists_become_lists():
    config = OmegaConf.create({"a": 3, "b": {"c": "${a}", "d": [1, "${b.c}"]}})
    assert plain(config) == {"a": 3, "b": {"c": 3, "d": [1, 3]}}


def test_a_key_at_the_top_that_nothing_reads_is_refused():
    with pytest.raises(UserError, match=r"^modle: nothing reads this key; did you mean model\?"):
        check_top({"model": 1, "modle": 2}, ["model"], "convnet")


def test_a_config_without_what_is_read_names_one_that_has_it():
    with pytest.raises(UserError, match=r"has no text, logger; choose one .* such as -cn=convnet"):
        check_top({"model": 1}, ["model", "text", "logger"], "convnet")
