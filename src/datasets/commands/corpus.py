"""Google Speech Commands, read from the one HDF5 file that `writer` describes."""

import shlex
from pathlib import Path

import h5py
import numpy as np

from src.datasets.commands.clips import ClipTable, HDF5Clips, column
from src.datasets.commands.folder import SPLITS, file_safe
from src.datasets.commands.hdf5 import checked
from src.datasets.commands.writer import SCHEMA, SCHEMA_VERSION
from src.utils.errors import UserError
from src.utils.tables import counted

QUICKSTART = Path("data/quickstart/commands.h5")  # what `make quickstart` speaks


class SpeechCommands(HDF5Clips):
    """Clips of one split; the transcript is the spoken word.

    The file is opened read-only in each process at its first read, so workers may be forked
    or spawned. Ids are `word_stem`, e.g. `bed_026290a7_nohash_0`.
    """

    def __init__(
        self,
        path: str | Path,
        split: str,
        text,
        *,
        sample_rate: int = 16000,
        min_duration_s: float = 0.0,
        max_duration_s: float | None = None,
        max_text_length: int | None = None,
        limit: int | None = None,
        sort: str | None = None,
    ) -> None:
        """Open `path` and keep the usable clips of `split`.

        Args:
            path: file written by `python -m scripts.prepare_speech_commands`.
            split: "train", "validation" or "test", by the official lists.
            text: text object of the vocabulary; None leaves targets empty.
            sample_rate: Hz; a file of another rate is refused.
            min_duration_s, max_duration_s, max_text_length, limit, sort: see `select`.

        Raises:
            UserError: no such file or split, not our file, another sample rate, a damaged
                column, or no clip left.
        """
        path = Path(path)
        if split not in SPLITS:
            raise UserError(f"split={split}: Speech Commands has {', '.join(SPLITS)}.")
        if not path.is_file():
            raise UserError(f"{path}: no such file. {_how_to_make(path)}")
        with checked(path) as file:
            _check_schema(file, sample_rate)
            clips = _read_clips(file, SPLITS.index(split))
        super().__init__(
            path,
            f"Speech Commands {split}",
            clips,
            text,
            sample_rate=sample_rate,
            min_duration_s=min_duration_s,
            max_duration_s=max_duration_s,
            max_text_length=max_text_length,
            limit=limit,
            sort=sort,
        )


def _how_to_make(path: Path) -> str:
    download = (
        f"python -m scripts.prepare_speech_commands --download --out {shlex.quote(str(path))} "
        "(2.4 GB; with the corpus unpacked already: --source FOLDER instead of --download)"
    )
    if path.parts[-2:] == QUICKSTART.parts[-2:]:
        return (
            "`make quickstart` (python -m scripts.quickstart) speaks a small corpus into it and "
            f"trains; or take recordings: {download}."
        )
    return (
        f"Make it with: {download}; or `make quickstart` speaks a small corpus, {QUICKSTART}, and "
        "trains on it."
    )


def _check_schema(file: h5py.File, sample_rate: int) -> None:
    schema, version = _text(file.attrs.get("schema", "")), file.attrs.get("schema_version")
    if (schema, version) != (SCHEMA, SCHEMA_VERSION):
        raise UserError(
            f"{file.filename}: schema {schema or 'unknown'}, version {version or 'unknown'}, but "
            f"this reader knows {SCHEMA}, version {SCHEMA_VERSION}. Make the file again with "
            "python -m scripts.prepare_speech_commands (csr-pytorch's older layout is read by "
            "dataset=speech_commands_csr)."
        )
    found = file.attrs.get("sample_rate")
    if found != sample_rate:
        raise UserError(
            f"{file.filename}: recorded at {found} Hz, but {sample_rate} Hz are wanted. Set "
            f"dataset.sample_rate={found} and train at that rate, or make the file again."
        )


def _read_clips(file: h5py.File, split: int) -> ClipTable:
    """The rows of one split, checked against each other."""
    n_rows, n_samples = _data_shape(file)
    length = column(file, "ds/length", n_rows)
    label = column(file, "ds/label", n_rows)
    words = np.array([_text(word) for word in file.attrs.get("words", [])])
    _check_range(file, "ds/length", length, 1, n_samples)
    _check_range(file, "ds/label", label, 0, len(words) - 1)
    rows = np.flatnonzero(column(file, "ds/split", n_rows) == split)
    return ClipTable(
        rows=rows,
        lengths=length[rows].astype(np.int64),
        words=words[label[rows]],
        ids=np.array([file_safe(name) for name in column(file, "ds/id", n_rows)[rows]]),
        speakers=column(file, "ds/speaker", n_rows)[rows],
    )


def _text(value: str | bytes) -> str:
    """An attribute's text: of fixed length (bytes), or in older files of any."""
    return value.decode() if isinstance(value, bytes) else str(value)


def _data_shape(file: h5py.File) -> tuple[int, int]:
    data = file.get("ds/data")
    if data is None or data.ndim != 2 or data.dtype != np.int16:
        raise UserError(
            f"{file.filename}: ds/data should be int16 (clips, samples), but is "
            f"{'missing' if data is None else f'{data.dtype} {data.shape}'}. The file is damaged; "
            "make it again."
        )
    return data.shape


def _check_range(file: h5py.File, name: str, values: np.ndarray, low: int, high: int) -> None:
    wrong = np.flatnonzero((values < low) | (values > high))
    if len(wrong):
        raise UserError(
            f"{file.filename}: {name} of clip {wrong[0]} is {values[wrong[0]]}, outside "
            f"{low} … {high} ({counted(len(wrong), 'such clip')}). The file is damaged; "
            "make it again."
        )
