"""Ctrl-C as a wish to leave, not as an accident of ours that deserves a traceback."""

import contextlib
import itertools
import os
import signal
import sys
import threading
from collections.abc import Iterator

AGAIN_SECONDS = 0.001  # until a lost Ctrl-C is sent again: about what leaving a callback takes


@contextlib.contextmanager
def ctrl_c_ends(command: str, next_time: str) -> Iterator[None]:
    """Let Ctrl-C end a command in one line and status 130, as shells count: 128 + SIGINT.

    Args:
        command: as its other messages name it.
        next_time: what became of the work, and what running the command again does.
    """
    try:
        with _lost_ones_come_again():
            yield
    except KeyboardInterrupt:
        print(f"\n{command}: interrupted; {next_time}", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)


@contextlib.contextmanager
def _lost_ones_come_again() -> Iterator[None]:
    """Send SIGINT again where Python drops the KeyboardInterrupt, and the command would go on.

    What is raised in a destructor or in a weak reference's callback goes to `sys.unraisablehook`
    and no further: https://docs.python.org/3/library/sys.html#sys.unraisablehook
    """
    before = sys.unraisablehook

    def hook(unraisable: "sys.UnraisableHookArgs") -> None:
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            before(unraisable)
            return
        for n in itertools.count():
            # On a busy machine it comes before this hook is left, where it would be dropped again.
            with contextlib.suppress(KeyboardInterrupt):
                _send_in(AGAIN_SECONDS * 2**n)
                return

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before


def _send_in(seconds: float) -> None:
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))
    timer.daemon = True
    timer.start()  # waits until the thread runs


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
