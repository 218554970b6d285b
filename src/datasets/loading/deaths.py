"""Reading processes that die or hang: noticed, and told in words that help."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from multiprocessing.process import BaseProcess

from src.utils.errors import UserError

GRACE_S = 1.0  # a dying process closes its pipes a little before the system counts it as dead
MORE_SHARED_MEMORY = (
    "Give /dev/shm more room (in a container: docker run --shm-size=8g), or lower "
    "loader.n_workers, loader.prefetch or the size of a batch."
)
LIKELY = {  # signal → what it may mean, what to do
    signal.SIGKILL: (
        "as the system does when memory runs out",
        "Lower loader.n_workers, loader.prefetch or the size of a batch.",
    ),
    signal.SIGBUS: ("as happens when shared memory runs out", MORE_SHARED_MEMORY),
}
UNLIKELY = (
    "so something in it crashed",
    "Read with loader.n_workers=0 to see where, and leave the recording out.",
)


class DiedError(Exception):
    """Workers are dead: what happened to one of them, and what its user may do."""

    def __init__(self, what: str, advice: str) -> None:
        super().__init__(what)
        self.advice = advice


@contextlib.contextmanager
def deaths_noticed(
    workers: Callable[[], Sequence[BaseProcess]],
    timeout_s: float | None,
    well: Collection[int | None] = (None,),
) -> Iterator[None]:
    """Tell errors that the block meets because of a dead worker from errors of other kinds.

    Args:
        workers: gives those that live or lived; the block may start them.
        timeout_s: after so many seconds in the block the workers are taken to hang, and killed;
            None = never.
        well: exit codes that are no deaths; None, of who lives, and 0 where a worker may finish.

    Raises:
        DiedError: a worker died.
        UserError: there is no shared memory left.
    """
    hung, over = threading.Event(), threading.Event()
    if timeout_s is not None:
        watch = (workers, timeout_s, hung, over)
        threading.Thread(target=_kill_late, args=watch, daemon=True).start()
    try:
        with _noticed_at_once(workers, well):
            yield
    except (RuntimeError, OSError, EOFError) as error:
        _check_shared_memory(error)
        exit_code = _exit_code_of_a_death(workers(), well)
        if hung.is_set():
            raise DiedError(
                f"gave nothing for {timeout_s:g} s (loader.timeout_s)",
                "Is a network disk gone? Where reading is merely slow, raise loader.timeout_s.",
            ) from error
        if exit_code is None:
            raise
        raise DiedError(*_explain(exit_code)) from error
    finally:
        over.set()


@contextlib.contextmanager
def _noticed_at_once(
    workers: Callable[[], Sequence[BaseProcess]], well: Collection[int | None]
) -> Iterator[None]:
    """Raise in the block as soon as a worker is dead; `DataLoader` looks every 5 s.

    Only in the block, too: the SIGCHLD handler that a starting `DataLoader` sets is taken back,
    since it raises wherever the trainer is just then, in the middle of a step for one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # no place for signal handlers: it is noticed within 5 s
        return

    before = signal.getsignal(signal.SIGCHLD)

    def look(*_: object) -> None:
        if any(worker.exitcode not in well for worker in workers()):
            signal.signal(signal.SIGCHLD, before or signal.SIG_DFL)  # once is enough
            raise ChildProcessError("a worker is dead")

    try:
        signal.signal(signal.SIGCHLD, look)
        look()
        yield
    finally:
        signal.signal(signal.SIGCHLD, before or signal.SIG_DFL)


def _kill_late(
    workers: Callable[[], Sequence[BaseProcess]],
    timeout_s: float,
    hung: threading.Event,
    over: threading.Event,
) -> None:
    """Kill the workers unless it is over within `timeout_s` seconds; those that start later too."""
    if over.wait(timeout_s):
        return
    hung.set()
    while not over.is_set():
        for worker in workers():
            worker.kill()
        over.wait(GRACE_S / 2)


def _exit_code_of_a_death(
    workers: Sequence[BaseProcess], well: Collection[int | None]
) -> int | None:
    """How a worker died, or dies within `GRACE_S` seconds; None where none does."""
    end_s = time.monotonic() + GRACE_S
    while workers and time.monotonic() < end_s:
        for worker in workers:
            exit_code = worker.exitcode  # asked once: it may end between two looks
            if exit_code not in well:
                return exit_code
        time.sleep(0.02)
    return None


def _explain(exitcode: int) -> tuple[str, str]:
    """What happened to a process and what to do, from its exit code as Python gives it."""
    if exitcode >= 0:
        return f"ended with status {exitcode}", UNLIKELY[1]
    number = signal.Signals(-exitcode)
    meaning, advice = LIKELY.get(number, UNLIKELY)
    return f"was killed by {number.name}, {meaning}", advice


def _check_shared_memory(error: Exception) -> None:
    """PyTorch names files in /dev/shm `/torch_…`; one that can't be made is no bug of ours."""
    text = str(error)
    if "</torch_" in text or "shared memory" in text:
        raise UserError(
            f"No shared memory is left to hand batches over. {MORE_SHARED_MEMORY}"
        ) from error
