"""Every corpus by name: how its own layout becomes rows."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from src.datasets.commands.folder import SPLITS as COMMAND_SPLITS
from src.datasets.commands.folder import file_safe, scan_folder
from src.datasets.corpora.an4 import an4_rows
from src.datasets.corpora.common_voice import ADVICE, CORPUS, common_voice_rows
from src.datasets.corpora.folder import folder_rows
from src.datasets.corpora.listing import SPLITS, Flaw, Row, find_home
from src.datasets.corpora.ljspeech import ljspeech_rows
from src.datasets.corpora.voxforge import voxforge_rows
from src.datasets.librispeech.index import PartIndex
from src.datasets.librispeech.parts import ARCHIVES, find_parts, missing_parts
from src.datasets.librispeech.scan import scan

Reader = Callable[[Path], Iterable[Row | Flaw]]


def reader_of(name: str, train_list: str = "train") -> Reader:
    """What yields all rows of a corpus; their paths begin at its root.

    Args:
        name: one of `NAMES`.
        train_list: of Common Voice, see `CommonVoice`.
    """
    return partial(_common_voice, train_list) if name == "common_voice" else _READERS[name]


def _common_voice(train_list: str, root: Path) -> Iterator[Row | Flaw]:
    home = find_home(root, "clips", CORPUS, ADVICE)
    for split in SPLITS:
        for row in common_voice_rows(home, split, train_list):
            below = home.relative_to(root)
            yield row._replace(path=(below / row.path).as_posix()) if isinstance(row, Row) else row


def _librispeech(root: Path) -> Iterator[Row | Flaw]:
    """All official parts that are there: train-* for training, dev-* for validation."""
    there = [part for part in ARCHIVES if not missing_parts(root, [part])]
    for folder in find_parts(root, there or ["train-clean-100"]):
        split = {"train": "train", "dev": "validation"}.get(folder.name.split("-")[0], "test")
        columns, rejections = scan(folder)
        index, below = PartIndex(columns), folder.relative_to(root)
        rows = zip(index.ids, index.paths, index.transcripts, index.speaker_codes, strict=True)
        for name, path, text, code in rows:
            yield Row(name, (below / path).as_posix(), text, index.speakers[int(code)], split)
        for reason, names in rejections.ids_by_reason.items():
            yield from (Flaw(name, reason, split=split) for name in names)


def _speech_commands(root: Path) -> Iterator[Row]:
    for clip in scan_folder(root):
        path, split = clip.path.relative_to(root).as_posix(), COMMAND_SPLITS[clip.split]
        yield Row(file_safe(clip.id), path, clip.word, clip.speaker, split)


_READERS: dict[str, Reader] = {
    "an4": an4_rows,
    "folder": folder_rows,
    "librispeech": _librispeech,
    "ljspeech": ljspeech_rows,
    "speech_commands": _speech_commands,
    "voxforge": voxforge_rows,
}
NAMES = sorted([*_READERS, "common_voice"])
