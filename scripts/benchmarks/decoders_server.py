"""A process that holds one decoder warm and decodes whenever it is told to.

`python -m scripts.benchmarks.decoders_server KIND TASK` reads commands from standard input, one
JSON a line, and answers likewise. It ends with its input.
"""

import cProfile
import json
import os
import pstats
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from scripts.benchmarks.decoders import CONTESTANTS, Decode
from scripts.benchmarks.decoders_task import Task
from src.cli import explain

SOURCE = Path(__file__).resolve().parents[2] / "src"


def main(kind: str, task: str) -> None:
    """Load everything, say so, then serve until the input ends."""
    # Whatever libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(values: dict[str, Any]) -> None:
        print(json.dumps(values), file=answers, flush=True)

    try:
        serve = server(kind, Task.from_json(task))
        answer(serve({"command": "facts"}))
        for line in sys.stdin:
            answer(serve(json.loads(line)))
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        answer({"error": message})


def server(kind: str, task: Task) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A function from commands to answers."""
    torch.set_num_threads(task.n_threads)
    heard = task.heard()
    contestant = CONTESTANTS[kind](task, heard)
    decoders: dict[str, Decode] = {}

    def serve(asked: dict[str, Any]) -> dict[str, Any]:
        if asked["command"] == "facts":
            return {"n_frames": heard.n_frames, "n_utterances": len(heard.texts)}
        key = json.dumps(asked["setting"])
        if key not in decoders:
            decoders[key] = contestant.decoder(asked["setting"])
        return {"n_frames": heard.n_frames, **COMMANDS[asked["command"]](decoders[key])}

    return serve


def timed(decode: Decode) -> dict[str, Any]:
    """One pass over all utterances."""
    start, cpu_start = time.perf_counter(), time.process_time()
    decode()
    return {"seconds": time.perf_counter() - start, "cpu_s": time.process_time() - cpu_start}


def read(decode: Decode) -> dict[str, Any]:
    """The texts, and the most memory this process ever took."""
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"texts": decode(), "peak_bytes": peak}


def profiled(decode: Decode) -> dict[str, Any]:
    """Processor seconds spent in each function of ours and in what it calls of others'."""
    profile = cProfile.Profile(time.process_time)
    profile.runcall(decode)
    seconds: Counter[str] = Counter()
    for place, (_, _, own, _, callers) in pstats.Stats(profile).stats.items():
        if _is_ours(place):
            seconds[_named(place)] += own
            continue
        for caller, (_, _, own, whole) in callers.items():
            if _is_ours(caller):
                # What is built in may call us back (map, sorted); libraries' functions don't.
                seconds[_named(caller)] += own if place[0] == "~" else whole
    return {"functions": dict(seconds.most_common(12)), "all": sum(seconds.values())}


def _is_ours(place: tuple[str, int, str]) -> bool:
    return place[0].startswith(str(SOURCE))


def _named(place: tuple[str, int, str]) -> str:
    return f"{Path(place[0]).stem}.{place[2]}"


COMMANDS = {"timed": timed, "read": read, "profiled": profiled}


if __name__ == "__main__":
    main(*sys.argv[1:])
