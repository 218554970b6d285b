"""A few damaged inputs of each kind; `python -m tests.fuzz.run` tries thousands."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from src.utils.errors import UserError
from tests.fuzz.kinds import KINDS
from tests.fuzz.mutations import damaged, scribbled
from tests.fuzz.pool import Wrong, fuzz

# Where an input takes a process of its own or a config to compose; 40 of any other kind.
SLOW = {"csr-hdf5": 8, "overrides": 12, "config-files": 12, "checkpoint": 30}


@pytest.mark.parametrize("slow", [False, True], ids=["quick", "slow"])
def test_damaged_input_is_refused_or_read_rightly(tmp_path, slow):
    for n in {SLOW.get(kind.name, 40) for kind in KINDS if (kind.name in SLOW) == slow}:
        kinds = [kind for kind in KINDS if SLOW.get(kind.name, 40) == n]
        report = fuzz(kinds, n, seed=2, scratch=tmp_path / str(n))
        assert report.findings == []
        assert sum(report.counts.values()) == n * len(kinds)


@dataclass
class Misbehaving:
    """Inputs that do each thing that must be noticed."""

    name: str = "misbehaving"

    def prepare(self, originals: Path) -> None:
        (originals / "x").write_text("x")

    def mutate(self, originals: Path, case: Path, random: np.random.Generator) -> None:
        (case / "x").write_bytes(random.bytes(8))

    def check(self, originals: Path, case: Path) -> None:
        index = int(case.name.rpartition("-")[2])
        if index == 0:
            os.abort()
        if index == 1:
            raise KeyError("a bug")
        if index == 2:
            raise Wrong("two ids alike")
        if index == 3:
            raise UserError("refused")
        if index == 4:
            np.empty(1 << 40, np.uint8)  # a terabyte
        if index == 5:
            time.sleep(1e6)


def test_crashes_hangs_bugs_and_wrong_results_are_found_and_their_inputs_kept(tmp_path):
    report = fuzz([Misbehaving()], 7, seed=1, scratch=tmp_path, jobs=2, silence_s=8.0)
    outcomes = {finding.index: finding.outcome for finding in report.findings}
    assert outcomes == {0: "crash", 1: "traceback", 2: "wrong", 4: "traceback", 5: "hang"}
    assert list(report.rows()) == [("misbehaving", 7, 1, 1, 1, 2, 1, 1)]
    kept = {path.name for path in tmp_path.glob("misbehaving-[0-9]")}
    assert kept == {f"misbehaving-{index}" for index in outcomes}
    crash = next(finding for finding in report.findings if finding.index == 0)
    assert "exit status -6" in crash.detail
    assert "in check" in crash.detail  # the Python line that it died in


def test_a_seed_gives_the_same_damage_and_another_one_other_damage():
    content = bytes(range(256)) * 8

    def some(seed: int) -> list[bytes]:
        return [damaged(content, np.random.default_rng([seed, i]))[0] for i in range(50)]

    assert some(1) == some(1)
    assert some(1) != some(2)
    assert sum(changed != content for changed in some(1)) > 40


def test_empty_files_and_texts_can_be_damaged_too():
    random = np.random.default_rng(0)
    for _ in range(300):
        damaged(b"", random)
        scribbled("", random)
