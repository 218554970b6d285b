"""The official folder of Google Speech Commands: which clips there are, and in which split.

`word/<speaker>_nohash_<n>.wav` beside `validation_list.txt` and `testing_list.txt`. The lists
alone decide the split: everything they don't name is for training.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from src import audio
from src.utils.errors import UserError

log = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")  # stored as 0, 1, 2
SPLIT_LISTS = {"validation": "validation_list.txt", "test": "testing_list.txt"}


@dataclass(frozen=True, slots=True)
class Clip:
    """One recording of one word."""

    path: Path
    word: str
    split: int  # index into SPLITS

    @property
    def id(self) -> str:
        """`word/stem`, the same whatever the file's extension."""
        return f"{self.word}/{self.path.stem}"

    @property
    def speaker(self) -> str:
        """The name up to `_nohash_`: one hash for all clips of one speaker."""
        return self.path.stem.partition("_nohash_")[0]


def scan_folder(folder: Path) -> list[Clip]:
    """All clips below `folder`, sorted by file name, then word.

    Names begin with the speaker's hash, so any run of neighbours holds many words: the first
    hundred clips are a small corpus, not a hundred times "backward".
    Folders whose name starts with `_` or `.` hold no words (`_background_noise_` is minutes
    of noise, a source for augmentation) and are left out.

    Raises:
        UserError: no folder, no split list, no clips, a clip in both lists, or two files
            with the same word and stem.
    """
    if not folder.is_dir():
        raise UserError(
            f"{folder}: no such folder. Give --source the unpacked Speech Commands archive, or "
            "add --download to fetch it there."
        )
    listed = _read_split_lists(folder)
    clips = [
        Clip(path, path.parent.name, listed.get(f"{path.parent.name}/{path.stem}", 0))
        for path in _recordings(folder)
    ]
    _refuse_twins(clips)
    absent = listed.keys() - {clip.id for clip in clips}
    if absent:
        log.warning(
            "%s: %d clips of the split lists are not in the folder (%s)",
            folder,
            len(absent),
            some(sorted(absent)),
        )
    return clips


def with_training_clips(clips: list[Clip], folder: Path) -> list[Clip]:
    """`clips` and those below `folder` that speak one of their words, all of these for training.

    `folder` has one folder a word, as the official one; its split lists, if any, are not read.

    Raises:
        UserError: no clip of these words there, or one with the name of another.
    """
    words = {clip.word for clip in clips}
    found = (Clip(path, path.parent.name, 0) for path in _recordings(folder))
    extra = [clip for clip in found if clip.word in words]
    if not extra:
        raise UserError(
            f"{folder}: no clip of any of the corpus's {len(words)} words ({some(sorted(words))})."
        )
    both = clips + extra
    _refuse_twins(both)
    return both


def _recordings(folder: Path) -> list[Path]:
    """Audio files below folders of words, sorted by file name, then word."""
    paths = sorted(folder.glob("[!_.]*/*"), key=lambda path: (path.stem, path.parent.name))
    paths = [path for path in paths if path.suffix.lower() in audio.EXTENSIONS]
    paths = [path for path in paths if not path.name.startswith(".")]
    if not paths:
        raise UserError(
            f"{folder}: no audio found in folders named after words, such as {folder}/yes/*.wav "
            f"(readable: {', '.join(sorted(audio.EXTENSIONS))})."
        )
    return paths


def _read_split_lists(folder: Path) -> dict[str, int]:
    """Clip id → split index of every clip that the two lists name."""
    listed: dict[str, int] = {}
    for split, name in SPLIT_LISTS.items():
        if not (folder / name).is_file():
            raise UserError(
                f"{folder}: {name} is missing, so nobody can tell which clips are for {split}. "
                "It is part of the official archive: put it back or unpack the archive again."
            )
        index = SPLITS.index(split)
        for clip_id in _listed_ids(folder / name):
            if listed.setdefault(clip_id, index) != index:
                raise UserError(
                    f"{folder}: {clip_id} is in both {' and '.join(SPLIT_LISTS.values())}; "
                    "a clip belongs to one split only. Take the lists of the official archive."
                )
    return listed


def _listed_ids(path: Path) -> Iterator[str]:
    """The lists say `word/stem.wav`; the clips may have been re-encoded since."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (UnicodeDecodeError, OSError) as error:
        raise UserError(
            f"{path}: not a readable list of clips ({error}). Take it from the official archive."
        ) from error
    for line in filter(None, map(str.strip, lines)):
        word, _, name = line.rpartition("/")
        if not word or not name:
            raise UserError(
                f"{path}: met {line[:60]!r}, where each line should read word/clip.wav. Take the "
                "list from the official archive."
            )
        yield f"{word}/{PurePosixPath(name).stem}"


def _refuse_twins(clips: list[Clip]) -> None:
    """Ids name prediction files with `/` written as `_`, so they must differ even then."""
    seen: dict[str, Path] = {}
    for clip in clips:
        other = seen.setdefault(file_safe(clip.id), clip.path)
        if other != clip.path:
            raise UserError(
                f"{other} and {clip.path} would be the same clip, {file_safe(clip.id)}. "
                "Remove or rename one of them."
            )


def file_safe(clip_id: str) -> str:
    """`bed/026290a7_nohash_0` → `bed_026290a7_nohash_0`."""
    return clip_id.replace("/", "_")


def some(names: list[str], n: int = 3) -> str:
    """The first `n` names, and an ellipsis where there are more."""
    return ", ".join(names[:n]) + (", …" if len(names) > n else "")
