"""Forks runs of train.py on demand: a JSON line in, a number out. See conftest.py."""

import functools
import json
import resource
import signal
import sys
from pathlib import Path

from tests.reliability.tiny_run import finish, start


def limit_files(n_bytes: int) -> None:
    """Let this process write no file larger than that, as if the disk were full."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))


def main() -> None:
    """Answer until stdin ends."""
    for line in sys.stdin:
        asked = json.loads(line)
        if "wait" in asked:
            answer = finish(asked["wait"])
        else:
            most = asked["largest_file"]
            prepare = functools.partial(limit_files, most) if most else None
            answer = start(asked["words"], Path(asked["said"]), prepare)
        print(answer, flush=True)


if __name__ == "__main__":
    main()
