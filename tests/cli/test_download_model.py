"""`python download_model.py` as people call it, against a real server on this machine."""

import hashlib
import random
import subprocess
import sys

import pytest
import yaml

from download_model import main
from tests.conftest import REPOSITORY
from tests.utils.flaky_server import flaky_server

BODY = random.Random(0).randbytes(300_000)
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def server():
    with flaky_server() as server:
        yield server


@pytest.fixture
def download(tmp_path):
    """Call the script with a registry of one model and the folder tmp_path/out."""

    def download(*arguments, urls=("https://example.org/small.pt",), default=None, **changes):
        model = {"description": "a small ConvNet", "licence": "MIT", "urls": list(urls)}
        model |= {"size": len(BODY), "sha256": SHA256} | changes
        registry = tmp_path / "registry.yaml"
        registry.write_text(yaml.safe_dump({"default": default, "models": {"small": model}}))
        return main([*arguments, "--registry", str(registry), "--out", str(tmp_path / "out")])

    return download


def run(*arguments, cwd=REPOSITORY) -> subprocess.CompletedProcess:
    command = [sys.executable, str(REPOSITORY / "download_model.py"), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


def test_a_model_survives_dropped_connections_and_is_ready_to_use(server, tmp_path):
    server.add("/small.pt", BODY, drops=[100_000])
    model = {"description": "a ConvNet", "licence": "MIT", "size": len(BODY), "sha256": SHA256}
    models = {"small": model | {"urls": [server.url("/absent.pt"), server.url("/small.pt")]}}
    (tmp_path / "registry.yaml").write_text(yaml.safe_dump({"default": None, "models": models}))
    done = run("small", "--registry", "registry.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "data/models/small.pt").read_bytes() == BODY
    assert "checkpoint=data/models/small.pt" in done.stdout and "licence MIT" in done.stdout
    assert "closed after 100,000 of 300,000 bytes; trying again in 1 s" in done.stderr


def test_without_a_name_the_default_is_fetched(server, download, tmp_path, capsys):
    server.add("/small.pt", BODY)
    assert download(urls=[server.url("/small.pt")], default="small") == 0
    assert (tmp_path / "out/small.pt").read_bytes() == BODY
    assert "SHA-256 verified" in capsys.readouterr().out


def test_a_model_from_a_common_disk(download, tmp_path):
    (tmp_path / "common.pt").write_bytes(BODY)
    assert download("small", urls=[(tmp_path / "common.pt").as_uri()]) == 0
    assert (tmp_path / "out/small.pt").read_bytes() == BODY


def test_a_model_that_is_there_is_only_verified(download, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/small.pt").write_bytes(BODY)
    assert download("small", urls=["http://127.0.0.1:9/small.pt"]) == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"sha256": "0" * 64}, "wrong checksum"), ({"size": 5}, "has 300,000 bytes, expected 5")],
)
def test_a_wrong_file_is_never_left_behind(server, download, tmp_path, capsys, changes, message):
    server.add("/small.pt", BODY)
    assert download("small", urls=[server.url("/small.pt")], **changes) == 1
    assert message in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


def test_the_list_tells_name_size_licence_and_default(download, capsys):
    assert download("--list", default="small") == 0
    printed = capsys.readouterr().out
    assert "small  0.3                    MIT      a small ConvNet" in printed
    assert "fetches small, the default" in printed


def test_the_list_tells_task_and_error_rate_where_they_are_known(download, capsys):
    assert download("--list", task="English → text", figure="WER 9.5 % on test-clean") == 0
    line = "small  0.3  English → text  WER 9.5 % on test-clean  MIT      a small ConvNet"
    assert line in capsys.readouterr().out


@pytest.fixture
def beside(tmp_path):
    """Call the script with a registry beside which the default model's file lies."""

    def beside(*arguments, content=BODY):
        model = {"description": "a ConvNet", "licence": "MIT", "size": len(BODY), "sha256": SHA256}
        models = {"small": model | {"file": "small.safetensors", "card": "small.md"}}
        registry = tmp_path / "registry.yaml"
        registry.write_text(yaml.safe_dump({"default": "small", "models": models}))
        if content is not None:
            (tmp_path / "small.safetensors").write_bytes(content)
        return main([*arguments, "--registry", str(registry), "--out", str(tmp_path / "out")])

    return beside


@pytest.mark.parametrize("arguments", [[], ["small"]])
def test_a_model_beside_the_registry_is_verified_where_it_lies(beside, tmp_path, capsys, arguments):
    assert beside(*arguments) == 0
    printed = capsys.readouterr().out
    path = tmp_path / "small.safetensors"
    assert f"{path}: 300,000 bytes, SHA-256 verified" in printed
    assert f"checkpoint={path} " in printed and f"About it: {tmp_path / 'small.md'}" in printed
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "the published model small is not there; it came with the repository"),
        (BODY[:-1], "not the published model small: 299,999 bytes instead of 300,000"),
        (BODY[:-1] + bytes([BODY[-1] ^ 1]), "not the published model small: wrong checksum"),
    ],
)
def test_a_wrong_file_beside_the_registry_is_told_and_left(
    beside, tmp_path, capsys, content, message
):
    assert beside(content=content) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert (tmp_path / "small.safetensors").exists() == (content is not None)


def test_a_url_to_safetensors_keeps_its_ending(server, download, tmp_path, capsys):
    server.add("/x.safetensors", BODY)
    assert download("small", urls=[server.url("/x.safetensors")]) == 0
    assert (tmp_path / "out/small.safetensors").read_bytes() == BODY
    assert "checkpoint=" in capsys.readouterr().out


def test_without_a_name_and_a_default_the_list_is_shown_and_nothing_fetched(download, capsys):
    assert download() == 1
    assert "python download_model.py NAME fetches" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "hint"), [("smal", "did you mean small?"), ("whisper", "there are small.")]
)
def test_an_unknown_name_gets_a_hint(download, capsys, name, hint):
    assert download(name) == 1
    assert capsys.readouterr().err == (
        f"download_model.py: {name}: no such model; {hint} (--list describes them.)\n"
    )


def test_a_damaged_registry_ends_in_one_line(download, capsys):
    assert download("small", sha256="0") == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "model small: sha256 is '0', expected 64" in error


@pytest.mark.parametrize(("arguments", "status"), [([], 1), (["--list"], 0), (["small"], 1)])
def test_an_empty_registry_says_what_to_run_instead(tmp_path, capsys, arguments, status):
    registry = tmp_path / "registry.yaml"
    registry.write_text("default: null\nmodels: {}\n")
    assert main([*arguments, "--registry", str(registry)]) == status
    printed = "".join(capsys.readouterr())
    assert "o model is published yet" in printed and "make quickstart" in printed


def test_help_teaches_and_nothing_heavy_is_loaded():
    code = "import sys, download_model; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY).returncode == 0
    done = run("--help")
    assert done.returncode == 0
    for word in ("--list", "--registry FILE", "goes on where it stopped", "Exit status"):
        assert word in done.stdout
