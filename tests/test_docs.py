"""Commands in README and docs would run: scripts, options, configs and values exist."""

import importlib
import re
import shlex
from itertools import product

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser

from tests.pages import CONFIGS, ROOT, commands

PACKAGES = ("scripts.", "tests.", "venv")  # of what `python -m` runs
ENTRIES = {"train.py": "quickstart", "inference.py": "inference"}  # and their own config


def calls_of(program: str) -> list:
    """Test parameters: arguments of each command that begins with these words."""
    head = program.split()
    return [
        pytest.param(words[len(head) :], id=f"{page}: {shlex.join(words)}")
        for page, words in commands()
        if words[: len(head)] == head
    ]


def test_the_guides_hold_enough_commands_and_none_is_left_unchecked():
    known = ("python", "make", "pip", "source", "wandb", "tensorboard", "lscpu")
    seen = [words for _, words in commands()]
    assert {words[0] for words in seen} <= set(known)
    python = [words for words in seen if words[0] == "python"]
    assert len(python) >= 45, f"only {len(python)} python commands were found"
    for words in python:
        target = words[1:3] if words[1] == "-m" else words[1:2]
        checked = target[0] in (*ENTRIES, "calc_wer_cer.py", "download_model.py")
        checked = checked or (target[0] == "-m" and target[1].startswith(PACKAGES))
        assert checked, shlex.join(words)


def overrides(words: list[str], default: str) -> tuple[str, list[str], bool]:
    """Config name, overrides and whether it is a multirun, of a Hydra command line."""
    name, rest, multirun, words = default, [], False, iter(words)
    for word in words:
        if word.startswith("-cn="):
            name = word[4:]
        elif word in ("-m", "--multirun"):
            multirun = True
        elif word == "--cfg":
            assert next(words) == "job"
        elif word != "--help":
            assert not word.startswith("-"), f"{word} is none of Hydra's flags"
            if not word.startswith(("hydra/launcher=", "hydra.launcher.")):  # a plugin's
                rest.append(word)
    return name, rest, multirun


def each_run(words: list[str], multirun: bool) -> list[list[str]]:
    """The overrides of each run: a sweep's values one by one."""
    parsed = OverridesParser.create().parse_overrides(words)
    values = [
        [f"{o.get_key_element()}={v}" for v in o.sweep_string_iterator()]
        if o.is_sweep_override()
        else [o.input_line]
        for o in parsed
    ]
    runs = [list(run) for run in product(*values)]
    assert multirun == (len(runs) > 1), "several values need --multirun, and it needs several"
    return runs


@pytest.mark.parametrize(
    ("program", "words"),
    [
        pytest.param(program, *call.values, id=call.id)
        for program in ENTRIES
        for call in calls_of(f"python {program}")
        if "dataset=listed" not in call.values[0]  # the example has a test of its own
    ],
)
def test_train_and_inference_commands_compose(program, words):
    name, rest, multirun = overrides(words, ENTRIES[program])
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        for run in each_run(rest, multirun):
            hold_settings(compose(name, run))


def hold_settings(config) -> None:
    """Values outside their range are met here, not by the reader."""
    from src.build import build, check_keys, plain
    from src.trainer import Settings
    from src.utils.devices import autocast, pick_device

    if "trainer" not in config:
        autocast(pick_device("cpu"), config.precision)
        return
    settings = plain(config.trainer)
    check_keys(Settings, settings, set(), "trainer")
    Settings(**settings)
    for group in ("schedule", "transform", "augment", "text"):
        node = config[group]
        # Statistics and pieces are read from files that a command of the guides makes first.
        unread = node.get("normalise", {}).get("statistics", "") is None or node.get("model")
        if not unread:
            build(node, group)


@pytest.mark.parametrize(
    ("module", "words"),
    [
        pytest.param(module, *call.values, id=call.id)
        for module in (
            "calc_wer_cer",
            "download_model",
            *(f"scripts.{path.stem}" for path in sorted((ROOT / "scripts").glob("[!_]*.py"))),
        )
        for call in calls_of(
            f"python -m {module}" if module.startswith("scripts.") else f"python {module}.py"
        )
    ],
)
def test_options_of_scripts_exist(module, words, capsys):
    script = importlib.import_module(module)
    parse = script.parse if hasattr(script, "parse") else script._parser().parse_args
    try:
        parse(words)
    except SystemExit as leaving:
        assert leaving.code == 0, capsys.readouterr().err


def test_modules_named_with_m_exist():
    modules = [words[2] for _, words in commands() if words[:2] == ["python", "-m"]]
    ours = [module for module in modules if module != "venv"]
    assert len(ours) >= 4
    for module in ours:
        assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), module


def test_make_targets_and_requirement_lists_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = {words[1] for _, words in commands() if words[0] == "make"}
    assert targets >= {"quickstart", "test"}
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.M), target
    for _, words in commands():
        if words[:3] == ["pip", "install", "-r"]:
            assert (ROOT / words[3]).is_file()
