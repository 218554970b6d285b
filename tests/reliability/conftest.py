"""A process that has everything imported and forks runs of train.py, a second each."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.reliability.tiny_run import arguments, outcome, write_corpus


class Runs:
    """Runs of train.py over one small corpus, as children of `tests.reliability.nursery`."""

    def __init__(self, folder: Path, nursery: subprocess.Popen) -> None:
        self.folder, self.nursery = folder, nursery
        self.corpus = write_corpus(folder / "corpus")
        self.said = folder / "said.txt"

    def start(
        self,
        run_dir: Path,
        *overrides: str,
        resume: bool = False,
        largest_file: int | None = None,
        killed_behind: str | None = None,
    ) -> int:
        """Process id of a run. With `resume` its folder tells how it was begun; it can write no
        file of more bytes than `largest_file`, and SIGKILL ends it when a file that matches
        `killed_behind` stands in its place."""
        self.said.write_text("")
        begun = [f"resume={run_dir}", *overrides]
        words = begun if resume else arguments(self.corpus, run_dir, *overrides)
        limits = {"largest_file": largest_file, "killed_behind": killed_behind}
        return self._ask({"words": words, "said": str(self.said), **limits})

    def wait(self, process: int) -> tuple[int, str]:
        """Its status, −n where signal n ended it, and what it said."""
        return self._ask({"wait": process}), self.said.read_text(encoding="utf-8")

    def run(self, run_dir: Path, *overrides: str, **options) -> tuple[int, str]:
        """`start` and `wait`."""
        return self.wait(self.start(run_dir, *overrides, **options))

    def _ask(self, question: dict) -> int:
        self.nursery.stdin.write(json.dumps(question) + "\n")
        self.nursery.stdin.flush()
        return int(self.nursery.stdout.readline())


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.reliability.nursery"],
        cwd=REPOSITORY,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as nursery:
        yield Runs(tmp_path_factory.mktemp("runs"), nursery)
        # Closing its input would end it too, were it not for what others forked meanwhile: a
        # worker that some test left behind holds that pipe open as well.
        nursery.terminate()


@pytest.fixture(scope="session")
def undisturbed(runs):
    """The outcome of a run that nothing happened to."""
    status, said = runs.run(runs.folder / "undisturbed")
    assert status == 0, said
    return outcome(runs.folder / "undisturbed")


@pytest.fixture
def disk(tmp_path):
    """Mounts a small disk: disk(kilobytes). A second call gives the same disk another size."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(*options: str) -> Path:
        command = ["mount", "-t", "tmpfs", *options, "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
        return folder

    if shutil.which("mount") is None:
        pytest.skip("there is no mount command here")
    yield mount
    while subprocess.run(["umount", str(folder)], capture_output=True, check=False).returncode == 0:
        pass
