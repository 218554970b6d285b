"""Kill training runs at random moments, resume them each time, and compare how they end.

    python -m tests.reliability.kill_many --n 100 --seed 7

The moments come from `--seed`: lines of the trainer, of saving, of validating, of the log (the
process kills itself just before the line), and moments of the clock (killed from outside). A
run is resumed until it ends; then the next begins, until `--n` deaths were died. Exit status 0:
each ended like one that nobody disturbed, bit for bit.
"""

import argparse
import itertools
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.reliability.killer import PLACES, Killer
from tests.reliability.tiny_run import arguments, differences, finish, outcome, start, write_corpus

FURTHEST = 0.4  # of a life's lines that a sitting comes before it is killed


class Executioner:
    """Kills the sittings of runs with the same arguments, here and there by turns."""

    def __init__(self, folder: Path, corpus: Path, n: int, seed: int, *overrides: str) -> None:
        self.folder, self.corpus, self.n, self.overrides = folder, corpus, n, overrides
        self.chance = random.Random(seed)
        self.kinds = itertools.cycle([*PLACES, "clock"])
        self.deaths: list[str] = []  # "file:line function", or "clock"
        self.said = folder / "output.txt"

    def run_undisturbed(self) -> dict:
        """The outcome that all others must have; notes how long a life is."""
        run_dir, note = self.folder / "undisturbed", self.folder / "lines"
        began = time.monotonic()
        killer = Killer("anywhere", None, note)
        self._check(finish(start(self._words(run_dir), self.said, killer.arm, killer.tell)))
        self.seconds = time.monotonic() - began
        lines = (line.split() for line in note.read_text(encoding="utf-8").splitlines())
        self.counts = Counter({name: int(n) for name, n in lines})
        return outcome(run_dir)

    def run_killed(self, run_dir: Path) -> dict:
        """One run, resumed after each death till its end."""
        while len(self.deaths) < self.n:
            if self._sit(next(self.kinds), run_dir):
                return outcome(run_dir)
        self._check(finish(start(self._words(run_dir), self.said)))
        return outcome(run_dir)

    def _sit(self, kind: str, run_dir: Path) -> bool:
        """Whether this sitting lived to the end of the training."""
        note = self.folder / "death"
        note.unlink(missing_ok=True)
        if kind == "clock":
            process = start(self._words(run_dir), self.said)
            time.sleep(self.chance.uniform(0, self.seconds))
            os.kill(process, signal.SIGKILL)
            status = finish(process)
        else:
            n_lines = sum(self.counts[name] for name in PLACES[kind])
            after = 1 + int(self.chance.uniform(0, FURTHEST) * n_lines)
            killer = Killer(kind, after, note)
            status = finish(start(self._words(run_dir), self.said, killer.arm))
        if status == -signal.SIGKILL:
            self.deaths.append(note.read_text(encoding="utf-8") if note.exists() else "clock")
            return False
        self._check(status)
        return True

    def _words(self, run_dir: Path) -> list[str]:
        begun = (run_dir / "config.yaml").exists()
        resumed = [f"resume={run_dir}"] if begun else []
        return arguments(self.corpus, run_dir, *resumed, *self.overrides)

    def _check(self, status: int) -> None:
        if status:
            said = self.said.read_text(encoding="utf-8")[-3000:]
            raise AssertionError(f"status {status} after {len(self.deaths)} deaths:\n{said}")


def main(words: list[str]) -> int:
    """Status 0 where every run ended as it should."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=100, help="deaths")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument("overrides", nargs="*", help="more overrides of train.py")
    options = parser.parse_args(words)
    folder = Path(tempfile.mkdtemp(prefix="kill_many."))
    killer = Executioner(
        folder, write_corpus(folder / "corpus"), options.n, options.seed, *options.overrides
    )
    wanted = killer.run_undisturbed()
    for number in itertools.count(1):
        run_dir = folder / f"killed-{number}"
        before = len(killer.deaths)
        found = differences(wanted, killer.run_killed(run_dir))
        print(f"run {number}: {len(killer.deaths) - before} deaths, {len(found)} differences")
        if found:
            print(*found[:20], f"Left for a look: {folder}", sep="\n")
            return 1
        shutil.rmtree(run_dir)
        if len(killer.deaths) >= options.n:
            break
    places = Counter(death.split(":")[0] for death in killer.deaths)
    print(f"{len(killer.deaths)} deaths: {', '.join(f'{k} {n}' for k, n in places.most_common())}")
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
