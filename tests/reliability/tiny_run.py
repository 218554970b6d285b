"""A run of train.py that takes seconds and has everything that could spoil an exact resume.

Shuffled length buckets, a reading process, accumulation, dropout, SpecAugment, BatchNorm, a
schedule, early stopping, validations and saves at every turn.
"""

import importlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from src.logger import read_log
from src.trainer import load_checkpoint
from tests.datasets.tiny_corpus import write_chapter

LETTERS = "abcdefgh"
OF_TIME = {"time", "train/audio_s_per_s", "train/steps_per_s", "train/data_wait"}


def write_corpus(root: Path) -> Path:
    """Tones of 0.5 to 1.2 s, each with a transcript of its own, in LibriSpeech's layout."""
    rng = np.random.default_rng(5)
    for part, n_speakers in (("train-clean-100", 5), ("dev-clean", 1)):
        for speaker in range(n_speakers):
            utterances = {}
            for _ in range(7):
                text = "".join(rng.choice(list(LETTERS.upper()), size=int(rng.integers(3, 7))))
                utterances[text] = float(rng.uniform(0.5, 1.2))
            write_chapter(root / part, f"{part[0]}{speaker}", utterances)
    return root


def arguments(root: Path, run_dir: Path, *overrides: str) -> list[str]:
    """What train.py is called with."""
    return [
        "-cn=deepspeech2", "device=cpu", f"run_dir={run_dir}", f"dataset.root={root}",
        f"dataset.index_dir={root}/index", "dataset.train.speakers=all", "transform=logmel80",
        "dataset.validation.parts=[dev-clean]", "dataset.validation.speakers=all",
        "model.n_cnn_layers=1", "model.n_rnn_layers=1", "model.n_channels=4", "model.width=16",
        "model.dropout=0.2", "loader.batch_size=3", "loader.max_batch_s=null",
        "loader.bucket_pool=2", "loader.n_workers=1", "trainer.n_epochs=6", "trainer.accumulate=2",
        "trainer.validate_every_epochs=null", "trainer.validate_every_steps=5",
        "trainer.patience=2", "trainer.monitor=loss",
        "trainer.keep_top_k=2", "trainer.log_every=3", "trainer.save_every_minutes=0.001",
        "trainer.n_examples=0", "trainer.precision=float32", "optimizer.lr=0.1", *overrides,
    ]  # fmt: skip


def start(
    words: Sequence[str],
    output: Path,
    prepare: Callable[[], None] | None = None,
    at_end: Callable[[], None] | None = None,
) -> int:
    """train.py in a process forked from this one, which spares it PyTorch's start; its id.

    Args:
        output: file that its messages are appended to.
        prepare: called in the new process before all else.
        at_end: called there after all else.
    """
    entry = importlib.import_module("train")
    process = os.fork()
    if process:
        return process
    status = 70
    try:
        with output.open("ab", buffering=0) as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        torch.set_num_threads(1)
        sys.argv = ["train.py", *words]
        if prepare:
            prepare()
        try:
            entry.main()
        except SystemExit as leaving:
            status = int(leaving.code or 0)
        if at_end:
            at_end()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def finish(process: int) -> int:
    """Wait for a process; its status, −9 where SIGKILL ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def is_alive(process: int) -> bool:
    """Not even a zombie, which waits to be waited for."""
    state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    return state != "Z"


def outcome(run_dir: Path) -> dict:
    """All that two runs must have in common, bit for bit; names of files and keys to values."""
    found: dict = {}
    for path in sorted((run_dir / "checkpoints").iterdir()):
        if path.name != "previous.pt":  # whose step depends on the clock
            for name, value in _flat(load_checkpoint(path)):
                found[f"{path.name}: {name}"] = value
    events = read_log(run_dir / "log.jsonl")
    for number, event in enumerate(events):
        found[f"log.jsonl {number}"] = {k: v for k, v in event.items() if k not in OF_TIME}
    return found


def _flat(node, name: str = ""):
    """Leaves of a checkpoint; seconds of work are left out."""
    if isinstance(node, torch.Tensor):
        yield name, node.detach().numpy().tobytes()
    elif isinstance(node, dict):
        for key, value in node.items():
            if key not in ("wall_s", "unlogged"):
                yield from _flat(value, f"{name}.{key}")
    elif isinstance(node, list | tuple):
        for number, value in enumerate(node):
            yield from _flat(value, f"{name}.{number}")
    else:
        yield name, node


def differences(one: dict, other: dict) -> list[str]:
    """Names under which two outcomes differ."""
    return sorted(k for k in one.keys() | other.keys() if one.get(k, _flat) != other.get(k, _flat))
