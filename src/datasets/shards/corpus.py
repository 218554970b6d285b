"""Corpora that scripts.write_shards packed: read at random, or as a stream."""

import copy
import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from src.batch import NO_SOUND, Utterance
from src.datasets.loading.batches import Batches
from src.datasets.loading.reading import Complaint, ComplaintsAsValues
from src.datasets.rejections import Rejections
from src.datasets.selection import UNREADABLE, select
from src.datasets.shards.files import ShardReader, read_index, strings_of
from src.datasets.shards.order import StreamBatches
from src.utils.errors import UserError
from src.utils.packed import PickedStrings


class Shards(Dataset[Utterance]):
    """Utterances of one part of a packed corpus, in any order; no FLAC or MP3 is decoded.

    Args:
        root: the folder with the parts.
        part: one of them, as `scripts.write_shards --part` named it.
        text: text object of the vocabulary; None leaves targets empty.
        sample_rate: Hz; shards of another rate are refused.
        min_duration_s, max_duration_s, max_text_length, limit, sort: see `select`.

    Attributes:
        unreadable: id → reason of each utterance that could not be packed.

    Raises:
        UserError: no such part, another sample rate, or no utterance can be used.
    """

    def __init__(
        self,
        root: str | Path,
        part: str,
        text,
        *,
        sample_rate: int = 16000,
        min_duration_s: float = 0.0,
        max_duration_s: float | None = None,
        max_text_length: int | None = None,
        limit: int | None = None,
        sort: str | None = None,
    ) -> None:
        folder = Path(root, part)
        self._index = read_index(folder)
        if (found := self._index.info["sample_rate"]) != sample_rate:
            raise UserError(
                f"{folder}: holds recordings at {found} Hz, but {sample_rate} Hz are wanted. Write "
                f"the shards again with dataset.sample_rate={sample_rate}."
            )
        self.sample_rate = sample_rate
        self.unreadable: dict[str, str] = dict(self._index.info["left_out"])
        self._text = text
        self._reader = ShardReader(folder)
        lost = Rejections()
        for name, reason in self.unreadable.items():
            lost.add(UNREADABLE, name, reason)
        self._rows = select(
            f"shards {part}",
            strings_of(self._index, "ids"),
            self._seconds(),
            strings_of(self._index, "transcripts"),
            text,
            min_duration_s=min_duration_s,
            max_duration_s=max_duration_s,
            max_text_length=max_text_length,
            limit=limit,
            sort=sort,
            already_rejected=lost,
        )

    def _seconds(self) -> np.ndarray:
        return (self._index["n_samples"] / self.sample_rate).astype(np.float32)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def durations_s(self) -> np.ndarray:
        """(n,) float32 seconds."""
        return self._seconds()[self._rows]

    @property
    def ids(self) -> PickedStrings:
        """As in the corpus that was packed."""
        return PickedStrings([strings_of(self._index, "ids")], self._rows)

    @property
    def transcripts(self) -> PickedStrings:
        """As the corpus gives them."""
        return PickedStrings([strings_of(self._index, "transcripts")], self._rows)

    def places(self, which: np.ndarray | slice = slice(None)) -> tuple[np.ndarray, np.ndarray]:
        """The shards of some utterances or all, (n,), and the bytes at which they begin, (n,)."""
        rows = self._rows[which]
        return self._index["shard"][rows], self._index["begin"][rows]

    def __getitem__(self, index: int) -> Utterance:
        """Raises UserError where the shard is missing, shortened or altered."""
        described, row = self.describe(index), self._rows[index]
        place = (int(self._index[name][row]) for name in ("shard", "begin", "n_samples", "crc"))
        waveform = self._reader.read(*place, described.id)
        return dataclasses.replace(described, waveform=waveform)

    def describe(self, index: int) -> Utterance:
        """The utterance with a waveform of 0 samples; no audio is touched."""
        transcript, target, tokens = self.transcripts[index], "", ()
        if self._text is not None:
            target = self._text.target(transcript)
            tokens = self._text.vocabulary.encode(target)
        speaker = strings_of(self._index, "speakers")[int(self._rows[index])]
        return Utterance(self.ids[index], NO_SOUND, transcript, target, tokens, speaker)


class ShardStream(IterableDataset):
    """The same utterances as a stream, shuffled within a buffer of bounded size.

    Iterating gives one list of utterances for each batch of an order (`begin`); what can't be
    read stands in it as a `Complaint`. Workers take the batches by turns, and each reads the
    shards forward, over what others read. So together with `StreamBatches`, every utterance comes
    exactly once an epoch for any number of workers and processes, and of shards.

    Args:
        shuffle_buffer: utterances in memory at a time, of all processes together; what a larger
            one costs is 0.4 MB for each of 12 s.
        others: see `Shards`.
    """

    def __init__(
        self,
        root: str | Path,
        part: str,
        text,
        *,
        shuffle_buffer: int = 1000,
        sample_rate: int = 16000,
        min_duration_s: float = 0.0,
        max_duration_s: float | None = None,
        max_text_length: int | None = None,
        limit: int | None = None,
        sort: str | None = None,
    ) -> None:
        if sort is not None:
            raise UserError(f"sort={sort}: a stream comes as its shards lie; set it to null.")
        self._shards = Shards(
            root,
            part,
            text,
            sample_rate=sample_rate,
            min_duration_s=min_duration_s,
            max_duration_s=max_duration_s,
            max_text_length=max_text_length,
            limit=limit,
        )
        self.shuffle_buffer = shuffle_buffer
        self.sample_rate = sample_rate
        self.unreadable = self._shards.unreadable
        self.durations_s = self._shards.durations_s  # (n,) float32
        self.ids = self._shards.ids
        self.begin(self.batches(batch_size=1, shuffle=False), 0)

    def __len__(self) -> int:
        return len(self._shards)

    def batches(self, **keys: Any) -> StreamBatches:
        """The order in which to read it; keys as of `Batches`."""
        shards, _ = self._shards.places()
        return StreamBatches(self.durations_s, shards, self.shuffle_buffer, **keys)

    def begin(self, order: Batches, start_batch: int) -> None:
        """Let the next iteration give the batches of `order`, from `start_batch` on."""
        self._order, self._start = order, start_batch

    def __iter__(self) -> Iterator[list[Utterance | Complaint]]:
        worker = get_worker_info()
        turn, n_turns = (worker.id, worker.num_workers) if worker else (0, 1)
        order = copy.copy(self._order)  # whose position is the trainer's to move
        order.set_position(order.epoch, self._start)
        batches = iter(order)
        for begin, end in self._fillings():
            own = list(itertools.islice(batches, end - begin))
            first = (turn - (begin - self._start)) % n_turns
            yield from self._read(own[first::n_turns])

    def _fillings(self) -> Iterator[tuple[int, int]]:
        """Batches that are in memory together."""
        if isinstance(self._order, StreamBatches):
            yield from self._order.fillings(self._start)
        else:
            yield from ((batch, batch + 1) for batch in range(self._start, len(self._order)))

    def _read(self, batches: list[list[int]]) -> Iterator[list[Utterance | Complaint]]:
        """The utterances of some batches, read in the order in which they lie."""
        rows = np.array([row for batch in batches for row in batch], np.int64)
        shards, begins = self._shards.places(rows)
        reader = ComplaintsAsValues(self._shards)
        read = {row: reader[row] for row in rows[np.lexsort((begins, shards))].tolist()}
        for batch in batches:
            yield [read.pop(row) for row in batch]
