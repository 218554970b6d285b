"""Decoders taking turns on the same utterances, round after round, on one core or on several."""

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from scripts.benchmarks.decoders import Setting
from scripts.benchmarks.decoders_task import Heard, Task, write_lexicon
from scripts.benchmarks.race import Entry, Runner, Spread
from src.language_models import NGram
from src.metrics import character_errors, corpus_rate, word_errors

SERVER = "scripts.benchmarks.decoders_server"


@dataclass(frozen=True)
class Team:
    """One decoder, and how many processes of it share the utterances."""

    kind: str
    settings: Sequence[Setting]
    python: str = sys.executable
    n_processes: int = 1
    n_threads: int = 1  # of PyTorch, in each


@dataclass
class Outcome:
    """What one decoder did with one setting."""

    team: str
    setting: Setting
    wer: float = 0.0
    cer: float = 0.0
    rounds: list[dict[str, float]] = field(default_factory=list)
    profile: dict[str, Any] | None = None

    @property
    def speeds(self) -> list[float]:
        """Frames a second, round by round."""
        return [one["n_frames"] / one["seconds"] for one in self.rounds]

    @property
    def speed(self) -> Spread:
        return Spread.of(self.speeds)

    @property
    def cpu_us(self) -> float:
        """Processor microseconds a frame, which other jobs hardly disturb; median."""
        return 1e6 * Spread.of([one["cpu_s"] / one["n_frames"] for one in self.rounds]).median

    def times_faster(self, other: "Outcome") -> Spread:
        """Than `other`, each round by itself, since the machine has moods."""
        return Spread.of([a / b for a, b in zip(self.speeds, other.speeds, strict=True)])


def race(teams: Mapping[str, Team], task: Task, n_rounds: int, profile: bool) -> list[Outcome]:
    """Every setting reads everything once, to get warm and to be scored; then all take turns.

    Args:
        profile: ask ours, at the end, where its time goes.

    Raises:
        UserError: a contestant can't be built or ended with an error.
    """
    heard = task.everything()
    with ExitStack() as stack:
        prepared = _prepared(task, heard, stack)
        running = {
            name: stack.enter_context(Running(name, team, prepared)) for name, team in teams.items()
        }
        pairs = [Outcome(name, one) for name, team in teams.items() for one in team.settings]
        for outcome in pairs:
            _score(outcome, running[outcome.team].texts(outcome.setting, heard), heard)
        for turn in range(n_rounds):
            for outcome in pairs:
                outcome.rounds.append(running[outcome.team].timed(outcome.setting))
                _tell(f"round {turn + 1} of {n_rounds}", outcome, outcome.speeds[-1])
        for outcome in pairs:
            if profile and teams[outcome.team].kind == "ours":
                outcome.profile = running[outcome.team].profiled(outcome.setting)
    return pairs


def _prepared(task: Task, heard: Heard, stack: ExitStack) -> Task:
    """The task with the files that all contestants read beside the language model."""
    if task.language_model is None:
        return task
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    model = NGram.load(task.language_model)
    model.save(folder / "mapped.lm")
    write_lexicon(folder / "lexicon.txt", model, heard.vocabulary)
    files = {"mapped_model": str(folder / "mapped.lm"), "lexicon": str(folder / "lexicon.txt")}
    return replace(task, **files)


def _score(outcome: Outcome, texts: list[str], heard: Heard) -> None:
    pairs = list(zip(heard.texts, texts, strict=True))
    outcome.wer = corpus_rate(word_errors(*pair) for pair in pairs)
    outcome.cer = corpus_rate(character_errors(*pair) for pair in pairs)
    _tell("read", outcome)


def _tell(when: str, outcome: Outcome, speed: float | None = None) -> None:
    # A round may take minutes, and what was seen so far outlives a run that is broken off.
    found = f"WER {100 * outcome.wer:.2f} %" if speed is None else f"{speed:,.0f} frames/s"
    named = f"{outcome.team} {shown(outcome.setting)}"
    print(f"{when}: {named}: {found}", file=sys.stderr, flush=True)


def shown(setting: Setting) -> str:
    """`beam_width=8 n_tokens=4`."""
    return " ".join(f"{key}={_value(value)}" for key, value in setting.items())


def _value(value: object) -> str:
    return "null" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


class Running:
    """The processes of one team."""

    def __init__(self, name: str, team: Team, task: Task) -> None:
        self._stack = ExitStack()
        with self._stack as stack:
            self.runners, self.tasks = [], []
            for part in range(team.n_processes):
                own = replace(task, part=part, of_parts=team.n_processes, n_threads=team.n_threads)
                runner = Runner(name, Entry(team.kind, own, team.python), SERVER)
                self.runners.append(stack.enter_context(runner))
                self.tasks.append(own)
            self._pool = stack.enter_context(ThreadPoolExecutor(team.n_processes))
            self._stack = stack.pop_all()  # all could be started

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def texts(self, setting: Setting, heard: Heard) -> list[str]:
        """What it reads, in the order of the utterances."""
        texts = [""] * len(heard.texts)
        for task, answer in zip(self.tasks, self._ask("read", setting), strict=True):
            for place, text in zip(task.places(heard), answer["texts"], strict=True):
                texts[place] = text
        return texts

    def timed(self, setting: Setting) -> dict[str, float]:
        """Seconds until the last process is done, processor seconds and frames of all."""
        answers = self._ask("timed", setting)
        return {
            "seconds": max(answer["seconds"] for answer in answers),
            "cpu_s": sum(answer["cpu_s"] for answer in answers),
            "n_frames": sum(answer["n_frames"] for answer in answers),
        }

    def profiled(self, setting: Setting) -> dict[str, Any]:
        """Where the first process spends its time."""
        return self._ask("profiled", setting)[0]

    def _ask(self, command: str, setting: Setting) -> list[dict[str, Any]]:
        line = json.dumps({"command": command, "setting": setting})
        return list(self._pool.map(lambda runner: runner.ask(line), self.runners))
