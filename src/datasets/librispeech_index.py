"""One part of LibriSpeech as a table, kept on disk so that it is scanned only once.

Official layout: PART/SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt, a line "ID WORDS …" for each
utterance, beside one audio file an utterance, named by its id.
"""

import hashlib
import logging
import os
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from src import audio
from src.datasets.packed import PackedStrings
from src.datasets.selection import UNREADABLE, Rejections
from src.utils.errors import UserError
from src.utils.files import atomic_write

logger = logging.getLogger(__name__)

VERSION = 1  # of the index file; a file of another version is made again
TRANSCRIPTS = ".trans.txt"
NO_AUDIO = "with a transcript but no audio"
NO_TRANSCRIPT = "with audio but no transcript"
LISTED_TWICE = "listed more than once, first line used"
EXTRA_AUDIO = "extra audio files of an utterance that has one"


@dataclass(frozen=True, slots=True)
class PartIndex:
    """The utterances of a part that have a transcript and audio, sorted by path."""

    ids: PackedStrings
    paths: PackedStrings  # below the part's folder
    transcripts: PackedStrings
    durations_s: np.ndarray  # (n,) float32, NaN where the audio's header can't be read
    rejected: dict[str, list[str]]  # reason → ids of rows that lack one of the two

    @property
    def speakers(self) -> Iterator[str]:
        """The speaker of each utterance: the first folder of its path."""
        return (path.split("/", 1)[0] for path in self.paths)


def load_index(part: Path, index_dir: str | Path | None) -> tuple[PartIndex, Rejections]:
    """The table of `part`, from the index file where it still fits, else scanned and stored.

    A file fits as long as the part has the same folders and file names, transcripts of the
    same size and date, and folders of the same date.

    Args:
        part: folder such as data/LibriSpeech/train-clean-100; may be read-only.
        index_dir: where index files are kept; None scans each time and keeps nothing.

    Returns:
        The table, and all rows that can't be used: incomplete ones, unreadable audio.

    Raises:
        UserError: a transcript file is not UTF-8 text.
    """
    chapters = sorted(_chapters(part))
    stamp = _fingerprint(part, chapters)
    file = _index_file(part, index_dir) if index_dir is not None else None
    stored = _read(file, stamp) if file else None
    index = stored or _scan(part, chapters)
    # Unreadable audio is tried again each time: somebody may have copied it anew.
    index, rejections = _measure(part, index)
    if file and (stored is None or not _same(stored.durations_s, index.durations_s)):
        _write(file, stamp, index)
    return index, rejections


def _chapters(part: Path) -> Iterator[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """Each folder below `part` that has them: its transcript files and its audio files."""
    for folder, subfolders, names in os.walk(part, followlinks=True):
        subfolders.sort()
        visible = [name for name in sorted(names) if not name.startswith(".")]
        lists = tuple(name for name in visible if name.endswith(TRANSCRIPTS))
        sounds = tuple(n for n in visible if Path(n).suffix.lower() in audio.EXTENSIONS)
        if lists or sounds:
            yield Path(folder).relative_to(part).as_posix(), lists, sounds


def _fingerprint(part: Path, chapters: list[tuple]) -> str:
    digest = hashlib.sha256()
    for folder, lists, sounds in chapters:
        stamps = [(part / folder).stat().st_mtime_ns]
        for name in lists:
            status = (part / folder / name).stat()
            stamps += [status.st_size, status.st_mtime_ns]
        digest.update(repr((folder, lists, sounds, stamps)).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _scan(part: Path, chapters: list[tuple]) -> PartIndex:
    """Pair transcripts with audio; durations stay unknown (NaN)."""
    rejections, rows, seen = Rejections(), [], set()
    for folder, lists, sounds in chapters:
        by_id: dict[str, str] = {}
        for name in sounds:
            if by_id.setdefault(Path(name).stem, name) != name:
                rejections.add(EXTRA_AUDIO, f"{folder}/{name}")
        for utterance_id, transcript in _lines(part / folder, lists):
            if utterance_id in seen:
                rejections.add(LISTED_TWICE, utterance_id)
            elif utterance_id not in by_id:
                rejections.add(NO_AUDIO, utterance_id)
            else:
                rows.append((utterance_id, f"{folder}/{by_id[utterance_id]}", transcript))
            seen.add(utterance_id)
        for utterance_id in by_id.keys() - seen:
            rejections.add(NO_TRANSCRIPT, utterance_id)
    ids, paths, transcripts = zip(*rows, strict=True) if rows else ((), (), ())
    return PartIndex(
        ids=PackedStrings.of(ids),
        paths=PackedStrings.of(paths),
        transcripts=PackedStrings.of(transcripts),
        durations_s=np.full(len(rows), np.nan, dtype=np.float32),
        rejected={reason: sorted(names) for reason, names in rejections.ids_by_reason.items()},
    )


def _lines(folder: Path, lists: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """(id, transcript) of each line of the folder's transcript files."""
    for name in lists:
        try:
            content = (folder / name).read_text(encoding="utf-8-sig")
        except (UnicodeDecodeError, OSError) as error:
            raise UserError(
                f"{folder / name}: not readable as UTF-8 text ({error}). Expected lines such as "
                "'103-1240-0000 CHAPTER ONE'; copy or download the file again."
            ) from error
        for line in filter(None, map(str.strip, content.splitlines())):
            utterance_id, _, transcript = line.partition(" ")
            yield utterance_id, transcript.strip()


def _measure(part: Path, index: PartIndex) -> tuple[PartIndex, Rejections]:
    """Fill in unknown durations from the audio headers; what resists is rejected."""
    rejections = Rejections(index.rejected)
    unknown = np.flatnonzero(np.isnan(index.durations_s))
    if not len(unknown):
        return index, rejections
    durations_s = index.durations_s.copy()
    with ThreadPoolExecutor() as pool:
        measured = pool.map(lambda row: _duration_s(part / index.paths[row]), unknown)
        bar = tqdm(measured, f"{part.name}: durations", len(unknown), unit="file", disable=None)
        for row, result in zip(unknown, bar, strict=True):
            if isinstance(result, UserError):
                rejections.add(UNREADABLE, index.ids[row], str(result))
            else:
                durations_s[row] = result
    return replace(index, durations_s=durations_s), rejections


def _duration_s(path: Path) -> float | UserError:
    try:
        return audio.duration_s(path)
    except UserError as error:
        return error


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return np.array_equal(a, b, equal_nan=True)


def _index_file(part: Path, index_dir: str | Path) -> Path:
    """One file for each place: two copies of a part don't fight over one index."""
    place = hashlib.sha256(os.fsencode(part.resolve())).hexdigest()[:12]
    return Path(index_dir) / f"librispeech-{part.name}-{place}.npz"


def _write(file: Path, stamp: str, index: PartIndex) -> None:
    columns: dict[str, np.ndarray] = {"durations_s": index.durations_s}
    rejected = [(reason, name) for reason, names in index.rejected.items() for name in names]
    packed = {
        "ids": index.ids,
        "paths": index.paths,
        "transcripts": index.transcripts,
        "rejected_reasons": PackedStrings.of(reason for reason, _ in rejected),
        "rejected_ids": PackedStrings.of(name for _, name in rejected),
    }
    for name, strings in packed.items():
        columns |= {name: strings.data, f"{name}_offsets": strings.offsets}
    try:
        with atomic_write(file) as stream:
            np.savez(stream, version=VERSION, stamp=stamp, **columns)
    except UserError as error:
        logger.warning("The index is not kept, each start will scan the corpus anew: %s", error)


def _read(file: Path, stamp: str) -> PartIndex | None:
    """The stored table; None where there is none, it is damaged or the part has changed."""
    try:
        with np.load(file, allow_pickle=False) as stored:
            if int(stored["version"]) != VERSION or str(stored["stamp"]) != stamp:
                return None
            columns = dict(stored)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        logger.warning("%s: the index is damaged (%s); scanning the corpus again.", file, error)
        return None
    strings = {
        name: PackedStrings(columns[name], columns[f"{name}_offsets"])
        for name in ("ids", "paths", "transcripts", "rejected_reasons", "rejected_ids")
    }
    rejections = Rejections()
    for reason, name in zip(
        strings.pop("rejected_reasons"), strings.pop("rejected_ids"), strict=True
    ):
        rejections.add(reason, name)
    return PartIndex(
        **strings, durations_s=columns["durations_s"], rejected=rejections.ids_by_reason
    )
