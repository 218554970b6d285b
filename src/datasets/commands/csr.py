"""csr-pytorch's layout of Google Speech Commands: one float32 HDF5 file and five CSV files.

    allWavIdx.hdf5            ds/data float32 (n, 16000) zero-padded, ds/label int64 (n,)
    index_label_ID_table.csv  word,index
    label_index_ID_table.csv  index,word
    train_idx.csv, validation_idx.csv, test_idx.csv   one row of indices into ds/data

The layout stores no lengths, speakers or file names: trailing zeros are taken for padding,
speakers are unknown, and ids are the word and the row, such as `bed_001234`.
"""

import contextlib
import csv
from pathlib import Path
from zipfile import BadZipFile

import h5py
import numpy as np
from tqdm import tqdm

from src.datasets.commands.clips import ClipTable, HDF5Clips, column
from src.datasets.commands.folder import SPLITS
from src.datasets.commands.hdf5 import checked
from src.utils.errors import UserError
from src.utils.files import atomic_write

CLIPS = "allWavIdx.hdf5"
WORD_INDEX = "index_label_ID_table.csv"
INDEX_WORD = "label_index_ID_table.csv"
SPLIT_ROWS = {split: f"{split}_idx.csv" for split in SPLITS}


class SpeechCommandsCSR(HDF5Clips):
    """Clips of one split of csr-pytorch's files. Read-only, opened in each process by itself."""

    def __init__(
        self,
        folder: str | Path,
        split: str,
        text,
        *,
        sample_rate: int = 16000,
        full_scale: float = 1.0,
        index_dir: str | Path | None = None,
        min_duration_s: float = 0.0,
        max_duration_s: float | None = None,
        max_text_length: int | None = None,
        limit: int | None = None,
        sort: str | None = None,
    ) -> None:
        """Read the tables, find where each clip ends, and keep the usable ones.

        Args:
            folder: holds the HDF5 file and the five CSV files.
            split: "train", "validation" or "test".
            text: text object of the vocabulary; None leaves targets empty.
            sample_rate: Hz at which the clips were recorded; the layout does not say.
            full_scale: stored value that means 1.0; 32768 where integers were stored as floats.
            index_dir: the lengths are kept here, for finding them reads all the data (64 kB a
                clip); None finds them at each start.
            min_duration_s, max_duration_s, max_text_length, limit, sort: see `select`.

        Raises:
            UserError: a file is missing, not readable or contradicts another, a row index is
                outside the data, a sample is not finite or above `full_scale`, or no clip is left.
        """
        folder = Path(folder)
        if split not in SPLITS:
            raise UserError(f"split={split}: Speech Commands has {', '.join(SPLITS)}.")
        _check_complete(folder)
        words = _read_words(folder)
        with checked(folder / CLIPS) as file:
            labels = column(file, "ds/label", len(_data(file)))
            rows = _read_rows(folder, len(labels))[split]
            names = _names(folder, labels[rows], words)
            lengths = _cached_lengths(file, rows, full_scale, split, index_dir)
        clips = ClipTable(
            rows=rows,
            lengths=lengths,
            words=names,
            ids=np.array([f"{word}_{row:06d}" for word, row in zip(names, rows, strict=True)]),
            speakers=np.full(len(rows), ""),
        )
        super().__init__(
            folder / CLIPS,
            f"Speech Commands (csr-pytorch) {split}",
            clips,
            text,
            sample_rate=sample_rate,
            full_scale=full_scale,
            min_duration_s=min_duration_s,
            max_duration_s=max_duration_s,
            max_text_length=max_text_length,
            limit=limit,
            sort=sort,
        )


def _check_complete(folder: Path) -> None:
    wanted = [CLIPS, WORD_INDEX, INDEX_WORD, *SPLIT_ROWS.values()]
    missing = [name for name in wanted if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"{folder}: {', '.join(missing)} not found. csr-pytorch's layout is one folder with "
            f"{', '.join(wanted)}; give that folder, or pack the original corpus with "
            "python -m scripts.prepare_speech_commands."
        )


def _read_words(folder: Path) -> dict[int, str]:
    """Index → word, on which both tables must agree."""
    forward = {index: word for word, index in _pairs(folder / WORD_INDEX)}
    backward = dict(_pairs(folder / INDEX_WORD))
    if forward != backward:
        differing = sorted(set(forward.items()) ^ set(backward.items()))
        raise UserError(
            f"{folder}: {WORD_INDEX} and {INDEX_WORD} disagree, first about "
            f"{differing[0][0]} = {differing[0][1]}. Both must name the same words; take the two "
            "files of one run."
        )
    return {_integer(index, folder / WORD_INDEX): word for index, word in forward.items()}


def _pairs(path: Path) -> list[tuple[str, str]]:
    lines = [[cell.strip() for cell in line] for line in _cells(path)]
    wrong = next((line for line in lines if len(line) != 2), None)
    if wrong is not None:
        raise UserError(f"{path}: expected two columns, met {','.join(wrong)!r}.")
    return [(first, second) for first, second in lines]


def _cells(path: Path) -> list[list[str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [line for line in csv.reader(file) if line]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not a readable CSV file ({error}).") from error


def _integer(cell: str, path: Path) -> int:
    try:
        return int(cell)
    except ValueError:
        raise UserError(f"{path}: expected whole numbers, met {cell.strip()!r}.") from None


def _read_rows(folder: Path, n_rows: int) -> dict[str, np.ndarray]:
    """Rows of each split: inside the data, and none in two splits or twice in one."""
    owner: dict[int, str] = {}
    rows: dict[str, np.ndarray] = {}
    for split, name in SPLIT_ROWS.items():
        path = folder / name
        found = [_integer(cell, path) for line in _cells(path) for cell in line if cell.strip()]
        for row in found:
            if not 0 <= row < n_rows:
                raise UserError(
                    f"{path}: row {row} does not exist; {CLIPS} holds {n_rows} clips, 0 … "
                    f"{n_rows - 1}. Take the CSV files that were written with this HDF5 file."
                )
            if row in owner:
                raise UserError(
                    f"{path}: row {row} is in {SPLIT_ROWS[owner[row]]} already. A clip belongs "
                    "to one split, once; take the CSV files of one run."
                )
            owner[row] = split
        rows[split] = np.array(found, np.int64)
    return rows


def _names(folder: Path, labels: np.ndarray, words: dict[int, str]) -> np.ndarray:
    unknown = sorted(set(labels.tolist()) - words.keys())
    if unknown:
        raise UserError(
            f"{folder / CLIPS}: ds/label has {unknown[0]}, which {WORD_INDEX} doesn't name "
            f"({len(words)} words). Take the files of one run."
        )
    return np.array([words[label] for label in labels.tolist()], dtype=str)


def _data(file: h5py.File) -> h5py.Dataset:
    data = file.get("ds/data")
    if data is None or data.ndim != 2 or data.dtype.kind != "f":
        raise UserError(
            f"{file.filename}: ds/data should be float32 (clips, samples), but is "
            f"{'missing' if data is None else f'{data.dtype} {data.shape}'}."
        )
    return data


def _cached_lengths(
    file: h5py.File, rows: np.ndarray, full_scale: float, split: str, index_dir: str | Path | None
) -> np.ndarray:
    """`_lengths`, kept in `index_dir` for as long as the HDF5 file and the rows are the same."""
    if index_dir is None:
        return _lengths(file, rows, full_scale)
    status = Path(file.filename).stat()
    made_from = np.array([status.st_size, status.st_mtime_ns, full_scale, *rows], np.float64)
    cache = Path(index_dir) / f"speech_commands_csr_{split}.npz"
    unreadable = (OSError, EOFError, ValueError, KeyError, BadZipFile)  # then it is made again
    with contextlib.suppress(*unreadable), np.load(cache) as stored:
        if np.array_equal(stored["made_from"], made_from):
            return stored["lengths"]
    lengths = _lengths(file, rows, full_scale)
    with atomic_write(cache) as target:
        np.savez(target, made_from=made_from, lengths=lengths)
    return lengths


def _lengths(file: h5py.File, rows: np.ndarray, full_scale: float) -> np.ndarray:
    """Samples of each clip up to its last non-zero one, (n,) int64; 0 where all are zero."""
    data = _data(file)
    lengths = np.zeros(len(rows), np.int64)
    for i, row in enumerate(tqdm(rows, desc="clip lengths", unit="clip", disable=None)):
        samples = data[row]
        peak = np.abs(samples).max()
        if not peak <= full_scale:  # also true of NaN
            raise UserError(
                f"{file.filename}: clip {row} reaches {peak:g}, but full_scale={full_scale:g}. Set "
                "dataset.full_scale=32768 where 16-bit samples were stored as they are; a clip "
                "that is not finite can't be used."
            )
        sounding = np.flatnonzero(samples)
        lengths[i] = sounding[-1] + 1 if len(sounding) else 0
    return lengths
