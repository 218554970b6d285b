"""Forks runs of train.py on demand: a JSON line in, a number out. See conftest.py."""

import functools
import json
import os
import resource
import signal
import sys
from pathlib import Path

from tests.reliability.tiny_run import finish, start


def limit_files(n_bytes: int) -> None:
    """Let this process write no file larger than that, as if the disk were full."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))


def die_behind(pattern: str) -> None:
    """Kill this process the moment a file whose path matches has been put in its place."""
    replace = os.replace

    def replace_and_die(source, target, **keys) -> None:
        replace(source, target, **keys)
        if Path(target).match(pattern):
            os.kill(os.getpid(), signal.SIGKILL)

    os.replace = replace_and_die


def prepare(asked: dict) -> None:
    """What a new process does before all else."""
    if asked["largest_file"]:
        limit_files(asked["largest_file"])
    if asked["killed_behind"]:
        die_behind(asked["killed_behind"])


def main() -> None:
    """Answer until stdin ends."""
    for line in sys.stdin:
        asked = json.loads(line)
        if "wait" in asked:
            answer = finish(asked["wait"])
        else:
            ready = functools.partial(prepare, asked)
            answer = start(asked["words"], Path(asked["said"]), ready)
        print(answer, flush=True)


if __name__ == "__main__":
    main()
