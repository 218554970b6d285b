"""Configs: files with slips of the hand, and command lines with values nobody thought of.

A config says what is wanted, so another number can't be told from a wrong one; what is built
must still be a recogniser whose emissions are probabilities.
"""

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra import compose, initialize_config_dir

from src.build import KEYS, build_trainer, check_keys, check_top, plain
from src.build.parts import build_recognizer, build_text
from src.cli import CONFIGS, explain
from src.logger import standard_loggers
from src.utils.errors import UserError
from src.utils.seeding import seed_everything
from tests.datasets.commands.tiny_commands import pack_corpus
from tests.fuzz.mutations import scribbled
from tests.fuzz.pool import expect

TINY = ["model=convnet_small", "model.channels=[4,4,4,4]", "model.rnn_width=8", "device=cpu"]
VALUES = (
    *("null", "0", "1", "-1", "2", "3.5", "-0.5", "1e-9", "1000000000", "99999999999999999999"),
    *("nan", "inf", "-inf", "true", "false", "abc", "''", "[]", "[1]", "[1,2,3,4]", "[a,null]"),
    *("{}", "{a:1}", "{_target_:os.system}", "os.system", "???", "'${seed}'", "'${nowhere}'"),
    *("src.models.ConvNet", "src.models", "src.text.Phonemes", "cpu", "cuda:99", "bf16", "é", "/"),
    *("../..", "'${oc.env:HOME}'", "[[[[]]]]", "{a:{b:{c:[1,{d:e}]}}}", "1e999", "0x10", "1_000"),
)
GROUPS = ("transform", "augment", "text", "model", "decoder", "optimizer", "schedule", "dataset")


class Overrides:
    """`python train.py -cn=convnet KEY=VALUE …`: one to three overrides."""

    name = "overrides"

    def prepare(self, originals: Path) -> None:
        pack_corpus(originals, lengths=(16_000,))
        keys = sorted(_keys(_composed(CONFIGS, TINY)))
        (originals / "keys.txt").write_text("\n".join(keys))

    def mutate(self, originals: Path, case: Path, random: np.random.Generator) -> None:
        keys = (originals / "keys.txt").read_text().splitlines()
        lines = [_override(keys, random) for _ in range(random.integers(1, 4))]
        (case / "overrides.txt").write_text("\n".join(lines))

    def check(self, originals: Path, case: Path) -> None:
        overrides = (case / "overrides.txt").read_text().split("\n")
        _build(CONFIGS, [*_on_tiny_corpus(originals), *overrides], case)


class ConfigFiles:
    """One of the YAML files that a config is composed of."""

    name = "config-files"

    def prepare(self, originals: Path) -> None:
        pack_corpus(originals, lengths=(16_000,))
        shutil.copytree(CONFIGS, originals / "configs")

    def mutate(self, originals: Path, case: Path, random: np.random.Generator) -> None:
        shutil.copytree(originals / "configs", case / "configs")
        choices = _composed(CONFIGS, TINY, return_hydra_config=True).hydra.runtime.choices
        used = [f"{group}/{choices[group]}.yaml" for group in GROUPS]
        paths = [case / "configs" / name for name in [*used, "base.yaml", "convnet.yaml"]]
        path = paths[random.integers(len(paths))]
        path.write_bytes(scribbled(path.read_text(), random))
        (case / "which.txt").write_text(path.name)

    def check(self, originals: Path, case: Path) -> None:
        _build(case / "configs", _on_tiny_corpus(originals), case)


KINDS = [Overrides(), ConfigFiles()]


def _on_tiny_corpus(originals: Path) -> list[str]:
    return [*TINY, f"dataset.path={originals / 'commands.h5'}", "loader.n_workers=0"]


def _composed(configs: Path, overrides: list[str], **how: Any) -> Any:
    with initialize_config_dir(str(configs), version_base="1.3"):
        return compose("convnet", overrides, **how)


def _build(configs: Path, overrides: list[str], case: Path) -> None:
    """What train.py does before the first step, with its way to tell mistakes."""
    logging.disable(logging.WARNING)
    try:
        config = plain(_composed(configs, overrides))
        check_top(config, KEYS, "convnet")
        chance = {key: config[key] for key in ("seed", "deterministic")}
        check_keys(seed_everything, chance, parts=set(), where="")
        log = standard_loggers(case / "run", None)
        try:
            build_trainer(config, case / "run", log)
            recognizer = build_recognizer(config, build_text(config))
        finally:
            log.close()
    except Exception as error:
        told = explain(error)
        if told is None:
            raise
        raise UserError(told) from error
    _check_emissions(recognizer.eval())


@torch.inference_mode()
def _check_emissions(recognizer: Any) -> None:
    waveforms = torch.randn(1, 2 * recognizer.sample_rate, generator=torch.manual_seed(1)) / 10
    emissions = recognizer(waveforms, torch.tensor([waveforms.shape[1]]))
    n_frames = int(emissions.lengths[0])
    expect(n_frames > 0, "no frames")
    sums = emissions.log_probs[0, :n_frames].exp().sum(-1)
    expect(bool((sums - 1).abs().max() < 1e-3), f"probabilities sum to {sums}")


def _keys(node: Any, prefix: str = "") -> Iterator[str]:
    for key in node:
        yield f"{prefix}{key}"
        value = None if node._get_node(key)._is_missing() else node[key]
        if hasattr(value, "keys"):
            yield from _keys(value, f"{prefix}{key}.")


def _override(keys: list[str], random: np.random.Generator) -> str:
    key, value = keys[random.integers(len(keys))], VALUES[random.integers(len(VALUES))]
    roll = random.random()
    if roll < 0.05:
        return f"~{key}"
    if roll < 0.1:
        return f"+{key}x={value}"
    if roll < 0.15:
        return scribbled(f"{key}={value}", random).decode("utf-8", "replace")
    if roll < 0.25:
        group = GROUPS[random.integers(len(GROUPS))]
        choices = sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))
        return f"{group}={choices[random.integers(len(choices))]}"
    return f"{key}={value}"
