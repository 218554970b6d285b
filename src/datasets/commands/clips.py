"""Spoken words held in one HDF5 file, a row each: what the two layouts have in common."""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from torch.utils.data import Dataset

from src.batch import Utterance
from src.datasets.commands.hdf5 import ReadOnlyArray
from src.datasets.selection import select
from src.utils.errors import UserError


@dataclass(frozen=True, slots=True)
class ClipTable:
    """One row a clip. Numpy arrays, not lists of objects: forked workers share them unharmed."""

    rows: np.ndarray  # (n,) int64, row of ds/data
    lengths: np.ndarray  # (n,) int64, samples
    words: np.ndarray  # (n,) str
    ids: np.ndarray  # (n,) str, safe as file names
    speakers: np.ndarray  # (n,) str, "" where unknown

    def take(self, kept: np.ndarray) -> "ClipTable":
        """The rows `kept`, in that order."""
        columns = (self.rows, self.lengths, self.words, self.ids, self.speakers)
        return ClipTable(*(column[kept] for column in columns))


class HDF5Clips(Dataset[Utterance]):
    """Clips of `ds/data` (n, samples) as utterances. Safe with any number of workers."""

    def __init__(
        self,
        path: Path,
        corpus: str,
        clips: ClipTable,
        text,
        sample_rate: int,
        full_scale: float = 1.0,
        **limits,
    ) -> None:
        """Keep the clips that `text` can spell and `limits` allow (see `select`).

        Args:
            path: the HDF5 file.
            corpus: how the log calls these clips.
            text: gives each word its target; None leaves targets empty.
            full_scale: stored value that means 1.0, where floats are stored; int16 is taken as is.
            limits: keywords of `select`.

        Raises:
            UserError: no clip can be used.
        """
        kept = select(
            corpus,
            clips.ids,
            (clips.lengths / sample_rate).astype(np.float32),
            clips.words.tolist(),
            text,
            **limits,
        )
        self.sample_rate = sample_rate
        self.unreadable: dict[str, str] = {}  # a damaged clip shows only when it is read
        self._clips = clips.take(kept)
        self._data = ReadOnlyArray(path, "ds/data")
        self._full_scale = full_scale
        words = np.unique(self._clips.words).tolist()
        self._targets = {word: _spell(word, text) for word in words}

    def __len__(self) -> int:
        return len(self._clips.rows)

    @property
    def durations_s(self) -> np.ndarray:
        """(n,) float32 seconds, without the padding."""
        return (self._clips.lengths / self.sample_rate).astype(np.float32)

    @property
    def ids(self) -> np.ndarray:
        """(n,) str, unique and safe as file names."""
        return self._clips.ids

    def __getitem__(self, index: int) -> Utterance:
        """Raises UserError where the stored clip is damaged."""
        clips = self._clips
        word = str(clips.words[index])
        target, tokens = self._targets[word]
        return Utterance(
            id=str(clips.ids[index]),
            waveform=self._waveform(int(clips.rows[index]), int(clips.lengths[index])),
            transcript=word,
            target=target,
            tokens=tokens,
            speaker=str(clips.speakers[index]),
        )

    def _waveform(self, row: int, length: int) -> np.ndarray:
        """(length,) int16 or float32. The whole row is read: it is one chunk on disk anyway."""
        samples = self._data[row][:length]
        if samples.dtype == np.int16:
            return samples
        return samples.astype(np.float32) / np.float32(self._full_scale)


def _spell(word: str, text) -> tuple[str, tuple[int, ...]]:
    if text is None:
        return "", ()
    target = text.target(word)
    return target, text.vocabulary.encode(target)


def column(file: h5py.File, name: str, n_rows: int | None = None) -> np.ndarray:
    """All of `name`, one value a clip.

    Raises:
        UserError: it is missing or damaged, or has another length than `n_rows`.
    """
    if name not in file:
        raise UserError(
            f"{file.filename}: {name} is missing, so this is not the file we expected "
            f"(it holds: {', '.join(_names(file)) or 'nothing'}). Make it again."
        )
    if n_rows is not None and file[name].shape != (n_rows,):
        raise UserError(
            f"{file.filename}: {name} has shape {file[name].shape}, but ds/data holds {n_rows} "
            "clips. The file is damaged; make it again."
        )
    try:
        values = file[name][()]
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"{file.filename}: {name} can't be read ({error}). The file is damaged; make it again."
        ) from error
    return np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values


def _names(file: h5py.File) -> list[str]:
    names: list[str] = []
    file.visititems(lambda name, node: names.append(name) if isinstance(node, h5py.Dataset) else 0)
    return names
