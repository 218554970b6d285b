"""What a run stores about itself lets somebody else run the same again."""

import importlib.metadata
import json
import os
import shlex
import subprocess
import sys

import pytest

from src.utils import provenance
from src.utils.errors import UserError
from src.utils.provenance import record

IDENTITY = ["-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "commit.gpgsign=false"]


def git(folder, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *IDENTITY, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path):
    """A git tree with one commit of two files."""
    folder = tmp_path / "code"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "train.py").write_text("a = 1\n")
    (folder / "noise.bin").write_bytes(bytes(range(256)))
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    return folder


def test_commit_and_diff_bring_the_code_back_as_it_ran(tmp_path, repository):
    (repository / "train.py").write_text("a = 2\n")
    (repository / "noise.bin").write_bytes(bytes(reversed(range(256))))
    (repository / "latin.txt").write_bytes(b"caf\xe9\n")
    git(repository, "add", "latin.txt")
    (repository / "new notes.md").write_text("never added")
    record(tmp_path / "run", "seed: 1\n", repository)

    copy = tmp_path / "copy"
    git(tmp_path, "clone", "-q", str(repository), str(copy))
    git(copy, "checkout", "-q", (tmp_path / "run/git_commit.txt").read_text().strip())
    git(copy, "apply", str(tmp_path / "run/git_diff.patch"))
    for name in ("train.py", "noise.bin", "latin.txt"):
        assert (copy / name).read_bytes() == (repository / name).read_bytes()
    patch = (tmp_path / "run/git_diff.patch").read_bytes()
    assert b"# untracked: new notes.md\n" in patch and b"never added" not in patch


def test_a_clean_tree_has_an_empty_diff(tmp_path, repository):
    record(tmp_path / "run", "", repository)
    assert (tmp_path / "run/git_diff.patch").read_bytes() == b""


def test_the_config_is_stored_word_for_word(tmp_path, repository):
    text = "seed: 1\nwords: [naïve, 日本]\n"
    record(tmp_path / "run", text, repository)
    assert (tmp_path / "run/config.yaml").read_text(encoding="utf-8") == text


def test_packages_are_those_that_are_installed(tmp_path, repository):
    record(tmp_path / "run", "", repository)
    lines = (tmp_path / "run/packages.txt").read_text().splitlines()
    assert f"numpy=={importlib.metadata.version('numpy')}" in lines
    assert lines == sorted(set(lines), key=str.lower)


def test_the_environment_names_command_python_and_machine(tmp_path, repository):
    record(tmp_path / "run", "", repository)
    environment = json.loads((tmp_path / "run/environment.json").read_text())
    assert shlex.split(environment["command"]) == sys.orig_argv
    assert environment["python"] == sys.version
    assert environment["processors"] == os.cpu_count()
    assert environment["processor"] and environment["platform"]
    assert isinstance(environment["gpus"], list)


def test_environment_variables_stay_secret(tmp_path, repository, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "a-very-secret-key")
    record(tmp_path / "run", "", repository)
    for path in (tmp_path / "run").rglob("*"):
        assert b"a-very-secret-key" not in path.read_bytes()


def test_outside_git_the_files_say_so(tmp_path):
    (tmp_path / "unpacked").mkdir()
    record(tmp_path / "run", "", tmp_path / "unpacked")
    assert "unknown: " in (tmp_path / "run/git_commit.txt").read_text()
    assert "not a git repository" in (tmp_path / "run/git_commit.txt").read_text()
    assert (tmp_path / "run/git_diff.patch").read_text().startswith("# unknown: ")


def test_before_the_first_commit_the_files_say_so(tmp_path):
    git(tmp_path, "init", "-q", "young")
    record(tmp_path / "run", "", tmp_path / "young")
    assert (tmp_path / "run/git_commit.txt").read_text().startswith("unknown: ")


def test_without_git_installed_the_files_say_so(tmp_path, repository, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    record(tmp_path / "run", "", repository)
    assert (tmp_path / "run/git_commit.txt").read_text() == "unknown: git is not installed\n"


def test_a_resumed_run_keeps_what_its_earlier_starts_wrote(tmp_path, repository):
    for text in ("seed: 1\n", "seed: 2\n", "seed: 3\n"):
        record(tmp_path / "run", text, repository)
    names = {"1": "seed: 1\n", "2": "seed: 2\n"}
    for number, text in names.items():
        folder = tmp_path / "run/earlier" / number
        assert (folder / "config.yaml").read_text() == text
        assert sorted(path.name for path in folder.iterdir()) == sorted(provenance.FILES)
    assert (tmp_path / "run/config.yaml").read_text() == "seed: 3\n"
    assert {path.name for path in (tmp_path / "run/earlier").iterdir()} == set(names)


def test_a_start_that_comes_to_no_end_leaves_the_run_its_config(tmp_path, repository):
    record(tmp_path, "seed: 1\n", repository)
    (tmp_path / "git_diff.patch").unlink()
    (tmp_path / "git_diff.patch").mkdir()  # can be neither set aside nor written
    with pytest.raises(UserError, match="could not be written"):
        record(tmp_path, "seed: 2\n", repository)
    assert (tmp_path / "config.yaml").read_text() == "seed: 1\n"


@pytest.mark.parametrize("blocked", ["run", "run/earlier"])
def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path, repository, blocked):
    if blocked != "run":
        record(tmp_path / "run", "", repository)
    (tmp_path / blocked).write_text("in the way")
    with pytest.raises(UserError, match=r"could not be written"):
        record(tmp_path / "run", "", repository)


def test_without_torch_no_gpu_is_claimed(tmp_path, repository, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    record(tmp_path / "run", "", repository)
    assert json.loads((tmp_path / "run/environment.json").read_text())["gpus"] == []
