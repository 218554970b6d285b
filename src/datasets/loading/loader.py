"""A dataset in the order of a plan, as batches; reading processes that die are replaced."""

import atexit
import logging
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.process import BaseProcess
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler

from src.batch import Batch
from src.datasets.loading.asked import Arrived, Asked
from src.datasets.loading.deaths import DiedError, deaths_noticed
from src.datasets.loading.reading import (
    Complaint,
    ComplaintsAsValues,
    collate_readable,
    start_worker,
)
from src.datasets.loading.unreadable import Unreadable
from src.utils.errors import UserError

logger = logging.getLogger(__name__)

MOST_RESTARTS = 3  # without a batch in between


def make_loader(
    dataset: Dataset,
    batches: Sampler[list[int]],
    *,
    n_workers: int = 0,
    prefetch: int = 2,
    pin_memory: bool = False,
    timeout_s: float | None = 600.0,
    unreadable: str = "skip",
    max_unreadable: float = 0.01,
    left_out: dict[str, str] | None = None,
) -> "Loader":
    """A loader of `Batch`es that reads `dataset` in the order of `batches`.

    Args:
        dataset: utterances and their `ids`; a stream (`ShardStream`) is told the order and reads
            it by itself.
        n_workers: reading processes, kept between epochs; 0 reads in this process.
        prefetch: batches each worker reads ahead.
        pin_memory: page-locked tensors, for a faster way to a GPU.
        timeout_s: seconds to wait for a batch; then the workers are taken to hang, as they do
            when a network disk is gone, and are replaced. None waits forever.
        unreadable, max_unreadable, left_out: which recordings a run may do without; see
            `Unreadable` (policy, max_share).

    Raises:
        UserError: an argument makes no sense.
    """
    for name, value, least in (("n_workers", n_workers, 0), ("prefetch", prefetch, 1)):
        if value < least:
            raise UserError(f"{name}={value}; expected a number from {least} up.")
    if timeout_s is not None and not timeout_s > 0:
        raise UserError(f"timeout_s={timeout_s:g}; expected seconds above 0, or null.")
    complaints = Unreadable(len(dataset), unreadable, max_unreadable, left_out)
    workers = {"persistent_workers": True, "prefetch_factor": prefetch} if n_workers else {}
    kind = StreamLoader if isinstance(dataset, IterableDataset) else Loader
    loader = kind(
        dataset,
        batches,
        complaints,
        timeout_s,
        num_workers=n_workers,
        pin_memory=pin_memory,
        **workers,
    )
    atexit.register(_close, weakref.ref(loader))
    return loader


class Loader:
    """Yields exactly one `Batch` for each of `batch_sampler`, in that order; what can't be read is
    missing from it. One pass at a time.

    A worker that is killed, crashes or hangs costs no batch: all are started anew, and read again
    what had been asked for and had not arrived.

    Attributes:
        dataset: what is read.
        batch_sampler: the order; it decides where each pass begins.
        reader: the `DataLoader` within.
        unreadable: who could not be read so far, and why.

    Raises:
        UserError: while iterating, when too much can't be read (`Unreadable`) or workers die
            once more after `MOST_RESTARTS` restarts without a batch in between.
    """

    _well: tuple[int | None, ...] = (None,)  # exit codes that are no deaths; see `deaths_noticed`

    def __init__(
        self,
        dataset: Dataset,
        batch_sampler: Sampler[list[int]],
        unreadable: Unreadable,
        timeout_s: float | None,
        **reading: Any,
    ) -> None:
        self.dataset = dataset
        self.batch_sampler = batch_sampler
        self.unreadable = unreadable
        self._timeout_s = timeout_s
        self._asked = Asked()
        self.reader = self._make_reader(
            collate_fn=collate_readable,
            worker_init_fn=start_worker,
            # Each pass draws a seed for its workers. Taken from the global generator it would
            # shift the dropout of a resumed run against that of an uninterrupted one.
            generator=torch.Generator(),
            **reading,
        )
        self._reading: Iterator[tuple[Batch, list[Complaint]]] | None = None
        self._n_restarts = 0

    def _make_reader(self, **reading: Any) -> DataLoader:
        dataset = ComplaintsAsValues(self.dataset)
        return DataLoader(dataset, batch_sampler=self._asked, **reading)

    def __len__(self) -> int:
        return len(self.batch_sampler)

    @property
    def n_unreadable(self) -> int:
        """Utterances that could not be read so far, each counted once."""
        return len(self.unreadable.reasons)

    def __iter__(self) -> Iterator[Batch]:
        self._asked.begin(self.batch_sampler)
        self._n_restarts = 0
        # Workers start here, not at the first `next`, so they read while the caller prepares.
        self._surviving(self._start)
        return self._batches()

    def close(self) -> None:
        """End the workers; a pass that is begun anew starts others."""
        iterator = self._with_workers()
        if iterator is not None:
            iterator._shutdown_workers()
            self.reader._iterator, self._reading = None, None

    def _batches(self) -> Iterator[Batch]:
        while True:
            read = self._surviving(self._next)
            if read is None:
                return
            self._asked.arrived()
            self._n_restarts = 0
            batch, complaints = read
            for complaint in complaints:
                self.unreadable.note(*complaint)
            yield batch

    def _start(self) -> None:
        self._reading = iter(self.reader)

    def _next(self) -> tuple[Batch, list[Complaint]] | None:
        if self._reading is None:
            self._start()
        read = next(self._reading, None)
        if read is None and not self._asked.is_over:
            self._start()
            read = next(self._reading, None)
        return read

    def _surviving(self, action: Callable[[], Any]) -> Any:
        """What `action` gives, tried again with new workers where it fails because some died."""
        while True:
            try:
                with deaths_noticed(self._workers, self._timeout_s, self._well):
                    return action()
            except DiedError as death:
                self._discard_workers()
                self._asked.take_care()
                self._tell(death)

    def _with_workers(self) -> Any:
        """PyTorch's iterator, which has the workers; None where there is none."""
        return self.reader._iterator

    def _workers(self) -> Sequence[BaseProcess]:
        iterator = self._with_workers()
        return () if iterator is None else iterator._workers

    def _tell(self, death: DiedError) -> None:
        self._n_restarts += 1
        if self._n_restarts > MOST_RESTARTS:
            raise UserError(
                f"Reading processes died {self._n_restarts} times in a row, the last one "
                f"{death}. {death.advice}{self._awaited()}"
            ) from death
        logger.warning(
            "A reading process %s. All are started anew and go on from the batch that was lost.",
            death,
        )

    def _awaited(self) -> str:
        names = [str(self.dataset.ids[row]) for row in self._asked.first()]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return f" They were to read {', '.join(names[:3])}{more}." if names else ""

    def _discard_workers(self) -> None:
        iterator = self._with_workers()
        self.reader._iterator, self._reading = None, None
        for worker in iterator._workers:
            worker.kill()
        # In a thread, since who was killed at the wrong moment may hold a lock that this needs.
        ending = threading.Thread(target=iterator._shutdown_workers, daemon=True)
        ending.start()
        ending.join(10)


class StreamLoader(Loader):
    """A `Loader` of a stream, whose workers read every batch of the pass in which they take turns.

    They start anew for each pass, and learn then where it begins; so they do when one has died.
    """

    _well = (None, 0)  # who has read its last batch ends while the others go on

    def _make_reader(self, persistent_workers: bool = False, **reading: Any) -> DataLoader:
        self._asked = Arrived()
        return DataLoader(self.dataset, batch_size=None, **reading)

    def _start(self) -> None:
        order = self.batch_sampler
        self.dataset.begin(order, order.start_batch + self._asked.n_arrived)
        super()._start()

    def _with_workers(self) -> Any:
        return self._reading if hasattr(self._reading, "_workers") else None


def _close(reference: weakref.ref) -> None:
    """End the workers in an orderly way when the process ends with an error still in flight.

    The traceback keeps the loader alive then, and Python would send each worker one SIGTERM,
    which it leaves to the trainer, and wait for it forever.
    """
    loader = reference()
    if loader is not None:
        loader.close()
