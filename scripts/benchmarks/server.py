"""A process that holds one contestant warm and runs a pass whenever it is told to.

`python -m scripts.benchmarks.server NAME RECIPE` reads commands from standard input, a line each,
and answers with a line of JSON. Each contestant has a process to itself: its peak memory is its
own, and no allocator or kernel cache is shared. It ends with its input.
"""

import json
import multiprocessing
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import torch

from scripts.benchmarks import contestants
from scripts.benchmarks.contestants import Contestant
from scripts.benchmarks.recipe import Recipe
from src.cli import explain

CLASSES = {
    "ours": contestants.Ours,
    "limit": contestants.Limit,
    "one-batch": contestants.OneBatch,
    "plain": contestants.PlainLoop,
}


def main(name: str, recipe: str) -> None:
    """Build the contestant, say so, then serve until the input ends."""
    # Whatever libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(values: dict[str, Any]) -> None:
        print(json.dumps(values), file=answers, flush=True)

    try:
        contestant = build(name, Recipe.from_json(recipe))
        answer(facts(contestant))
        for line in sys.stdin:
            answer(COMMANDS[line.strip()](contestant))
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        answer({"error": message})


def build(name: str, recipe: Recipe) -> Contestant:
    """The contestant called `name`, at rest."""
    torch.set_num_threads(recipe.n_threads)
    if name == "speechbrain":
        from scripts.benchmarks.speechbrain_loop import SpeechBrain

        return SpeechBrain(recipe)
    return CLASSES[name](recipe)


def timed(contestant: Contestant) -> dict[str, Any]:
    """One pass, from the first read to the end of the last kernel."""
    settle(contestant)
    start, cpu_start = time.perf_counter(), cpu_seconds()
    done = contestant.run()
    settle(contestant)
    seconds, cpu_s = time.perf_counter() - start, cpu_seconds() - cpu_start
    rate = sample_rate(contestant)
    return {
        "seconds": seconds,
        "cpu_s": cpu_s,
        "audio_s": done.n_samples / rate,
        "padded_s": done.n_padded / rate,
        "n_steps": done.n_steps,
    }


def watched(contestant: Contestant) -> dict[str, Any]:
    """One pass under the stopwatch: seconds by phase, and the audio they went into."""
    with contestant.watch.watching(*contestant.watched()):
        done = contestant.run()
    phases = contestant.watch.seconds()
    return {"phases": phases, "audio_s": done.n_samples / sample_rate(contestant)}


def memory(contestant: Contestant) -> dict[str, Any]:
    """Most bytes so far: of the process on a CPU (without workers), of tensors on a GPU."""
    if contestant.watch.device.type == "cuda":
        return {"peak_bytes": torch.cuda.max_memory_allocated()}
    return {"peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}


COMMANDS = {"timed": timed, "watched": watched, "memory": memory}


def cpu_seconds() -> float:
    """Processor time of this process and its living workers, which other jobs hardly disturb."""
    return time.process_time() + sum(map(_cpu_of, multiprocessing.active_children()))


def _cpu_of(process: multiprocessing.Process) -> float:
    stat = Path(f"/proc/{process.pid}/stat")
    if not stat.exists():  # no Linux, or just ended
        return 0.0
    fields = stat.read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # user and system


def settle(contestant: Contestant) -> None:
    """Wait until the device is idle."""
    if contestant.watch.device.type == "cuda":
        torch.cuda.synchronize()


def sample_rate(contestant: Contestant) -> int:
    """Hz, of the recordings."""
    return contestant.watched()[0].sample_rate


def facts(contestant: Contestant) -> dict[str, Any]:
    """What the parent wants to know before the first pass."""
    _, model, _, _ = contestant.watched()
    device = contestant.watch.device
    return {
        "n_weights": sum(p.numel() for p in model.parameters()),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "torch": torch.__version__,
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
