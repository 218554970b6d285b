"""The examples of docs/configs.md work as they stand."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile

from tests.pages import ROOT, blocks, commands


def test_the_examples_of_configs_md_train_together(tmp_path):
    """Written where the page says, into a copy of the tree, and run by the page's command."""
    for name in ("src", "configs", "scripts"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("train.py", "inference.py"):
        shutil.copy(ROOT / name, tmp_path)
    write_examples(tmp_path)
    write_listed_corpus(tmp_path / "cv")
    [command] = [words for _, words in commands() if "dataset=listed" in words]
    here = ["dataset.root=cv", "device=cpu", "loader.n_workers=0"]
    small = ["loader.batch_size=2", "trainer.n_epochs=1", "trainer.n_examples=0"]
    told = run_in(tmp_path, *command[1:], "run_dir=saved/run", *here, *small)
    assert "train.tsv: kept 3 of 4 utterances" in told  # no letters spell "2"
    read = ["dataset=listed", "checkpoint=saved/run", "n_pictures=0"]
    told = run_in(tmp_path, "inference.py", *read, *here)
    assert "3 utterances, read by saved/run" in told
    run_in(tmp_path, *command[1:], "run_dir=saved/loud", "transform=loudness", *here, *small)
    told = run_in(tmp_path, "inference.py", "dataset=listed", "checkpoint=saved/loud", *here)
    assert "3 utterances, read by saved/loud" in told


NEW = {
    "models.gru": "GRU",
    "transforms.loudness": "Loudness",
    "datasets.corpora.listed": "Listed",
}


def write_examples(tree: Path) -> None:
    """Each block into the file that its first line names, and the classes into `__all__`."""
    files = {}
    for text in blocks(ROOT / "docs" / "configs.md", {"python", "yaml"}):
        head, _, body = text.partition("\n")
        files[head.removeprefix("# ")] = body
    assert len(files) == 6
    for name, body in files.items():
        assert not (ROOT / name).exists()
        (tree / name).write_text(body, encoding="utf-8")
    for module, name in NEW.items():
        room = module.split(".")[0]
        with (tree / "src" / room / "__init__.py").open("a", encoding="utf-8") as file:
            file.write(f"\nfrom src.{module} import {name}\n__all__ += [{name!r}]\n")


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
