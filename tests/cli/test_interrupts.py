"""Ctrl-C: one line, status 130, and nothing half-written."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.cli.conftest import ROOT


def interrupted(is_at_work: Callable[[], bool], *command: str | Path) -> str:
    """What a command says that is interrupted as soon as it is at work, checked to be a line."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, *map(str, command)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,  # Ctrl-C reaches a whole group
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        while process.poll() is None and not is_at_work():
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        errors = process.stderr.read()
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    return errors.strip().splitlines()[-1]


def test_inference_keeps_what_it_has_written(trained, commands_h5, tmp_path):
    folder = tmp_path / "speech_commands_train"
    line = interrupted(
        lambda: any(folder.glob("*.json")),
        "inference.py", "dataset=speech_commands", f"dataset.path={commands_h5}", "part=train",
        f"checkpoint={trained}", f"output={tmp_path}", "device=cpu", "loader.batch_size=1",
        "loader.n_workers=1", "decoder=beam", "decoder.beam_width=200",
        "decoder.token_threshold=null", "decode_batch=4",
    )  # fmt: skip
    assert line == "inference.py: interrupted; what is written stays, and is whole"
    for path in folder.glob("*.json"):
        assert "pred_text" in json.loads(path.read_text())


def test_training_that_has_not_begun_just_leaves(commands_h5, tmp_path):
    line = interrupted(
        lambda: (tmp_path / "run" / "config.yaml").exists(),
        "train.py", "-cn=convnet", f"dataset.path={commands_h5}", f"run_dir={tmp_path / 'run'}",
    )  # fmt: skip
    assert line.startswith("train.py: interrupted; ")


def test_packing_leaves_nothing_behind(commands_h5, tmp_path):
    line = interrupted(
        lambda: any(tmp_path.iterdir()),
        "-m", "scripts.prepare_speech_commands", "--source", commands_h5.parent / "clips",
        "--out", tmp_path / "packed.h5",
    )  # fmt: skip
    assert line == "prepare_speech_commands: interrupted; run the same command again"
    assert not list(tmp_path.iterdir())


def test_speaking_leaves_nothing_under_the_final_name(tmp_path):
    line = interrupted(
        lambda: any(tmp_path.iterdir()),
        "-m", "scripts.generate_commands", "--out", tmp_path / "clips", "--n_speakers", "60",
    )  # fmt: skip
    assert line == "generate_commands: interrupted; run it again to start over"
    assert not (tmp_path / "clips").exists()
