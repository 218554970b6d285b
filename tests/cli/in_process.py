"""Entry points called in this process: the same path as a command, without PyTorch's start."""

import contextlib
import importlib
import io
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from src.build.parts import build_recognizer, build_text
from src.build.training import describe
from src.cli import CONFIGS
from src.trainer import save_checkpoint

TINY = ["model=convnet_small", "model.channels=[4,4,4,4]", "model.rnn_width=16"]


class Outcome(NamedTuple):
    """What a command left in the terminal."""

    status: int
    stdout: str
    stderr: str

    @property
    def refusal(self) -> str:
        """The one line with which it refused, after checking that it did."""
        assert self.status == 1, self.stdout + self.stderr
        last = self.stderr.strip().splitlines()[-1]
        assert last.startswith("error: ")
        assert "Traceback" not in self.stderr
        return last


def call(entry: str, *arguments: str | Path) -> Outcome:
    """`python ENTRY.py ARGUMENTS…` by calling its main(); a bug of ours is raised."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        logging_restored(),
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
    ):
        patch.setenv("HYDRA_FULL_ERROR", "0")
        module = importlib.import_module(entry)
        patch.setattr(sys, "argv", [f"{entry}.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            module.main()
    return Outcome(ended.value.code, stdout.getvalue(), stderr.getvalue())


@contextlib.contextmanager
def logging_restored():
    """Hydra sets logging up for the whole process; other tests want theirs back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def untrained(path: Path, *overrides: str, model: Sequence[str] = TINY) -> Path:
    """A checkpoint of a tiny model with random weights that hears a token in most frames."""
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        composed = compose("convnet", [*model, *overrides])
    config = {
        key: OmegaConf.to_container(composed[key], resolve=True)
        for key in ("text", "transform", "model")
    }
    text = build_text(config)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        recognizer = build_recognizer(config, text)
        torch.nn.init.normal_(recognizer.model.head.weight)
    recognizer.model.head.bias.data[0] = -2.0
    state = describe(config | {"name": "untrained"}, text)
    save_checkpoint(path, state | {"step": 0, "recognizer": recognizer.state_dict()})
    return path


def cut(path: Path) -> Path:
    """Keep the first half of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def emptied(path: Path) -> Path:
    """A file of no bytes."""
    path.write_bytes(b"")
    return path


def text(path: Path) -> Path:
    """A file of plain text."""
    path.write_text("not a sound\n" * 50)
    return path


def inference_arguments(checkpoint: Path, output: Path, *overrides: str | Path) -> tuple:
    """Arguments of a quick inference: one thread, one picture, greedy."""
    quick = ("device=cpu", "n_pictures=1", "decoder=greedy", "loader.n_workers=0")
    return (f"checkpoint={checkpoint}", f"output={output}", *quick, *overrides)


def infer(checkpoint: Path, output: Path, *overrides: str | Path) -> Outcome:
    """inference.py with these arguments, in this process."""
    return call("inference", *inference_arguments(checkpoint, output, *overrides))


def predictions(folder: Path) -> set[str]:
    """Ids of the prediction files in a folder, after checking that none is half-written."""
    assert not list(folder.rglob(".*"))
    return {path.stem for path in folder.glob("*.json")}
