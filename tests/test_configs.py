"""The files in configs/: each composes, each key is read by something, each promise holds."""

import re
import shlex
from dataclasses import fields
from itertools import product
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from src.build import KEYS, build, build_text, check_keys, check_top
from src.build.inference import KEYS as INFERENCE_KEYS
from src.build.targets import find_target, parameters_of
from src.build.training import BUILT, READING
from src.cli import CONFIGS
from src.datasets import Batches, make_loader
from src.trainer import Settings
from tests.build.configs import composed

TRAINING = (
    *("convnet", "lstm", "deepspeech2", "whisper", "wav2vec2", "labelled", "quickstart"),
    *("few_hours", "librispeech_100", "librispeech_960", "speech_commands_v2", "commands_whisper"),
    "commands_small",
)
INFERENCE = ("inference", "inference_other")
GROUPS = sorted(path.name for path in CONFIGS.iterdir() if path.is_dir())
CHOICES = {g: sorted(p.stem for p in (CONFIGS / g).glob("*.yaml")) for g in GROUPS}
ALL_CHOICES = [f"{group}={name}" for group in GROUPS for name in CHOICES[group]]
FILES = sorted(CONFIGS.rglob("*.yaml"))

# Groups of which training configs once changed keys that only some choices have.
SOME_CHOICES = [c for c in ALL_CHOICES if c.split("=")[0] in ("augment", "transform")]

# What build hands to a constructor beside the keys of its node.
HANDED = {
    "dataset": {"text"},
    "model": {"n_features", "n_tokens"},
    "decoder": {"vocabulary"},
    "optimizer": {"params"},
    "logger": {"run_dir"},
}
NODES = ("transform", "augment", "text", "model", "decoder", "optimizer", "schedule", "logger")
SPLITS = ("train", "validation", "test")


def nodes_of(config: dict, groups: tuple[str, ...]) -> dict[str, dict]:
    """Where → node, for everything in a config that has a target, inner ones included."""
    found = {group: config[group] for group in groups}
    found |= {f"dataset.{split}": config["dataset"][split] for split in SPLITS}
    queue = list(found.items())
    while queue:
        where, node = queue.pop()
        inner = {f"{where}.{k}": v for k, v in node.items() if isinstance(v, dict)}
        found |= inner
        queue += inner.items()
    return found


def hold_node(node: dict, where: str) -> None:
    """Its target is there and takes its keys, as `build` would find; builds what is within."""
    target = find_target(node["_target_"], where)
    keys = {k: v for k, v in node.items() if k != "_target_"}
    keys = {k: build(v, f"{where}.{k}") if isinstance(v, dict) else v for k, v in keys.items()}
    check_keys(target, keys, HANDED.get(where.split(".")[0], set()), where)


def hold_training_config(config: dict) -> None:
    """Every key is one that something reads."""
    check_top(config, KEYS, "convnet")
    check_keys(Settings, config["trainer"], set(), "trainer")
    loader = dict(config["loader"])
    assert loader.pop("cache") is None
    reading = {key: loader.pop(key) for key in READING}
    check_keys(Batches, loader, {"durations_s", "shuffle", "seed"}, "loader")
    check_keys(make_loader, reading, BUILT, "loader")
    for where, node in nodes_of(config, NODES).items():
        hold_node(node, where)


def test_there_is_a_config_for_each_training_and_reading_that_is_promised():
    tops = {path.stem for path in CONFIGS.glob("*.yaml")}
    assert tops == {"base", *TRAINING, *INFERENCE}


@pytest.mark.parametrize("name", TRAINING)
def test_every_training_config_holds_nothing_that_is_not_read(name):
    hold_training_config(composed(name))


@pytest.mark.parametrize(
    ("name", "choice"), [*product(["convnet"], ALL_CHOICES), *product(["quickstart"], SOME_CHOICES)]
)
def test_every_choice_of_every_group_fits_into_a_training_config(name, choice):
    hold_training_config(composed(name, choice))


@pytest.mark.parametrize("name", TRAINING)
def test_one_batch_of_every_training_config_is_learnt_without_disturbance(name):
    config = composed(name, "experiment=one_batch")
    hold_training_config(config)
    assert config["dataset"]["train"]["limit"] == config["loader"]["batch_size"] == 8
    assert config["dataset"]["validation"] == config["dataset"]["train"]
    assert config["augment"] == {"_target_": "src.transforms.Identity"}
    assert config["schedule"] == {"_target_": "src.trainer.Constant", "warmup_steps": 0}
    assert config["optimizer"]["weight_decay"] == 0


@pytest.mark.parametrize(
    ("name", "dataset", "decoder"),
    [
        *product(["inference"], CHOICES["dataset"], CHOICES["decoder"]),
        ("inference_other", "librispeech", "beam"),
    ],
)
def test_every_reading_of_every_corpus_holds_nothing_that_is_not_read(name, dataset, decoder):
    config = composed(name, f"dataset={dataset}", f"decoder={decoder}")
    check_top(config, INFERENCE_KEYS, "inference")
    loader = dict(config["loader"])
    limits = {key: loader.pop(key) for key in ("batch_size", "max_batch_s")}
    check_keys(Batches, limits, {"durations_s", "shuffle"}, "loader")
    check_keys(make_loader, loader, BUILT, "loader")
    for where, node in nodes_of(config, ("decoder",)).items():
        hold_node(node, where)


def test_the_two_readings_are_of_the_two_test_parts():
    assert composed("inference")["dataset"]["test"]["parts"] == ["test-clean"]
    assert composed("inference_other")["dataset"]["test"]["parts"] == ["test-other"]


@pytest.mark.parametrize("choice", CHOICES["dataset"])
def test_what_a_dataset_says_once_is_passed_on_to_its_parts(choice):
    text = (CONFIGS / "dataset" / f"{choice}.yaml").read_text(encoding="utf-8")
    keys = set(OmegaConf.load(CONFIGS / "dataset" / f"{choice}.yaml")) - set(SPLITS)
    passed_on = set(re.findall(r"\$\{dataset\.(\w+)\}", text))
    assert keys == passed_on


SPELT_OUT = [c for c in ALL_CHOICES if c.split("=")[0] in {*NODES, "dataset"} - {"optimizer"}]


@pytest.mark.parametrize("choice", SPELT_OUT)
def test_a_node_spells_out_every_argument(choice):
    group = choice.split("=")[0]
    nodes = nodes_of(composed("convnet", choice), () if group == "dataset" else (group,))
    for where, node in nodes.items():
        if where.split(".")[0] == group:
            parameters = parameters_of(find_target(node["_target_"], where)).values()
            if any(p.kind is p.VAR_KEYWORD for p in parameters):  # steps by any name
                node = {key: value for key, value in node.items() if not isinstance(value, dict)}
            named = {p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
            assert named - HANDED.get(group, set()) == set(node) - {"_target_"}, where


def test_the_trainers_defaults_are_all_of_its_settings():
    keys = set(OmegaConf.load(CONFIGS / "trainer/default.yaml"))
    assert keys == {field.name for field in fields(Settings)}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(CONFIGS)))
def test_every_file_begins_by_saying_what_one_gets(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    said = [line for line in lines[:6] if line.startswith("# ") and "@package" not in line]
    assert said and len(said[0]) > 15


@pytest.mark.parametrize("name", ["convnet", "lstm", "deepspeech2"])
def test_the_number_of_weights_that_headers_and_help_tell_is_right(name):
    config = composed(name)
    front_end = build(config["transform"], "transform")
    with torch.device("meta"):  # shapes without memory
        model = build(
            config["model"],
            "model",
            n_features=front_end.n_features,
            n_tokens=len(build_text(config).vocabulary),
        )
    weights = f"{sum(p.numel() for p in model.parameters()) / 1e6:.1f} M weights"
    assert weights in (CONFIGS / f"{name}.yaml").read_text(encoding="utf-8")
    helped = (CONFIGS / "base.yaml").read_text(encoding="utf-8")
    assert re.search(rf"-cn={name} +{re.escape(weights)}", helped)


def commands_in(path: Path) -> list[str]:
    """Lines of a YAML file that show how to call train.py or inference.py, without remarks."""
    pattern = r"^[# ]*python ((?:train|inference)\.py .*?)(?:\s{2,}|$)"
    return re.findall(pattern, path.read_text(encoding="utf-8"), re.MULTILINE)


SHOWN = sorted({command for path in FILES for command in commands_in(path)})


@pytest.mark.parametrize("command", SHOWN)
def test_every_command_that_a_config_shows_composes(command):
    entry, *words = shlex.split(command.replace("…", "run"))
    words = [word for word in words if word not in ("--help", "--multirun")]
    words = [word.split(",")[0] if word.startswith("seed=") else word for word in words]
    named = [word.removeprefix("-cn=") for word in words if word.startswith("-cn=")]
    default = "quickstart" if entry == "train.py" else "inference"
    overrides = [word for word in words if not word.startswith("-cn=")]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        compose((named or [default])[0], overrides)


def test_librispeech_validates_on_another_part_as_its_header_says():
    header = (CONFIGS / "dataset/librispeech.yaml").read_text(encoding="utf-8").split("\nroot:")[0]
    line = next(line for line in header.splitlines() if "dev-clean]" in line)
    dataset = composed("deepspeech2", *shlex.split(line.lstrip("# ")))["dataset"]
    assert dataset["validation"]["parts"] == ["dev-clean"]
    assert dataset["validation"]["speakers"] == dataset["train"]["speakers"] == "all"
