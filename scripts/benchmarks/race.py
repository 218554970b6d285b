"""Contestants taking turns: warm, interleaved, round after round, each in a process of its own."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Self

from scripts.benchmarks.recipe import Recipe
from src.utils.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Result:
    """What was measured of one contestant."""

    facts: dict[str, Any]
    rounds: list[dict[str, float]] = field(default_factory=list)  # one timed pass each
    phases: dict[str, float] = field(default_factory=dict)  # seconds by phase of a watched pass
    phases_audio_s: float = 0.0
    peak_bytes: int = 0

    @property
    def speeds(self) -> list[float]:
        """Audio seconds per second, round by round."""
        return [one["audio_s"] / one["seconds"] for one in self.rounds]

    @property
    def cpu(self) -> list[float]:
        """Processor seconds for a second of audio, round by round."""
        return [one["cpu_s"] / one["audio_s"] for one in self.rounds]

    @property
    def padding(self) -> float:
        """Share of the batches that is padding, 0 … 1."""
        return 1 - self.rounds[0]["audio_s"] / self.rounds[0]["padded_s"]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**asdict(self), "speeds": self.speeds, "padding": self.padding}


@dataclass(frozen=True)
class Spread:
    """Median and range of one number over the rounds."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: list[float]) -> Self:
        return cls(median(values), min(values), max(values))


def ratio(ours: Result, theirs: Result) -> Spread:
    """How many times faster ours is; each round by itself, since the machine has moods."""
    pairs = zip(ours.speeds, theirs.speeds, strict=True)
    return Spread.of([a / b for a, b in pairs])


@dataclass(frozen=True)
class Entry:
    """Who enters a race, and how."""

    kind: str  # a contestant that the server knows
    recipe: Recipe
    python: str = sys.executable  # that runs it


def race(entries: Mapping[str, Entry], n_rounds: int) -> dict[str, Result]:
    """Every contestant runs one pass to get warm, then `n_rounds` in turn, then one watched.

    Args:
        entries: by the name that the results shall have.

    Raises:
        UserError: a contestant can't be built or ended with an error.
    """
    with ExitStack() as stack:
        # One after another, so that each is built undisturbed.
        runners = {n: stack.enter_context(Runner(n, entry)) for n, entry in entries.items()}
        results = {name: Result(runner.facts) for name, runner in runners.items()}
        for name, runner in runners.items():
            _tell("warming", name, runner.ask("timed"))
        for turn in range(n_rounds):
            for name, runner in runners.items():
                results[name].rounds.append(runner.ask("timed"))
                _tell(f"round {turn + 1} of {n_rounds}", name, results[name].rounds[-1])
        for name, runner in runners.items():
            seen = runner.ask("watched")
            results[name].phases, results[name].phases_audio_s = seen["phases"], seen["audio_s"]
            results[name].peak_bytes = runner.ask("memory")["peak_bytes"]
    return results


def _tell(when: str, name: str, one: dict[str, float]) -> None:
    # A round may take minutes, and what was seen so far outlives a run that is broken off.
    speed, cpu_ms = one["audio_s"] / one["seconds"], 1000 * one["cpu_s"] / one["audio_s"]
    print(f"{when}: {name} {speed:.1f} audio s/s, CPU {cpu_ms:.1f} ms", file=sys.stderr, flush=True)


class Runner:
    """A contestant's process. Idle, it waits for a line and takes no processor time.

    Args:
        module: runs there, told the entry's kind and its recipe as JSON.
    """

    def __init__(self, name: str, entry: Entry, module: str = "scripts.benchmarks.server") -> None:
        self.name = name
        self._complaints = tempfile.TemporaryFile("w+")  # noqa: SIM115, closed on exit
        threads = {"OMP_NUM_THREADS": str(entry.recipe.n_threads), "OMP_WAIT_POLICY": "PASSIVE"}
        server = ["-m", module, entry.kind, entry.recipe.to_json()]
        try:
            self._process = subprocess.Popen(
                [entry.python, *server],
                cwd=ROOT,
                env=os.environ | threads,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._complaints,
                text=True,
            )
        except OSError as error:
            raise UserError(f"{entry.python}: can't be started ({error.strerror}).") from error
        self.facts = self._answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._complaints.close()

    def ask(self, command: str) -> dict[str, Any]:
        """Give a command of the server and wait for its answer."""
        try:
            self._process.stdin.write(command + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended; its last words say why
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._complaints.seek(0)
            last = (self._complaints.read().strip().splitlines() or ["it said nothing"])[-1]
            raise UserError(
                f"{self.name}: ended with status {self._process.returncode}. Its last line: {last}"
            )
        answer = json.loads(line)
        if "error" in answer:
            raise UserError(f"{self.name}: {answer['error']}")
        return answer
