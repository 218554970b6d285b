"""A packed file has its name when it is whole, and leaves nothing else."""

import fcntl
import signal

import pytest

from src.datasets.hdf5 import written_aside


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
