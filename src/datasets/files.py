"""Recordings that belong to no corpus: one file, a folder, or a glob."""

import glob
import hashlib
import logging
import os
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from src import audio
from src.batch import NO_SOUND, Utterance
from src.datasets.selection import UNREADABLE, Rejections, select
from src.utils.command_line import in_quotes
from src.utils.errors import UserError
from src.utils.files import walk

logger = logging.getLogger(__name__)

LISTS = (".jsonl", ".json", ".csv", ".tsv")  # of recordings, as dataset=folder reads them
MAX_ID_BYTES = 200  # file systems allow 255 for a name, and ".json" comes after it


class AudioFiles(Dataset[Utterance]):
    """Recordings as utterances; a transcript is taken from the .txt file of the same stem.

    Ids are the paths below `input`, made safe as file names: `day1/a b.wav` → `day1_a_b`.

    Args:
        input: a file of any extension; a folder, searched with its subfolders; or a glob
            ("**" means any subfolders). Of folders and globs only `audio.EXTENSIONS` count.
        text: text object of the vocabulary, for targets; None leaves targets empty. A
            transcript that it can't encode never keeps a recording from being read.
        sample_rate: wanted rate in Hz.
        resample: False refuses files of another rate.
        min_duration_s, max_duration_s, limit, sort: see `select`.

    Attributes:
        unreadable: id → reason of each file that is left out because its header can't be read.

    Raises:
        UserError: nothing found, or no recording can be used.
    """

    def __init__(
        self,
        input: str | Path,
        text=None,
        *,
        sample_rate: int = 16000,
        resample: bool = True,
        min_duration_s: float = 0.0,
        max_duration_s: float | None = None,
        limit: int | None = None,
        sort: str | None = None,
    ) -> None:
        paths = find_recordings(str(input))
        ids = unique_ids(_name(path, base_folder(paths, Path(input))) for path in paths)
        durations_s, rejections = _measure(paths, ids)
        self.unreadable = rejections.explanations.get(UNREADABLE, {})
        if len(paths) == 1 and self.unreadable and paths[0].suffix.lower() in LISTS:
            raise UserError(
                f"input={input}: a list of recordings, not one of them. In its place "
                f"dataset=folder {in_quotes('dataset.root', str(input))} dataset.test.split=all "
                "reads what it lists."
            )
        if len(paths) == 1 and self.unreadable:
            raise UserError(self.unreadable[ids[0]])
        readable = np.flatnonzero(np.isfinite(durations_s))
        kept = readable[
            select(
                str(input),
                [ids[row] for row in readable],
                durations_s[readable],
                [""] * len(readable),
                None,
                min_duration_s=min_duration_s,
                max_duration_s=max_duration_s,
                limit=limit,
                sort=sort,
                already_rejected=rejections,
            )
        ]
        self.sample_rate = sample_rate
        self.ids = [ids[row] for row in kept]
        self.durations_s = durations_s[kept]
        self._paths = [paths[row] for row in kept]
        self._transcripts = [transcript_beside(path) for path in self._paths]
        self._targets = _targets(self.ids, self._transcripts, text)
        self.resample = resample

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Utterance:
        """Raises UserError where the audio is damaged or of a rate that may not be resampled."""
        waveform = audio.read(self.source(index), self.sample_rate, resample=self.resample)
        return replace(self.describe(index), waveform=waveform)

    def describe(self, index: int) -> Utterance:
        """The utterance with a waveform of 0 samples; no audio is touched."""
        target, tokens = self._targets[index]
        return Utterance(self.ids[index], NO_SOUND, self._transcripts[index], target, tokens)

    def source(self, index: int) -> Path:
        """The file that holds the sound."""
        return self._paths[index]


def find_recordings(pattern: str) -> list[Path]:
    """The file, the recordings in a folder and below, or those a glob matches; sorted.

    Raises:
        UserError: none found.
    """
    path = Path(pattern)
    if path.is_file():
        return [path]
    # Path.glob would refuse absolute patterns.
    matches = [path] if path.is_dir() else map(Path, glob.glob(pattern, recursive=True))  # noqa: PTH207
    found = {file for match in matches for file in _recordings_below(match)}
    if found:
        return sorted(found)
    problem = "holds no recordings" if path.is_dir() else "no such file or folder, and no match"
    raise UserError(
        f"{pattern}: {problem}. Give a file, a folder or a quoted glob such as 'talks/**/*.wav'; "
        f"files that end in {' '.join(audio.EXTENSIONS)} count as recordings."
    )


def unique_ids(names: Iterable[str]) -> list[str]:
    """Each name once, whatever the file system's case: a second "a" becomes "a-2"."""
    ids: list[str] = []
    taken: set[str] = set()
    for name in names:
        candidate, n = name, 1
        while candidate.casefold() in taken:
            n += 1
            candidate = f"{name}-{n}"
        taken.add(candidate.casefold())
        ids.append(candidate)
    return ids


def _recordings_below(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path] if path.suffix.lower() in audio.EXTENSIONS else []
    return [
        folder / name
        for folder, _, names in walk(path)
        for name in names
        if Path(name).suffix.lower() in audio.EXTENSIONS and not name.startswith(".")
    ]


def base_folder(paths: list[Path], given: Path) -> Path:
    """The folder that ids start from: the one given, else the deepest common one."""
    if given.is_dir():
        return given
    return Path(os.path.commonpath([path.parent for path in paths]))


def _name(path: Path, base: Path) -> str:
    return safe_name(path.relative_to(base).with_suffix("").as_posix())


def safe_name(name: str) -> str:
    """A name or path as one that any file system takes: `day1/a b` → `day1_a_b`."""
    safe = re.sub(r"[^\w.\-]+", "_", name.encode("utf-8", "replace").decode()).strip("._") or "_"
    if len(safe.encode()) <= MAX_ID_BYTES:
        return safe
    digest = hashlib.sha256(safe.encode()).hexdigest()[:12]  # tells long names apart
    return safe.encode()[: MAX_ID_BYTES - 13].decode(errors="ignore") + "-" + digest


def _measure(paths: list[Path], ids: list[str]) -> tuple[np.ndarray, Rejections]:
    """Seconds of each file, (n,) float32, NaN where its header can't be read."""
    durations_s = np.full(len(paths), np.nan, np.float32)
    rejections = Rejections()
    for row, path in enumerate(paths):
        try:
            durations_s[row] = audio.duration_s(path)
        except UserError as error:
            rejections.add(UNREADABLE, ids[row], str(error))
    return durations_s, rejections


def transcript_beside(path: Path) -> str:
    """What the .txt file beside a recording says, on one line; "" where there is none."""
    file = path.with_suffix(".txt")
    if not file.is_file() or file == path:
        return ""
    try:
        return " ".join(file.read_text(encoding="utf-8-sig").split())
    except (UnicodeDecodeError, OSError) as error:
        raise UserError(
            f"{file}: not readable as UTF-8 text ({error}), though it should be the transcript "
            f"of {path.name}. Save it as UTF-8, or move it elsewhere."
        ) from error


def _targets(ids: list[str], transcripts: list[str], text) -> list[tuple[str, tuple[int, ...]]]:
    """Target and tokens of each transcript; one warning tells of those without tokens.

    Letters that the vocabulary lacks still count as errors, so such a transcript stays as a
    reference, normalised. Words without a pronunciation have no phonemes to compare with.
    """
    if text is None:
        return [("", ())] * len(transcripts)
    targets, unwritable = [], Rejections()
    for name, transcript in zip(ids, transcripts, strict=True):
        try:
            target = text.target(transcript)
            targets.append((target, text.vocabulary.encode(target)))
        except UserError as error:
            reference = text.normalise(transcript) if text.unit == "character" else ""
            targets.append((reference, ()))
            unwritable.add("transcripts", name, str(error))
    if unwritable:
        effect = "scored with errors" if text.unit == "character" else "not scored"
        logger.warning("The vocabulary can't write %s: these are read, but %s.", unwritable, effect)
    return targets
