"""Work in processes that have done nothing before: what they make depends on nothing else."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any


def in_fresh_processes(
    work: Callable[[Any], Any],
    tasks: Sequence[Any],
    n_processes: int,
    *,
    start: str,
    preload: Sequence[str] = (),
) -> Iterator[Any]:
    """`work(task)` of each task in a process of its own, in the order of the tasks.

    Args:
        n_processes: at once.
        start: "spawn"; or "forkserver", which takes them from one process that has imported
            `preload` and nothing else, so that the next is there in milliseconds.
    """
    context = multiprocessing.get_context(start)
    if preload:
        context.set_forkserver_preload(list(preload))

    def in_new_process(task: Any) -> Any:
        with ProcessPoolExecutor(1, context, _follow_the_parent) as process:
            return process.submit(work, task).result()

    with ThreadPoolExecutor(n_processes, initializer=_leave_ctrl_c_to_the_parent) as pool:
        try:
            yield from pool.map(in_new_process, tasks)
        except BaseException:
            pool.shutdown(cancel_futures=True)  # tasks that have not begun
            raise


def _leave_ctrl_c_to_the_parent() -> None:
    # In a thread of the parent: the processes that it starts inherit this from their first
    # moment, when Python would still answer Ctrl-C with a traceback.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _follow_the_parent() -> None:
    """In a working process: never outlive the parent."""

    def follow() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
