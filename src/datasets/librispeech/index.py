"""One part of LibriSpeech as a table, kept on disk so that it is scanned only once."""

import hashlib
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from src.datasets.durations import measure
from src.datasets.librispeech.scan import is_unchanged, scan
from src.datasets.rejections import Rejections
from src.datasets.selection import UNREADABLE
from src.utils.errors import UserError
from src.utils.mapped import MappedArrays, write_arrays
from src.utils.packed import PackedStrings

logger = logging.getLogger(__name__)

VERSION = 2  # of the index file; a file of another version is made again
PACKED = ("ids", "paths", "transcripts", "speakers", "rejected_reasons", "rejected_ids")


@dataclass(frozen=True, slots=True)
class PartIndex:
    """The utterances of a part that have a transcript and audio, sorted by path.

    Args:
        arrays: the columns, mapped from the index file where there is one.
    """

    arrays: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.durations_s)

    @property
    def digest(self) -> str | None:
        """Equal for equal tables; None where the table is not kept on disk."""
        return getattr(self.arrays, "digest", None)

    @property
    def ids(self) -> PackedStrings:
        return self._strings("ids")

    @property
    def paths(self) -> PackedStrings:
        """Below the part's folder."""
        return self._strings("paths")

    @property
    def transcripts(self) -> PackedStrings:
        return self._strings("transcripts")

    @property
    def durations_s(self) -> np.ndarray:
        """(n,) float32, NaN where the audio's header can't be read."""
        return self.arrays["durations_s"]

    @property
    def id_hashes(self) -> np.ndarray:
        """(n,) uint64, see `id_hash`."""
        return self.arrays["id_hashes"]

    @property
    def speakers(self) -> PackedStrings:
        """The names of all speakers: the first folders of their paths."""
        return self._strings("speakers")

    @property
    def speaker_codes(self) -> np.ndarray:
        """(n,) int32, rows of `speakers`."""
        return self.arrays["speaker_codes"]

    @property
    def rejected(self) -> dict[str, list[str]]:
        """Reason → ids of rows that lack a transcript or audio."""
        rejections = Rejections()
        columns = (self._strings("rejected_reasons"), self._strings("rejected_ids"))
        for reason, name in zip(*columns, strict=True):
            rejections.add(reason, name)
        return rejections.ids_by_reason

    def _strings(self, name: str) -> PackedStrings:
        return PackedStrings(self.arrays[name], self.arrays[f"{name}_offsets"])


def load_index(part: Path, index_dir: str | Path | None) -> tuple[PartIndex, Rejections]:
    """The table of `part`, from the index file where it still fits, else scanned and stored.

    A file fits as long as the part has the same folders with the same dates, and transcripts of
    the same size and date.

    Args:
        part: folder such as data/LibriSpeech/train-clean-100; may be read-only.
        index_dir: where index files are kept; None scans each time and keeps nothing.

    Returns:
        The table, and all rows that can't be used: incomplete ones, unreadable audio.

    Raises:
        UserError: a folder can't be listed, or a transcript file is not UTF-8 text.
    """
    file = index_file(part, index_dir) if index_dir is not None else None
    stored = _read(file) if file else None
    if stored is not None and not is_unchanged(part, stored.arrays):
        stored = None
    index = stored or _scanned(part)
    rejections = Rejections(index.rejected)
    # Unreadable audio is tried again each time: somebody may have copied it anew.
    durations_s, reasons = measure(part, index.paths, index.durations_s)
    for row, reason in reasons.items():
        rejections.add(UNREADABLE, index.ids[row], reason)
    if stored is None or not np.array_equal(durations_s, index.durations_s, equal_nan=True):
        index = _kept(file, {**index.arrays, "durations_s": durations_s})
    return index, rejections


def _scanned(part: Path) -> PartIndex:
    columns, rejections = scan(part)
    named = rejections.ids_by_reason.items()
    packed = {
        "rejected_reasons": PackedStrings.of(reason for reason, ids in named for _ in ids),
        "rejected_ids": PackedStrings.of(name for _, ids in named for name in ids),
    }
    for name, strings in packed.items():
        columns |= {name: strings.data, f"{name}_offsets": strings.offsets}
    return PartIndex(columns)


def index_file(part: Path, index_dir: str | Path) -> Path:
    """One file for each place: two copies of a part don't fight over one index."""
    place = hashlib.sha256(os.fsencode(part.resolve())).hexdigest()[:12]
    return Path(index_dir) / f"librispeech-{part.name}-{place}.index"


def _kept(file: Path | None, columns: dict[str, np.ndarray]) -> PartIndex:
    """The table, stored and mapped where that is wanted and possible."""
    if file is None:
        return PartIndex(columns)
    try:
        write_index(file, columns)
        return PartIndex(MappedArrays(file))
    except UserError as error:
        logger.warning("The index is not kept, each start will scan the corpus anew: %s", error)
        return PartIndex(columns)


def write_index(file: Path, columns: Mapping[str, np.ndarray]) -> None:
    """Store the columns of a PartIndex; raises UserError where that is not possible."""
    write_arrays(file, {"version": VERSION}, columns)


def _read(file: Path) -> PartIndex | None:
    """The stored table; None where there is none, or it is damaged or of another version."""
    try:
        arrays = MappedArrays(file)
        if arrays.info["version"] != VERSION:
            return None
        index = PartIndex(arrays)
        _check(index)
        return index
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError) as error:
        logger.warning("%s: the index is damaged (%s); scanning the corpus again.", file, error)
        return None


def _check(index: PartIndex) -> None:
    """Raises ValueError or KeyError unless the columns fit each other."""
    lengths = {len(index.ids), len(index.paths), len(index.transcripts), len(index.durations_s)}
    if len(lengths | {len(index.id_hashes), len(index.speaker_codes)}) > 1:
        raise ValueError("its columns are of different lengths")
