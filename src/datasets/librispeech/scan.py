"""A folder in LibriSpeech's layout, read into arrays.

Official layout: PART/SPEAKER/CHAPTER/SPEAKER-CHAPTER.trans.txt, a line "ID WORDS …" for each
utterance, beside one audio file an utterance, named by its id.
"""

import hashlib
import os
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from src import audio
from src.datasets.rejections import (
    EXTRA_AUDIO,
    LISTED_TWICE,
    NO_AUDIO,
    NO_TRANSCRIPT,
    Rejections,
)
from src.utils.errors import UserError
from src.utils.packed import PackedStrings, Packer

TRANSCRIPTS = ".trans.txt"
_stat = os.stat  # of bytes: half a million Path objects would take seconds


def scan(part: Path) -> tuple[dict[str, np.ndarray], Rejections]:
    """Pair transcripts with audio; durations stay unknown (NaN).

    Returns:
        The columns of `index.PartIndex`, and the rows that lack one of the two.

    Raises:
        UserError: a folder can't be listed, or a transcript file is not UTF-8 text.
    """
    table, stamps, rejections = _Table(), Stamps(), Rejections()
    seen: set[str] = set()
    for folder, names in _folders(part, stamps):
        lists = [name for name in names if name.endswith(TRANSCRIPTS)]
        by_id: dict[str, str] = {}
        for name in filter(_is_audio, names):
            if by_id.setdefault(Path(name).stem, name) != name:
                rejections.add(EXTRA_AUDIO, f"{folder}/{name}")
        for utterance_id, transcript in _lines(part, folder, lists, stamps):
            if utterance_id in seen:
                rejections.add(LISTED_TWICE, utterance_id)
            elif utterance_id not in by_id:
                rejections.add(NO_AUDIO, utterance_id)
            else:
                table.add(utterance_id, f"{folder}/{by_id[utterance_id]}", transcript)
            seen.add(utterance_id)
        for utterance_id in by_id.keys() - seen:
            rejections.add(NO_TRANSCRIPT, utterance_id)
    rejected = {reason: sorted(names) for reason, names in rejections.ids_by_reason.items()}
    return table.columns() | stamps.columns(), Rejections(rejected)


def is_unchanged(part: Path, columns: Mapping[str, np.ndarray]) -> bool:
    """Whether a part's folders have the dates of `columns`, its transcripts dates and sizes too.

    A folder's date changes with the names in it, so nothing is listed: of ten million audio
    files that would take minutes.
    """
    root = os.fsencode(part) + b"/"
    folders = columns["folders"].tobytes().split(b"\0")[:-1]
    lists = columns["lists"].tobytes().split(b"\0")[:-1]
    try:
        dates = np.fromiter((_stat(root + name).st_mtime_ns for name in folders), np.int64)
        if not np.array_equal(dates, columns["folder_dates"]):
            return False
        found = (_stat(root + name) for name in lists)
        stamps = np.array([(s.st_mtime_ns, s.st_size) for s in found], np.int64).reshape(-1, 2)
    except OSError:
        return False
    return np.array_equal(stamps, columns["list_stamps"])


def id_hash(utterance_id: str) -> int:
    """64 bits by which utterances of several parts are compared."""
    encoded = utterance_id.encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.blake2b(encoded, digest_size=8).digest(), "little")


class _Table:
    """The utterances of a part, column by column."""

    def __init__(self) -> None:
        self._strings = {name: Packer() for name in ("ids", "paths", "transcripts")}
        self._hashes = array("Q")
        self._speakers: dict[str, int] = {}
        self._codes = array("i")

    def add(self, utterance_id: str, path: str, transcript: str) -> None:
        values = (utterance_id, path, transcript)
        for packer, value in zip(self._strings.values(), values, strict=True):
            packer.add(value)
        self._hashes.append(id_hash(utterance_id))
        speaker = path.split("/", 1)[0]
        self._codes.append(self._speakers.setdefault(speaker, len(self._speakers)))

    def columns(self) -> dict[str, np.ndarray]:
        columns = {
            "id_hashes": np.frombuffer(self._hashes, np.uint64),
            "speaker_codes": np.frombuffer(self._codes, np.int32),
            "durations_s": np.full(len(self._codes), np.nan, np.float32),
        }
        packed = {name: packer.packed() for name, packer in self._strings.items()}
        packed["speakers"] = PackedStrings.of(self._speakers)
        for name, strings in packed.items():
            columns |= {name: strings.data, f"{name}_offsets": strings.offsets}
        return columns


class Stamps:
    """Dates and sizes as they were *before* a folder was listed or a file was read.

    What changes meanwhile has a later date then, and is noticed the next time.
    """

    def __init__(self) -> None:
        self._folders: list[tuple[str, int]] = []
        self._lists: list[tuple[str, int, int]] = []

    def add_folder(self, part: Path, folder: str) -> None:
        """Stamp a folder below the part; "." is the part itself."""
        self._folders.append((folder, (part / folder).stat().st_mtime_ns))

    def add_list(self, part: Path, name: str) -> None:
        """Stamp a transcript file below the part."""
        status = (part / name).stat()
        self._lists.append((name, status.st_mtime_ns, status.st_size))

    def columns(self) -> dict[str, np.ndarray]:
        """What `is_unchanged` compares with."""
        stamps = np.array([stamp for _, *stamp in self._lists], np.int64).reshape(-1, 2)
        return {
            "folders": _joined(name for name, _ in self._folders),
            "folder_dates": np.array([date for _, date in self._folders], np.int64),
            "lists": _joined(name for name, _, _ in self._lists),
            "list_stamps": stamps,
        }


def _joined(names: Iterator[str]) -> np.ndarray:
    return np.frombuffer(b"".join(os.fsencode(name) + b"\0" for name in names), np.uint8)


def _folders(part: Path, stamps: Stamps) -> Iterator[tuple[str, list[str]]]:
    """Each folder of the part in order, with the names of the visible files in it."""
    waiting = ["."]
    while waiting:
        folder = waiting.pop()
        try:
            stamps.add_folder(part, folder)
            with os.scandir(part / folder) as listing:
                entries = sorted((entry.name, entry.is_dir()) for entry in listing)
        except OSError as error:
            raise UserError(
                f"{part / folder}: this folder of the corpus can't be listed "
                f"({error.strerror or error}). Make it readable, or move it elsewhere."
            ) from error
        below = "" if folder == "." else f"{folder}/"
        waiting += [f"{below}{name}" for name, is_folder in reversed(entries) if is_folder]
        files = (name for name, is_folder in entries if not is_folder)
        yield folder, [name for name in files if not name.startswith(".")]


def _is_audio(name: str) -> bool:
    return Path(name).suffix.lower() in audio.EXTENSIONS


def _lines(part: Path, folder: str, lists: list[str], stamps: Stamps) -> Iterator[tuple[str, str]]:
    """(id, transcript) of each line of the folder's transcript files."""
    for name in lists:
        file = part / folder / name
        try:
            stamps.add_list(part, f"{folder}/{name}")
            content = file.read_text(encoding="utf-8-sig")
        except (UnicodeDecodeError, OSError) as error:
            raise UserError(
                f"{file}: not readable as UTF-8 text ({error}). Expected lines such as "
                "'103-1240-0000 CHAPTER ONE'; copy or download the file again."
            ) from error
        # Not splitlines(): a form feed or U+2028 within a transcript would cut it short.
        for line in filter(None, map(str.strip, content.split("\n"))):
            utterance_id, _, transcript = line.partition(" ")
            yield utterance_id, transcript.strip()
