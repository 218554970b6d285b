"""A packed file has its name when it is whole, and leaves nothing else."""

import contextlib
import fcntl
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from src.datasets.commands.hdf5 import written_aside
from tests.conftest import REPOSITORY


def test_ctrl_c_as_the_file_is_made_leaves_nothing(tmp_path, monkeypatch):
    """It left the empty file now and then: after it was made, before anyone saw to its end."""
    lock = fcntl.flock

    def interrupted(file, operation: int) -> None:
        signal.raise_signal(signal.SIGINT)
        lock(file, operation)

    monkeypatch.setattr(fcntl, "flock", interrupted)
    with pytest.raises(KeyboardInterrupt), written_aside(tmp_path / "packed.h5"):
        pytest.fail("it was interrupted before")
    assert not list(tmp_path.iterdir())


WRITE_AND_WAIT = """
import sys
from pathlib import Path
from src.datasets.commands.hdf5 import written_aside
with written_aside(Path(sys.argv[1])) as file:
    file.write(b"whole")
    print("written", flush=True)
    sys.stdin.read()
"""


def test_a_file_that_got_its_name_since_it_was_opened_is_not_emptied(tmp_path, monkeypatch):
    """A writer opened the other's unfinished file, and locked it when it was the finished one."""
    path, lock = tmp_path / "packed.h5", fcntl.flock
    command = [sys.executable, "-c", WRITE_AND_WAIT, path]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b"written\n"

        def late(file, operation: int) -> None:
            if other.poll() is None:
                other.communicate()  # it finishes, between our opening and our locking
            lock(file, operation)

        monkeypatch.setattr(fcntl, "flock", late)
        with written_aside(path) as file:
            assert path.read_bytes() == b"whole"
            file.write(b"newer")
    assert other.returncode == 0
    assert path.read_bytes() == b"newer" and list(tmp_path.iterdir()) == [path]


def test_a_writer_that_ends_does_not_remove_what_the_next_one_has_begun(tmp_path, monkeypatch):
    path, replace = tmp_path / "packed.h5", Path.replace
    with contextlib.ExitStack() as next_one:
        begun = []

        def then_the_next_begins(source: Path, target: Path) -> None:
            replace(source, target)
            monkeypatch.undo()
            begun.append(next_one.enter_context(written_aside(path)))

        with written_aside(path) as file:
            file.write(b"first")
            monkeypatch.setattr(Path, "replace", then_the_next_begins)
        assert path.read_bytes() == b"first"
        begun[0].write(b"second")
    assert path.read_bytes() == b"second" and list(tmp_path.iterdir()) == [path]
