"""`python train.py resume=RUN`: the run's own config and overrides, and none that reach Hydra."""

import json
import shlex
from pathlib import Path

import pytest
import yaml

from src.cli import as_begun
from src.utils.command_line import (
    ARGUMENTS,
    Arguments,
    for_hydra,
    in_quotes,
    keep_arguments,
)
from tests.cli.in_process import call
from tests.reliability.tiny_run import arguments, write_corpus


def config_of(run_dir: Path) -> dict:
    return yaml.safe_load((run_dir / "config.yaml").read_text())


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A folder with what tells how its run was begun."""
    run_dir = tmp_path / "a run"
    run_dir.mkdir()
    (run_dir / "config.yaml").touch()
    overrides = [f"run_dir={run_dir}", "model=lstm", "seed=2", "+model.width=8", "resume=x"]
    keep_arguments(run_dir, Arguments("few_hours", overrides))
    return run_dir


def test_what_is_given_now_takes_the_place_of_what_was_given_then(begun):
    words = [f"resume={begun}", "seed=7", "model.width=9"]
    assert as_begun(words) == ["-cn=few_hours", "model=lstm", *words]
    assert as_begun(["--cfg", "job", *words])[:3] == ["-cn=few_hours", "--cfg", "job"]
    assert as_begun(["resume=nowhere", *words])[0] == "-cn=few_hours"
    assert as_begun(as_begun(words)) == as_begun(words)


@pytest.mark.parametrize(
    "words",
    [["seed=1"], ["resume=null"], ["resume="], ["resume=nowhere"], ["-cn=lstm", "resume=RUN"],
     ["-cn", "lstm", "resume=RUN"], ["--config-name=lstm", "resume=RUN"]],
)  # fmt: skip
def test_words_that_resume_nothing_or_name_a_config_stay(begun, words):
    words = [word.replace("RUN", str(begun)) for word in words]
    assert as_begun(words) == words


@pytest.mark.parametrize("quoted", ["resume='{}'", 'resume="{}"', "resume={}", "++resume={}"])
def test_the_folder_is_read_as_hydra_reads_it(begun, quoted):
    assert as_begun([quoted.format(begun)])[0] == "-cn=few_hours"


FOREIGN = [
    "hydra.callbacks.x._target_=os.system",
    "+hydra.job.env_set.LD_PRELOAD=x.so",
    "~hydra.callbacks",
    "hydra/launcher=x",
    "+model@hydra.callbacks.x=lstm",
    "--config-dir=/elsewhere",
    "--multirun",
    "plain",
    7,
]


@pytest.mark.parametrize("word", FOREIGN)
def test_a_folder_from_elsewhere_gives_hydra_no_word(begun, word):
    (begun / ARGUMENTS).write_text(json.dumps({"config_name": "lstm", "overrides": ["a=1", word]}))
    refusal = call("train", f"resume={begun}").refusal
    assert f"{begun / ARGUMENTS}: {word!r} is not taken from a folder" in refusal


@pytest.mark.parametrize(
    "name", ["--multirun", "a=b", "-cn=lstm", "lstm --multirun", "../../x", "", "/x"]
)
def test_a_config_name_of_a_folder_is_a_name(begun, name):
    (begun / ARGUMENTS).write_text(json.dumps({"config_name": name, "overrides": []}))
    refusal = call("train", f"resume={begun}").refusal
    assert f"{name!r} is not taken from a folder" in refusal


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"config_name": 1, "overrides": []}'])
def test_a_folder_that_does_not_tell_is_asked_about_with_a_way_out(begun, text):
    (begun / ARGUMENTS).unlink()
    if text is not None:
        (begun / ARGUMENTS).write_text(text)
    refusal = call("train", f"resume={begun}").refusal
    assert f"no {ARGUMENTS} in there" in refusal
    assert f"followed by {in_quotes('resume', str(begun))}." in refusal


def test_a_folder_without_a_run_is_told_as_such(tmp_path):
    assert (
        f"resume={tmp_path}: no checkpoints/last.pt" in call("train", f"resume={tmp_path}").refusal
    )


ODD = ["Läufe", "run (1)", "a=b", "a,b", "it's", 'say "so"', "c\\d", 'e\\"f', "g\\", "7"]


@pytest.mark.parametrize("name", ODD)
def test_the_command_that_is_told_is_one_that_works(tmp_path, name):
    root, run_dir = write_corpus(tmp_path / "corpus"), tmp_path / name
    words = arguments(root, run_dir, "trainer.n_epochs=1", "loader.n_workers=0")
    words = [for_hydra("run_dir", str(run_dir)) if w.startswith("run_dir=") else w for w in words]
    assert call("train", *words).status == 0
    [word] = shlex.split(in_quotes("resume", str(run_dir)))
    said = call("train", word)
    assert said.status == 0, said.stderr
    assert config_of(run_dir)["resume"] == str(run_dir)


def test_a_plain_value_needs_no_quotes_and_one_that_hydra_misreads_has_them():
    assert in_quotes("resume", "saved/a_b-c.d/1") == "resume=saved/a_b-c.d/1"
    assert in_quotes("resume", "null") == "'resume=\"null\"'"
    assert in_quotes("resume", "1e3") == "'resume=\"1e3\"'"


def test_a_folder_that_hydra_can_t_read_is_told_with_the_quotes_it_needs(tmp_path):
    refusal = call("train", "resume=/tmp/Läufe").refusal
    assert refusal.endswith("""stands in quotes of its own: 'resume="/tmp/Läufe"'""")


def test_a_run_goes_on_as_it_was_begun_and_a_refused_start_changes_nothing(tmp_path):
    root, run_dir = write_corpus(tmp_path / "corpus"), tmp_path / "run"
    short = ("trainer.n_epochs=1", "loader.n_workers=0")
    assert call("train", *arguments(root, run_dir, *short)).status == 0
    began, kept = config_of(run_dir), (run_dir / ARGUMENTS).read_text()

    assert "model" in call("train", f"resume={run_dir}", "model.width=24").refusal
    assert (run_dir / ARGUMENTS).read_text() == kept

    assert call("train", f"resume={run_dir}", "trainer.n_epochs=2").status == 0
    went_on = config_of(run_dir)
    assert went_on["trainer"].pop("n_epochs") == 2 and began["trainer"].pop("n_epochs") == 1
    assert went_on.pop("resume") == str(run_dir) and began.pop("resume") is None
    assert {**went_on, "run_dir": str(run_dir)} == began

    said = call("train", f"resume={run_dir}")
    assert said.status == 0 and config_of(run_dir)["trainer"]["n_epochs"] == 2
