"""Dashboards that fail cost the run no more than their curves."""

import json
import logging
import os
import socket
import subprocess
import sys
import threading

import pytest

from src.logger import TensorBoard, standard_loggers
from tests.conftest import REPOSITORY


@pytest.fixture
def silence():
    """Address of a server that takes every connection and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(64)
        taken = []

        def take() -> None:
            while True:
                try:
                    taken.append(server.accept()[0])
                except OSError:
                    return  # closed: the test is over

        threading.Thread(target=take, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        for connection in taken:
            connection.close()


ONLINE = """
import logging, sys
from src.logger import WandB, standard_loggers
logging.basicConfig(format="%(message)s")
log = standard_loggers(sys.argv[1], WandB(sys.argv[1], init_timeout_s=1, finish_timeout_s=1))
for step in range(200):
    log.scalars(step, {"train/loss": 1.0})
log.close()
"""


def test_a_wandb_server_that_never_answers_turns_the_run_offline(silence, tmp_path):
    home = {
        name: str(tmp_path / "home") for name in ("HOME", "WANDB_CONFIG_DIR", "WANDB_CACHE_DIR")
    }
    ours = {"WANDB_BASE_URL": silence, "WANDB_API_KEY": "0" * 40, "WANDB_SILENT": "true"}
    kept = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")}
    done = subprocess.run(
        [sys.executable, "-c", ONLINE, tmp_path / "run"],
        cwd=REPOSITORY, env=kept | home | ours, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "could not be reached" in done.stderr and "goes on offline" in done.stderr
    lines = (tmp_path / "run/log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(200))
    assert any(
        b"train/loss" in p.read_bytes() for p in tmp_path.glob("run/wandb/offline-*/*.wandb")
    )


def test_a_tensorboard_folder_that_cant_be_written_is_switched_off(tmp_path, caplog):
    (tmp_path / "tensorboard").write_text("in the way")
    log = standard_loggers(tmp_path, TensorBoard(tmp_path))
    with caplog.at_level(logging.WARNING):
        for step in range(3):
            log.scalars(step, {"train/loss": 1.0})
    log.close()
    [warning] = caplog.messages
    assert warning.startswith("TensorBoard failed (") and "log.jsonl goes on" in warning
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 3
