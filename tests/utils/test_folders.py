import os
import signal
import subprocess
import sys
import threading

import pytest

from src.utils.errors import UserError
from src.utils.folders import only_run_in, remove_unbegun, wait_until_gone
from tests.conftest import REPOSITORY

HOLD = """
import sys
import threading
from src.utils.folders import only_run_in
with only_run_in(sys.argv[1], resumed=False):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_belongs_to_one_process_until_that_ends_however_it_ends(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout.readline() == "held\n"
        for resumed in (False, True):
            with (
                pytest.raises(UserError, match="another process is training in this folder"),
                only_run_in(tmp_path, resumed=resumed),
            ):
                pass
        other.kill()
        other.wait()
    with only_run_in(tmp_path, resumed=False):
        pass
    assert not list(tmp_path.iterdir())


WITH_A_WORKER = """
import multiprocessing, os, sys, time
from src.utils.folders import only_run_in
def work():  # it speaks itself, so that it surely runs before its trainer is killed
    print(os.getpid(), flush=True)
    time.sleep(600)
with only_run_in(sys.argv[1], resumed=False):
    worker = multiprocessing.get_context("fork").Process(target=work)
    worker.start()
    sys.stdin.read()
"""


def test_a_worker_that_outlives_its_killed_trainer_holds_no_folder(tmp_path):
    command = [sys.executable, "-c", WITH_A_WORKER, tmp_path]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as trainer:
        worker = int(trainer.stdout.readline())
        trainer.kill()
        trainer.wait()
        try:
            with only_run_in(tmp_path, resumed=True):
                os.kill(worker, 0)  # still there
        finally:
            os.kill(worker, signal.SIGKILL)


def test_what_a_killed_run_left_half_written_is_cleared_away(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    halves = [tmp_path / ".log.jsonl.abc.part", tmp_path / "checkpoints/.last.pt.x_1.part"]
    kept = [tmp_path / "log.jsonl", tmp_path / ".gitignore", tmp_path / "checkpoints/last.pt"]
    for path in (*halves, *kept):
        path.touch()
    with only_run_in(tmp_path, resumed=True):
        assert [path.exists() for path in (*halves, *kept)] == [False] * 2 + [True] * 3


def test_a_folder_with_a_run_in_it_may_only_be_resumed(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/last.pt").touch()
    with (
        pytest.raises(UserError, match=r"holds a run already.*resume="),
        only_run_in(tmp_path, resumed=False),
    ):
        pass
    with only_run_in(tmp_path, resumed=True):
        pass


@pytest.mark.parametrize(
    ("others", "stays"),
    [({}, False), ({"log.jsonl": ""}, False), ({"log.jsonl": "{}"}, True), ({"notes": ""}, True)],
)
def test_a_run_folder_goes_only_where_nothing_began_in_it(others, stays, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    for name, content in ({"config.yaml": "a: 1", "train.log": "INFO"} | others).items():
        (folder / name).write_text(content)
    remove_unbegun(folder)
    assert folder.exists() == stays
    if stays:
        assert {path.name for path in folder.iterdir()} == {"config.yaml", "train.log", *others}


def test_a_folder_is_waited_for_until_it_is_gone_but_not_for_ever(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    wait_until_gone(folder, seconds=0.1)
    assert folder.exists()
    threading.Timer(0.2, folder.rmdir).start()
    wait_until_gone(folder, seconds=60)
    assert not folder.exists()
