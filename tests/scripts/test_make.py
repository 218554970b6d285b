"""The way in: make's targets, what they refuse, and the lists they install from."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
needs_make = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
PACKAGE_OF = {
    "hydra": "hydra-core",
    "espeakng_loader": "espeakng-loader",
    "PIL": "pillow",
    "yaml": "pyyaml",
}


@pytest.fixture
def checkout(tmp_path):
    """Makefile, lists and .ci of a fresh checkout, without .venv."""
    for name in (
        "Makefile",
        "requirements.txt",
        "requirements-extra.txt",
        "requirements-dev.txt",
        ".ci/run",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(REPOSITORY / name, tmp_path / name)
    return tmp_path


@needs_make
def test_make_alone_lists_the_targets(checkout):
    listed = make(checkout).stdout
    assert [line.split()[0] for line in listed.splitlines()] == [
        *("help", "quickstart", "test", "lint")
    ]


@needs_make
def test_an_old_python_is_refused_by_name(checkout):
    old = executable(checkout / "old", '[ "$1" = --version ] && echo Python 3.9.2; exit 1')
    result = make(checkout, "quickstart", f"PYTHON={old}")
    assert result.returncode != 0
    assert f"Python 3.11 or later is needed, but {old} is Python 3.9.2" in result.stderr
    assert "make PYTHON=python3.12 quickstart" in result.stderr
    assert not (checkout / ".venv").exists()


@needs_make
def test_a_python_without_ensurepip_is_refused_with_ways_out(checkout):
    bare = executable(checkout / "bare", 'case "$2" in *ensurepip*) exit 1;; esac; exit 0')
    result = make(checkout, "test", f"PYTHON={bare}")
    assert result.returncode != 0
    assert "lacks ensurepip" in result.stderr
    assert "apt install python3-venv" in result.stderr
    assert not (checkout / ".venv").exists()


@needs_make
def test_packages_are_installed_once_and_again_when_the_list_changes(checkout):
    installs = checkout / "installs"
    venv = checkout / ".venv/bin"
    venv.mkdir(parents=True)
    executable(venv / "pip", "")
    executable(venv / "python", f'echo "$*" >> "{installs}"')
    for _ in range(2):
        assert make(checkout, "quickstart").returncode == 0
    assert count_of("pip install", installs) == 1
    assert count_of("-m scripts.quickstart", installs) == 2
    later = (checkout / ".venv/installed").stat().st_mtime + 10
    os.utime(checkout / "requirements.txt", (later, later))
    assert make(checkout, "quickstart").returncode == 0
    assert count_of("pip install", installs) == 2


def test_ci_runs_exactly_make_test_in_the_repository(checkout):
    calls = checkout / "calls"
    folder = checkout / "bin"
    folder.mkdir()
    executable(folder / "make", f'echo "$PWD: $*" >> "{calls}"')
    environment = {"PATH": f"{folder}:/usr/bin:/bin"}
    subprocess.run([checkout / ".ci/run"], cwd="/", env=environment, check=True)
    assert calls.read_text() == f"{checkout.resolve()}: test\n"


def test_every_package_that_the_code_imports_is_required():
    # Of single commands, of the notebook, and of peers to be measured against as well.
    lists = "".join(map(read, sorted(path.name for path in REPOSITORY.glob("requirements*.txt"))))
    required = set(re.findall(r"^([a-z0-9_-]+)[<>=]", lists, re.M))
    files = [
        *REPOSITORY.glob("*.py"),
        *(REPOSITORY / "src").rglob("*.py"),
        *(REPOSITORY / "scripts").rglob("*.py"),
    ]
    used = {module for file in files for module in imports(file)}
    packages = used - sys.stdlib_module_names - {"src", "scripts", "train", "calc_wer_cer"}
    packages -= {"nbformat", "traitlets"}  # come with nbclient
    packages -= {"kokoro_onnx", "piper"}  # synthesisers that scripts.speak_text asks people for
    assert {PACKAGE_OF.get(package, package) for package in packages} <= required


def test_pre_commit_formats_with_the_same_ruff_as_everybody():
    pinned = set(re.findall(r"ruff==[\d.]+", read("requirements-dev.txt")))
    assert len(pinned) == 1
    assert set(re.findall(r"ruff==[\d.]+", read(".pre-commit-config.yaml"))) == pinned


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    # Not as a part of the `make test` that runs this.
    inherited = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")
    environment = {name: value for name, value in os.environ.items() if name not in inherited}
    command = ["make", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def executable(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def count_of(what: str, file: Path) -> int:
    return sum(what in line for line in file.read_text().splitlines())


def imports(file: Path) -> set[str]:
    """Top-level names of the modules that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module.split(".")[0])
    return names


def read(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")
