"""Processes that compute beside this one, and never outlive it."""

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Self

import torch

from src.utils.errors import UserError


class ProcessPool:
    """Processes that apply one function to what they are sent, each on a single thread.

    They start when first needed, which takes about as long as importing PyTorch: a process that
    is forked instead could inherit a lock that nobody in it will ever open.

    Args:
        task: picklable, sent to each process once.
        n_processes: how many.
    """

    def __init__(self, task: Callable, n_processes: int) -> None:
        self._executor = ProcessPoolExecutor(
            n_processes,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start,
            initargs=(task,),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown(cancel_futures=True)

    def submit(self, *arguments: Any) -> Callable[[], Any]:
        """Begin `task(*arguments)` elsewhere; the function returned waits for its result.

        What the task raises, that function raises.

        Raises:
            UserError: a process was killed; that function may raise it too.
        """
        # Left to the executor, tensors would travel through /dev/shm, which containers keep small.
        sent = pickle.dumps(arguments)
        future = _explained(lambda: self._executor.submit(_run, sent))
        return lambda: _explained(future.result)


def _explained(function: Callable[[], Any]) -> Any:
    try:
        return function()
    except BrokenProcessPool as error:
        raise UserError(
            "A process that decodes or computes beside this one was killed, most likely because "
            "memory ran out. Run the command again with fewer of them (n_decoders=…), 0 for none."
        ) from error


_task: Callable  # of a process of the pool


def _start(task: Callable) -> None:
    global _task
    _task = task
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's to answer
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    # A main process that was killed told nobody to stop; that its end of a pipe closed, does.
    multiprocessing.parent_process().join()
    os._exit(1)


def _run(sent: bytes) -> Any:
    return _task(*pickle.loads(sent))
