"""Ctrl-C as a wish to leave, not as an accident of ours that deserves a traceback."""

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def ctrl_c_ends(command: str, next_time: str) -> Iterator[None]:
    """Let Ctrl-C end a command in one line and status 130, as shells count: 128 + SIGINT.

    Args:
        command: as its other messages name it.
        next_time: what became of the work, and what running the command again does.
    """
    try:
        yield
    except KeyboardInterrupt:
        print(f"\n{command}: interrupted; {next_time}", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)


@contextlib.contextmanager
def ctrl_c_waits() -> Iterator[None]:
    """Let Ctrl-C act at the end of the block, which would not survive being cut short."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Ctrl-C reaches the main thread only
        return
    met: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: met.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if met:
        signal.raise_signal(signal.SIGINT)
