"""Utterances side by side as batches, and the workers that read them."""

import atexit
import signal
import sys
import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from src.batch import Batch, Utterance, to_int16
from src.datasets.batches import Batches
from src.utils.errors import UserError


def collate(utterances: Sequence[Utterance]) -> Batch:
    """Utterances side by side, waveforms (int16) and tokens padded with zeros at the end."""
    return Batch(
        ids=[u.id for u in utterances],
        waveforms=_pad([to_int16(u.waveform) for u in utterances], np.int16),
        waveform_lengths=_lengths(u.waveform for u in utterances),
        tokens=_pad([u.tokens for u in utterances], np.int64),
        token_lengths=_lengths(u.tokens for u in utterances),
        transcripts=[u.transcript for u in utterances],
        targets=[u.target for u in utterances],
    )


def make_loader(
    dataset: Dataset,
    batches: Batches,
    *,
    n_workers: int = 0,
    pin_memory: bool = False,
    prefetch: int = 2,
    unreadable: dict[str, str] | None = None,
) -> DataLoader:
    """A loader of `Batch`es that reads `dataset` in the order of `batches`.

    Args:
        n_workers: reading processes, kept between epochs; 0 reads in this process.
        pin_memory: page-locked tensors, for a faster way to a GPU.
        prefetch: batches each worker reads ahead.
        unreadable: takes id and reason of each utterance whose reading raised a UserError, and
            the batch comes without it. None (training) raises the error instead, in its own
            words, workers or not.

    Raises:
        UserError: less than no workers, or nothing to read ahead.
    """
    for name, value, least in (("n_workers", n_workers, 0), ("prefetch", prefetch, 1)):
        if value < least:
            raise UserError(f"{name}={value}; expected a number from {least} up.")
    loader = _Loader(
        _ErrorsAsValues(dataset),
        batch_sampler=batches,
        collate_fn=_collate_readable,
        num_workers=n_workers,
        pin_memory=pin_memory,
        persistent_workers=n_workers > 0,
        prefetch_factor=prefetch if n_workers > 0 else None,
        worker_init_fn=_start_worker,
        # Each pass draws a seed for its workers. Taken from the global generator it would
        # shift the dropout of a resumed run against that of an uninterrupted one.
        generator=torch.Generator(),
    )
    loader.unreadable = unreadable
    atexit.register(_close, weakref.ref(loader))
    return loader


class _Complaint(NamedTuple):
    """Why the dataset can't give an utterance."""

    index: int
    reason: str


class _Loader(DataLoader):
    unreadable: dict[str, str] | None

    def __iter__(self) -> Iterator[Batch]:
        # Workers start here, not at the first `next`, so they read while the caller prepares.
        return self._batches(super().__iter__())

    def _batches(self, read: Iterable[tuple[Batch, list[_Complaint]]]) -> Iterator[Batch]:
        for batch, complaints in read:
            for index, reason in complaints:
                if self.unreadable is None:
                    raise UserError(reason)
                self.unreadable[str(self.dataset.ids[index])] = reason
            yield batch


def _close(reference: weakref.ref) -> None:
    """End the workers in an orderly way when the process ends with an error still in flight.

    The traceback keeps the loader alive then, and Python would send each worker one SIGTERM,
    which it leaves to the trainer, and wait for it forever.
    """
    loader = reference()
    if loader is not None and loader._iterator is not None:
        loader._iterator._shutdown_workers()


class _ErrorsAsValues(Dataset):
    """Hands a UserError back as an item, its `_Complaint`.

    Raised inside a worker it would arrive wrapped into "Caught UserError in DataLoader worker
    process 0. Original Traceback …"; as a value it travels whole.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def ids(self) -> Sequence[str]:
        return self.dataset.ids

    def __getitem__(self, index: int) -> Utterance | _Complaint:
        try:
            utterance = self.dataset[index]
            # Here rather than in `collate`, where one bad waveform would cost the whole batch.
            return replace(utterance, waveform=to_int16(utterance.waveform))
        except UserError as error:
            return _Complaint(index, str(error))


def _collate_readable(
    items: Sequence[Utterance | _Complaint],
) -> tuple[Batch, list[_Complaint]]:
    """The utterances as a batch, which may be empty, and the complaints."""
    complaints = [item for item in items if isinstance(item, _Complaint)]
    utterances = [item for item in items if not isinstance(item, _Complaint)]
    return collate(utterances), complaints


def _start_worker(worker: int) -> None:
    torch.set_num_threads(1)
    sys.excepthook = _unless_nobody_listens
    # Ctrl-C reaches the whole process group, a scheduler's SIGTERM every process of the job. The
    # first is the trainer's to answer, who wants to finish its step and save; workers end by
    # themselves when it is gone. A second SIGTERM ends a worker that doesn't.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: signal.signal(number, signal.SIG_DFL))


def _unless_nobody_listens(kind: type, value: BaseException, trace: object) -> None:
    # The thread that hands over tensors meets a closed connection when the trainer has left.
    if not issubclass(kind, ConnectionError):
        sys.__excepthook__(kind, value, trace)


def _pad(rows: Sequence[Sequence[int]], dtype: type) -> Tensor:
    padded = np.zeros((len(rows), max(map(len, rows), default=0)), dtype)
    for place, row in zip(padded, rows, strict=True):
        place[: len(row)] = row
    return torch.from_numpy(padded)


def _lengths(rows: Iterable[Sequence[int]]) -> Tensor:
    return torch.tensor([len(row) for row in rows], dtype=torch.int64)
