"""What happens in a reading process: utterances are read, put side by side, and handed over."""

import signal
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from src.batch import Batch, Utterance, to_int16
from src.utils.errors import UserError


class Complaint(NamedTuple):
    """Why the dataset can't give an utterance."""

    id: str
    reason: str


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


def collate_readable(items: Sequence[Utterance | Complaint]) -> tuple[Batch, list[Complaint]]:
    """The utterances as a batch, which may be empty, and the complaints."""
    complaints = [item for item in items if isinstance(item, Complaint)]
    batch = collate([item for item in items if not isinstance(item, Complaint)])
    if get_worker_info() is not None:
        # Here, where a full /dev/shm is an error like any other. Left to the thread that hands
        # tensors over, it would lose the batch and the trainer would wait for it forever.
        for name in ("waveforms", "waveform_lengths", "tokens", "token_lengths"):
            getattr(batch, name).share_memory_()
    return batch, complaints


class ComplaintsAsValues(Dataset):
    """A dataset that hands back what can't be read as an item, its `Complaint`.

    Raised inside a worker an error would arrive wrapped into "Caught UserError in DataLoader
    worker process 0. Original Traceback …"; as a value it travels whole.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Utterance | Complaint:
        try:
            utterance = self.dataset[index]
        except UserError as error:
            return Complaint(str(self.dataset.ids[index]), str(error))
        except OSError as error:  # a network disk's, met where nobody expects one
            name = str(self.dataset.ids[index])
            return Complaint(name, f"{name}: could not be read ({error}).")
        try:
            # Here rather than in `collate`, where one bad waveform would cost the whole batch.
            return replace(utterance, waveform=to_int16(utterance.waveform))
        except UserError as error:
            return Complaint(utterance.id, f"{utterance.id}: {error}")


def start_worker(worker: int) -> None:
    """How each reading process begins."""
    torch.set_num_threads(1)
    sys.excepthook = _unless_nobody_listens
    # Ctrl-C reaches the whole process group, a scheduler's SIGTERM every process of the job. The
    # first is the trainer's to answer, who wants to finish its step and save; workers end by
    # themselves when it is gone. A second SIGTERM ends a worker that doesn't.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: signal.signal(number, signal.SIG_DFL))


def _unless_nobody_listens(kind: type, value: BaseException, trace: object) -> None:
    # The thread that hands over tensors meets a closed connection when the trainer has left,
    # or one that ends amid its greeting.
    if not issubclass(kind, ConnectionError | EOFError):
        sys.__excepthook__(kind, value, trace)


def _pad(rows: Sequence[Sequence[int]], dtype: type) -> Tensor:
    padded = np.zeros((len(rows), max(map(len, rows), default=0)), dtype)
    for place, row in zip(padded, rows, strict=True):
        place[: len(row)] = row
    return torch.from_numpy(padded)


def _lengths(rows: Iterable[Sequence[int]]) -> Tensor:
    return torch.tensor([len(row) for row in rows], dtype=torch.int64)
