"""All recordings of a corpus decoded once: int16 samples in one flat file, read without decoding.

A cache is a folder `FOLDER/NAME/`:

    samples.pcm   int16, little-endian, all utterances one after another
    index.arrays  offsets (n + 1,) int64, the sample at which each begins and the last one ends;
                  checksums (n,) uint32, CRC-32 of the samples of each; what it was made from;
                  who is left out and why
"""

import logging
import os
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch.utils.data import Dataset

from src.batch import Utterance
from src.datasets.loading.pcm_builder import FORMAT, INDEX, SAMPLE, build, identify
from src.utils.errors import UserError
from src.utils.mapped import MappedArrays
from src.utils.packed import PickedStrings

logger = logging.getLogger(__name__)


class Recordings(Protocol):
    """What a dataset offers so that it can be cached; where it reads parts of files or may refuse
    to resample, see also `excerpt_of`."""

    ids: Sequence[str]
    durations_s: np.ndarray  # (n,) float32
    sample_rate: int  # Hz
    unreadable: dict[str, str]  # id → reason of those left out already

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Utterance: ...

    def describe(self, index: int) -> Utterance:
        """The utterance with a waveform of 0 samples; no audio is touched."""

    def source(self, index: int) -> Path:
        """The file that holds the sound."""


def cached(
    dataset: Recordings, folder: str | Path, *, n_workers: int | None = None, **reading: Any
) -> Dataset:
    """The same utterances bit for bit, from a cache in `folder`, which is made where it is missing.

    Which cache belongs to a dataset is decided by its ids, paths, starts, durations and sample
    rate, and by whether others are resampled; it is made again when a file's size or time of
    change is another. Of more than 100,000 files as many are looked at, evenly spread. Corpora in
    HDF5 or in shards are samples in few files already, and come back as they are.

    Args:
        n_workers: processes that decode; None = one for each processor.
        reading: further keys of `make_loader` for the one time that files are read.

    Raises:
        UserError: too little room, the folder can't be written, or too many recordings can't be
            read (`max_unreadable` of `make_loader`).
    """
    if not hasattr(dataset, "source"):  # no files of its own to decode
        return dataset
    name, stamp = identify(dataset)
    path = Path(folder, name)
    found = _open(dataset, path, stamp)
    if found is None:
        workers = len(os.sched_getaffinity(0)) if n_workers is None else n_workers
        build(
            dataset,
            path,
            stamp,
            lambda: _open(dataset, path, stamp) is not None,
            n_workers=workers,
            **reading,
        )
        found = _open(dataset, path, stamp)
    if found is None:
        raise UserError(f"{path}: was just made and can't be read; is its disk at fault?")
    logger.info("Recordings come from the packed cache %s.", path)
    return found


class PCMCache(Dataset[Utterance]):
    """Utterances of a dataset whose samples lie in one file. Safe with any number of workers.

    Args:
        dataset: all but the sound comes from it.
        path: the cache's folder.
        offsets: (n + 1,) int64, of all utterances of the dataset, in samples; an utterance without
            samples is one that could not be read.
        checksums: (n,) uint32, CRC-32 of the samples of each.
        left_out: id → reason of those.
    """

    def __init__(
        self,
        dataset: Recordings,
        path: Path,
        offsets: np.ndarray,
        checksums: np.ndarray,
        left_out: dict[str, str],
    ) -> None:
        self.sample_rate = dataset.sample_rate
        self.unreadable = {**dataset.unreadable, **left_out}
        self._dataset = dataset
        self._rows = np.flatnonzero(np.diff(offsets))
        self._offsets = offsets
        self._checksums = checksums
        self._path = path / "samples.pcm"
        self._file: int | None = None

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def ids(self) -> Sequence[str]:
        """As the dataset's."""
        return PickedStrings([self._dataset.ids], self._rows)

    @property
    def durations_s(self) -> np.ndarray:
        """(n,) float32 seconds, as the dataset's, so that batches stay the same."""
        return self._dataset.durations_s[self._rows]

    def describe(self, index: int) -> Utterance:
        """The utterance with a waveform of 0 samples."""
        return self._dataset.describe(int(self._rows[index]))

    def __getitem__(self, index: int) -> Utterance:
        """Raises UserError where the file has been shortened or altered, or its disk fails."""
        row = self._rows[index]
        begin, end = self._offsets[row : row + 2].tolist()
        samples = self._samples(begin, end)
        if zlib.crc32(samples) != self._checksums[row]:  # half a millisecond for 15 s of speech
            raise UserError(
                f"{self._path}: the samples of {self.ids[index]} do not match their checksum. "
                "Delete its folder, and it is made again; if that happens twice, mind the disk."
            )
        return replace(self.describe(index), waveform=samples.astype(np.int16, copy=False))

    def _samples(self, begin: int, end: int) -> np.ndarray:
        # Read, not mapped: a mapped file that shrinks or whose disk fails kills the process. The
        # system's page cache serves all workers alike, and a place in the file need not be kept,
        # so forked workers may share the descriptor.
        if self._file is None:
            self._file = os.open(self._path, os.O_RDONLY)
        samples = np.empty(end - begin, SAMPLE)
        if os.preadv(self._file, [samples], begin * SAMPLE.itemsize) < samples.nbytes:
            raise UserError(
                f"{self._path}: ends too early; something has shortened it. Delete its folder, "
                "and it is made again."
            )
        return samples

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None}

    def __del__(self) -> None:
        if self.__dict__.get("_file") is not None:
            os.close(self._file)


def _open(dataset: Recordings, path: Path, stamp: str) -> PCMCache | None:
    """The cache at `path` if it is whole and of this stamp."""
    try:
        arrays = MappedArrays(path / INDEX)
        about = arrays.info
        # Copied: a mapped file that shrinks kills the process.
        offsets, checksums = arrays["offsets"].copy(), arrays["checksums"].copy()
        n_bytes = (path / "samples.pcm").stat().st_size
        fits = (about["format"], about["stamp"]) == (FORMAT, stamp)
    except (OSError, ValueError, KeyError):
        return None
    if not fits or offsets.shape != (len(dataset) + 1,) or offsets[-1] * SAMPLE.itemsize != n_bytes:
        return None
    return PCMCache(dataset, path, offsets, checksums, about["unreadable"])
