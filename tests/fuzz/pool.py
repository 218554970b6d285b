"""Inputs tried in processes of their own, so that a crash or a hang is only a finding.

The parent knows which input it gave to a worker: when that one dies or stays silent, the input
is to blame, and its files are kept.
"""

import contextlib
import faulthandler
import io
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from src.utils.errors import UserError

SILENCE_S = 180.0  # a worker that says nothing for so long hangs, however busy the machine is
MEMORY_BYTES = 8 << 30  # address space of a worker: a header must not be able to ask for more
OUTCOMES = ("refused", "accepted", "wrong", "traceback", "crash", "hang")
FINE = ("refused", "accepted")


class Wrong(AssertionError):
    """A result that can't be right."""


class Kind(Protocol):
    """A kind of input: how to damage it, and what must then hold."""

    name: str

    def prepare(self, originals: Path) -> None:
        """Write undamaged inputs into an empty folder."""

    def mutate(self, originals: Path, case: Path, random: np.random.Generator) -> None:
        """Write one damaged input into an empty folder."""

    def check(self, originals: Path, case: Path) -> None:
        """Read it as the project would: UserError, a right result, or Wrong."""


class Finding(NamedTuple):
    """What became of one input."""

    kind: str
    index: int
    outcome: str
    detail: str = ""


@dataclass
class Report:
    """Counts by outcome, and everything that is not fine."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def add(self, finding: Finding) -> None:
        self.counts[finding.kind, finding.outcome] += 1
        if finding.outcome not in FINE:
            self.findings.append(finding)

    def rows(self) -> Iterator[tuple]:
        """kind, inputs, and the count of each outcome."""
        for kind in dict.fromkeys(kind for kind, _ in self.counts):
            counts = [self.counts[kind, outcome] for outcome in OUTCOMES]
            yield kind, sum(counts), *counts


def fuzz(
    kinds: list[Kind],
    n: int,
    seed: int,
    scratch: Path,
    *,
    jobs: int = 1,
    first: int = 0,
    silence_s: float = SILENCE_S,
) -> Report:
    """Try inputs `first` … `first` + n − 1 of each kind.

    Args:
        seed: with the kind's name and an input's number, decides how the input is damaged.
        scratch: folder for originals and, while they are tried, inputs; those that are not fine
            stay in there, under KIND-NUMBER.
        jobs: processes.
        silence_s: how long a worker may take for an input, in seconds.
    """
    for kind in kinds:
        originals = scratch / f"{kind.name}-originals"
        originals.mkdir(parents=True)
        with contextlib.redirect_stdout(io.StringIO()):
            kind.prepare(originals)
    tasks = iter([(kind, index) for kind in kinds for index in range(first, first + n)])
    report = Report()
    workers = [_Worker(i, seed, scratch, silence_s) for i in range(jobs)]
    busy = [worker for worker in workers if worker.take(next(tasks, None))]
    while busy:
        wait([end for worker in busy for end in worker.ends], timeout=5.0)
        for worker in busy[:]:
            finding = worker.finding()
            if finding:
                report.add(finding)
                if not worker.take(next(tasks, None)):
                    busy.remove(worker)
    for worker in workers:
        worker.stop()
    return report


class _Worker:
    """A process and the input it is trying; replaced when it dies or hangs."""

    def __init__(self, number: int, seed: int, scratch: Path, silence_s: float) -> None:
        self._log = scratch / f"worker-{number}.log"
        self._seed, self._scratch, self._silence_s = seed, scratch, silence_s
        self._start()

    def _start(self) -> None:
        # Forked from a server that has imported everything and used nothing: a crash costs
        # milliseconds, and PyTorch hangs in a child of a process that has calculated with it.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tests.fuzz.kinds"])
        self._pipe, theirs = context.Pipe()
        arguments = (theirs, self._log, self._seed, self._scratch)
        self._process = context.Process(target=_work, args=arguments, daemon=True)
        self._process.start()
        theirs.close()
        self._pipe.recv()  # it is ready: importing everything is no silence

    @property
    def ends(self) -> list:
        return [self._pipe, self._process.sentinel]

    def take(self, task: tuple[Kind, int] | None) -> bool:
        """Begin an input; False where there is none left."""
        self._task, self._since = task, time.monotonic()
        if task:
            self._pipe.send(task)
        return task is not None

    def finding(self) -> Finding | None:
        """What became of the input; None while it is being tried."""
        kind, index = self._task
        with contextlib.suppress(EOFError, ConnectionError):
            if self._pipe.poll():
                return Finding(kind.name, index, *self._pipe.recv())
        hangs = time.monotonic() - self._since > self._silence_s
        if self._process.is_alive() and not hangs:
            return None
        self._process.kill()
        self._process.join()
        how = "hang" if hangs else "crash"
        detail = f"exit status {self._process.exitcode}\n{self._last_words()}"
        self._start()
        return Finding(kind.name, index, how, detail)

    def stop(self) -> None:
        # Said, not shown by closing the pipe: workers forked later hold a copy of its end.
        self._pipe.send(None)
        self._process.join()
        self._pipe.close()

    def _last_words(self) -> str:
        return self._log.read_bytes()[-3000:].decode("utf-8", "replace")


def _work(pipe: Connection, log: Path, seed: int, scratch: Path) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us
    with log.open("wb") as file:
        for descriptor in (1, 2):  # decoders write to the terminal past sys.stderr
            os.dup2(file.fileno(), descriptor)
        sys.stdout = sys.stderr = log.open("a", encoding="utf-8", errors="backslashreplace")
        faulthandler.enable(file)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        pipe.send("ready")
        while task := pipe.recv():
            os.ftruncate(file.fileno(), 0)
            pipe.send(_tried(*task, seed, scratch))


def _tried(kind: Kind, index: int, seed: int, scratch: Path) -> tuple[str, str]:
    """Outcome and detail of one input; its files go where the outcome is fine."""
    originals = scratch / f"{kind.name}-originals"
    case = scratch / f"{kind.name}-{index}"
    case.mkdir()
    random = np.random.default_rng([seed, index, *kind.name.encode()])
    outcome, detail = "accepted", ""
    try:
        kind.mutate(originals, case, random)
        kind.check(originals, case)
    except UserError as error:
        outcome, detail = "refused", str(error)
    except Wrong as error:
        outcome, detail = "wrong", str(error)
    except BaseException:
        outcome, detail = "traceback", traceback.format_exc()[-3000:]
    if outcome in FINE:
        shutil.rmtree(case)
    return outcome, detail


def expect(condition: bool, message: str) -> None:
    """Raise Wrong where a result can't be right."""
    if not condition:
        raise Wrong(message)
