"""What README and docs say is true of the tree: commands, keys, names, links, examples.

docs/RESULTS.md is not held to its commands: a result belongs to the commit it names.
"""

import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = ROOT / "configs"
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])
GUIDES = [page for page in PAGES if page.name != "RESULTS.md"]
ENTRIES = {"train.py": "quickstart", "inference.py": "inference"}  # and their own config
SHELL = {"bash", "console"}


def blocks(page: Path, languages: set[str]) -> list[str]:
    """The fenced blocks of a page in these languages."""
    fenced = re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
    return [text for language, text in fenced if language in languages]


def command_lines(page: Path) -> list[str]:
    """What a reader would type: lines of bash blocks, `$ …` of console blocks, `python …`."""
    lines = []
    for text in blocks(page, {"bash"}):
        lines += text.replace("\\\n", " ").splitlines()
    for text in blocks(page, {"console"}):
        lines += [line[2:] for line in text.splitlines() if line.startswith("$ ")]
    prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    lines += re.findall(r"`((?:python|make) [^`]+)`", prose)
    return [line for line in lines if line.strip()]


def commands() -> list[tuple[str, list[str]]]:
    """(page, words without environment and comment) of every command in every guide."""
    found = []
    for page in GUIDES:
        for line in command_lines(page):
            for part in re.split(r" && ", line):
                words = shlex.split(part, comments=True)
                while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
                    words.pop(0)
                if words and "NAME" not in " ".join(words[:3]):
                    found.append((page.name, words))
    return found


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
        checked = checked or (target[0] == "-m" and target[1].startswith(("scripts.", "venv")))
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
        if config[group].get("normalise", {}).get("statistics", "") is not None:
            build(config[group], group)


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


def links() -> list:
    """(page, target) of every link and image that leads to a file of ours."""
    found = []
    for page in PAGES:
        prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
        for target in re.findall(r"\]\(([^)\s]+)\)", prose):
            if not re.match(r"\w+:", target):
                found.append(pytest.param(page, target, id=f"{page.name}: {target}"))
    return found


@pytest.mark.parametrize(("page", "target"), links())
def test_links_lead_somewhere(page, target):
    path, _, anchor = target.partition("#")
    file = page.parent / path if path else page
    assert file.is_file()
    if anchor:
        headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.M)
        slugs = [re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings]
        assert anchor in slugs


def test_pictures_are_small():
    pictures = [*(ROOT / "docs").rglob("*.png")]
    assert pictures
    for picture in pictures:
        assert picture.stat().st_size < 200_000, picture


def file_map() -> list[str]:
    """Paths of README's file map; two spaces more lead one folder down."""
    [text] = [t for t in blocks(ROOT / "README.md", {"text"}) if t.startswith("train.py ")]
    paths, folder = [], ""
    for line in text.splitlines():
        name = line.split()[0]
        if not line.startswith(" "):
            folder = name if name.endswith("/") else ""
        paths.append(name if not line.startswith(" ") else folder + name)
    return paths


def test_the_file_map_names_what_is_there_and_all_of_it():
    paths = file_map()
    for path in paths:
        assert (ROOT / path).is_dir() if path.endswith("/") else (ROOT / path).is_file(), path
    there = {f"src/{path.name}" for path in (ROOT / "src").glob("[!_]*.py")}
    there |= {f"src/{path.parent.name}/" for path in (ROOT / "src").glob("*/__init__.py")}
    there |= {path.name for path in ROOT.glob("*.py")}
    assert there <= set(paths), there - set(paths)


def choices() -> list[str]:
    return sorted(f"{path.parent.name}/{path.stem}" for path in CONFIGS.glob("*/*.yaml"))


@pytest.mark.parametrize("choice", choices())
def test_every_choice_is_named_in_configs_md(choice):
    group, name = choice.split("/")
    page = (ROOT / "docs" / "configs.md").read_text(encoding="utf-8")
    assert f"`{name}`" in page or f"`{group}={name}`" in page


def test_every_file_that_configs_md_shows_in_a_table_of_choices_exists():
    page = (ROOT / "docs" / "configs.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| `(\w+)=(\w+)` \|", page, re.M)
    assert len(named) >= 10
    for group, name in named:
        assert (CONFIGS / group / f"{name}.yaml").is_file()


def keys_in_tables() -> list[str]:
    """Dotted config keys that stand between backticks anywhere in the guides."""
    groups = "trainer|loader|decoder|optimizer|logger|dataset|transform|schedule|model"
    found = set()
    for page in GUIDES:
        found |= set(re.findall(rf"`((?:{groups})\.[a-z_.]+)(?:=[^`]*)?`", page.read_text()))
    return sorted(found)


def test_config_keys_named_in_the_guides_exist():
    keys = keys_in_tables()
    assert len(keys) >= 20
    sets = [
        ("deepspeech2", ["decoder=beam", "logger=wandb"]),
        ("convnet", []),
        ("convnet", ["dataset=speech_commands_csr", "transform=logmel80_stored"]),
    ]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        configs = [compose(name, rest) for name, rest in sets]
    for key in keys:
        assert any(has(config, key) for config in configs), key


def has(config, key: str) -> bool:
    for part in key.split("."):
        if config is None or part not in config:
            return False
        config = config._get_node(part)
    return True


def test_the_examples_of_configs_md_train_together(tmp_path):
    """Written where the page says, into a copy of the tree, and run by the page's command."""
    for name in ("src", "configs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ENTRIES:
        shutil.copy(ROOT / name, tmp_path)
    page = ROOT / "docs" / "configs.md"
    files = {}
    for text in blocks(page, {"python", "yaml"}):
        head, _, body = text.partition("\n")
        files[head.removeprefix("# ")] = body
    assert len(files) == 4
    for name, body in files.items():
        assert not (ROOT / name).exists()
        (tmp_path / name).write_text(body, encoding="utf-8")
    for room, module, name in (
        ("models", "framewise", "Framewise"),
        ("datasets", "listed", "Listed"),
    ):
        with (tmp_path / "src" / room / "__init__.py").open("a", encoding="utf-8") as file:
            file.write(f"\nfrom src.{room}.{module} import {name}\n__all__ += ['{name}']\n")
    write_listed_corpus(tmp_path / "cv")
    [command] = [words for _, words in commands() if "dataset=listed" in words]
    here = ["dataset.root=cv", "device=cpu", "loader.n_workers=0"]
    small = [
        "run_dir=saved/run",
        "loader.batch_size=2",
        "trainer.n_epochs=1",
        "trainer.n_examples=0",
    ]
    told = run_in(tmp_path, *command[1:], *here, *small)
    assert "train.tsv: kept 3 of 4 utterances" in told  # no letters spell "2"
    told = run_in(
        tmp_path, "inference.py", "dataset=listed", "checkpoint=saved/run", "n_pictures=0", *here
    )
    assert "3 utterances, read by saved/run" in told


def run_in(folder: Path, *command: str) -> str:
    """What a python command says in a folder, where it must succeed."""
    result = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stderr + result.stdout


def write_listed_corpus(root: Path) -> None:
    """Three lists over four clips of noise, one of which says what no letters spell."""
    rng = np.random.default_rng(0)
    (root / "clips").mkdir(parents=True)
    rows = ["path\tsentence"]
    for i, sentence in enumerate(["yes", "no", "go on", "2"]):
        noise = rng.normal(0, 0.1, 8000).astype(np.float32)
        soundfile.write(root / "clips" / f"{i}.wav", noise, 16000)
        rows.append(f"{i}.wav\t{sentence}")
    for part in ("train", "dev", "test"):
        (root / f"{part}.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
