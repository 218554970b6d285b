"""Models by name: from a registry to text, with the commands that people type."""

import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import scripts.align
import scripts.export
import scripts.publish
import src.utils.published
from src.trainer import find_checkpoint
from src.utils.errors import UserError
from tests.cli.in_process import call, infer, inference_arguments, predictions, untrained
from tests.conftest import REPOSITORY
from tests.recordings import siren, write

QUICK = ("device=cpu", "n_pictures=0", "loader.n_workers=0")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory) -> Path:
    """A folder with a recording, and in pretrained/ the published model "tiny", the default."""
    folder = tmp_path_factory.mktemp("shelf")
    checkpoint = untrained(folder / "run/checkpoints/best.pt")
    recording = write(folder / "my.wav", siren(1.0))
    (folder / "my.txt").write_text("yes")
    scripts.publish.main(
        [str(checkpoint), "--name", "tiny", "--out", str(folder / "pretrained"), "--default",
         "--input", str(recording)]
    )  # fmt: skip
    return folder


@pytest.fixture
def registry(shelf, monkeypatch) -> Path:
    """The commands of this process take this registry for the project's."""
    path = shelf / "pretrained/registry.yaml"
    monkeypatch.setattr(src.utils.published, "REGISTRY", path)
    return path


def copy_with(registry: Path, folder: Path, monkeypatch, file: bytes | None, edit=str) -> None:
    """Take a copy of the registry, edited and with another file or none, for the project's."""
    if file is not None:
        (folder / "tiny.safetensors").write_bytes(file)
    path = folder / "registry.yaml"
    path.write_text(edit(registry.read_text(encoding="utf-8")), encoding="utf-8")
    monkeypatch.setattr(src.utils.published, "REGISTRY", path)


def test_a_fresh_tree_reads_a_recording_with_two_commands(shelf, tmp_path):
    for name in ("src", "configs", "inference.py", "download_model.py"):
        copy = shutil.copytree if (REPOSITORY / name).is_dir() else shutil.copy
        copy(REPOSITORY / name, tmp_path / name)
    shutil.copytree(shelf / "pretrained", tmp_path / "pretrained")
    commands = (
        ["download_model.py"],
        ["inference.py", "-cn=inference", f"input={shelf / 'my.wav'}", *QUICK],
    )
    for command in commands:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stderr
    assert "my: 1 utterance, read by tiny" in done.stdout
    assert predictions(tmp_path / "saved/predict/my") == {"my"}


def test_the_default_and_its_name_read_as_the_file(shelf, registry, tmp_path):
    file = shelf / "pretrained/tiny.safetensors"
    texts = []
    for n, checkpoint in enumerate((file, "tiny", "null")):
        output = tmp_path / str(n)
        outcome = infer(checkpoint, output, f"input={shelf / 'my.wav'}", "n_pictures=0")
        assert outcome.status == 0, outcome.stderr
        texts.append((output / "my/my.json").read_text(encoding="utf-8"))
    assert "read by tiny" in outcome.stdout
    assert texts[0] == texts[1] == texts[2] and '"pred_text": ""' not in texts[0]


def test_other_commands_take_the_name(shelf, registry, tmp_path, capsys):
    out = tmp_path / "tiny.pt"
    scripts.export.main(
        ["tiny", "--format", "torchscript", "--out", str(out), "--input", str(shelf / "my.wav"),
         "--n_timed", "1"]
    )  # fmt: skip
    assert "compared on 1 clip of" in capsys.readouterr().out and out.is_file()
    words = ["tiny", str(shelf / "my.wav"), "--out", str(tmp_path / "aligned")]
    scripts.align.main(words)
    assert list((tmp_path / "aligned").iterdir())


def test_a_path_wins_over_a_name_and_that_is_told(registry, tmp_path, monkeypatch, caplog):
    untrained(tmp_path / "tiny/checkpoints/best.pt")
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert find_checkpoint("tiny") == Path("tiny/checkpoints/best.pt")
    assert "tiny is a path here and a published model too; the path is read" in caplog.text
    assert str(registry.parent / "tiny.safetensors") in caplog.text
    caplog.clear()
    assert find_checkpoint("tiny/checkpoints/best.pt") and not caplog.text


def test_a_broken_registry_costs_no_path(registry, tmp_path, monkeypatch):
    copy_with(registry, tmp_path, monkeypatch, None, lambda text: "nonsense: [")
    path = untrained(tmp_path / "best.pt")
    monkeypatch.chdir(tmp_path)
    assert find_checkpoint("best.pt") == Path(path.name)
    with pytest.raises(UserError, match="not a YAML file"):
        find_checkpoint("tiny")


def by_url(text: str) -> str:
    return text.replace("file: tiny.safetensors", "urls: [https://example.org/t.safetensors]")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (str, "the default one, tiny, is not at .*tiny.safetensors: `python download_model.py`"),
        (by_url, "not at data/models/tiny.safetensors: `python download_model.py` fetches it"),
        (lambda text: text.replace("default: tiny", "default: null"), "No checkpoint given. Name"),
    ],
)
def test_without_the_default_there_the_command_that_gets_it_is_told(
    registry, tmp_path, monkeypatch, edit, message
):
    copy_with(registry, tmp_path, monkeypatch, None, edit)
    monkeypatch.chdir(tmp_path)
    arguments = inference_arguments("null", tmp_path / "out", "input=my.wav")
    refusal = call("inference", *arguments).refusal
    assert re.search(message, refusal), refusal


def test_a_downloaded_model_is_read_by_name(shelf, registry, tmp_path, monkeypatch):
    copy_with(registry, tmp_path, monkeypatch, None, by_url)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"`python download_model.py tiny` fetches it"):
        find_checkpoint("tiny")
    (tmp_path / "data/models").mkdir(parents=True)
    shutil.copy(shelf / "pretrained/tiny.safetensors", "data/models/tiny.safetensors")
    assert find_checkpoint("tiny") == Path("data/models/tiny.safetensors")


@pytest.mark.parametrize("checkpoint", ["tiny", "null"])
def test_an_altered_file_is_not_read_by_name(shelf, registry, tmp_path, monkeypatch, checkpoint):
    content = (shelf / "pretrained/tiny.safetensors").read_bytes()
    copy_with(registry, tmp_path, monkeypatch, content[:-1] + bytes([content[-1] ^ 1]))
    refusal = infer(checkpoint, tmp_path / "out", f"input={shelf / 'my.wav'}").refusal
    assert "not the published model tiny: wrong checksum" in refusal


def test_a_name_of_no_model_is_a_path_that_is_not_there(registry):
    with pytest.raises(UserError, match="tini: no checkpoint there"):
        find_checkpoint("tini")
