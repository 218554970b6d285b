"""Some hundred steps of training hold no more memory or files at their end than a while before."""

import mmap
import os
import subprocess
import sys

import pytest

from scripts.measure_memory import Look, children, open_files, report, resident_kb, slope
from tests.conftest import REPOSITORY

PROGRAM = """
import dataclasses, sys
from pathlib import Path
from scripts.measure_memory import watch_training
looks = watch_training(
    Path(sys.argv[1]), 240, 1, "trainer.log_every=20", "trainer.n_examples=0",
    "trainer.validate_every_steps=40", "trainer.save_every_minutes=0.01",
    "trainer.precision=float32",  # in bf16 oneDNN keeps code for each shape, 1,024 of them at most
)
for look in looks:
    print(*dataclasses.astuple(look))
"""


def test_memory_and_open_files_stay_as_they_are(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path],
        cwd=REPOSITORY, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    looks = [Look(*map(int, line.split())) for line in done.stdout.splitlines()]
    assert [look.step for look in looks] == list(range(20, 241, 20))
    at_the_end = looks[8:]  # until then the allocator still meets new shapes
    assert len({look.trainer_files for look in at_the_end}) == 1, looks
    assert len({look.worker_files for look in at_the_end}) == 1, looks
    assert max(look.in_flight for look in at_the_end) < 40, looks  # 240 if each batch kept one
    # Leaking one batch of 4 utterances and its features a step, some 250 kB, would be 15 MB.
    for kb in ("trainer_kb", "workers_kb"):
        sizes = [getattr(look, kb) for look in at_the_end]
        assert sizes[-1] - sizes[0] < 8_000, looks


def test_the_slope_is_that_of_the_line_through_the_at_the_end():
    looks = [Look(step, 7 if step < 500 else step * 3, 5, 1, 1, 0) for step in range(0, 1000, 50)]
    assert slope(looks, "trainer_kb") == pytest.approx(3000)
    assert slope(looks, "workers_kb") == pytest.approx(0)
    assert "trainer: +3000 kB per 1,000 steps" in report(looks)


def test_what_a_process_holds_is_seen(tmp_path):
    own = os.getpid()
    files, memory = open_files(own)[0], resident_kb(own)
    ballast = mmap.mmap(-1, 50_000_000)  # pages of its own, none that Python had and left
    ballast.write(b"x" * 50_000_000)
    with (tmp_path / "a").open("w"), subprocess.Popen(["sleep", "60"]) as child:
        assert open_files(own)[0] >= files + 1
        assert resident_kb(own) - memory > 40_000
        assert child.pid in children(own)
        child.kill()
    ballast.close()
