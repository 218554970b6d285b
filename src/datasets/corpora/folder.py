"""Recordings of one's own: a folder with a .txt file beside each, or a list of them."""

import os
from collections.abc import Iterator
from pathlib import Path

from src import audio
from src.datasets.corpora.listed_corpus import ListedCorpus
from src.datasets.corpora.listing import ALL, SPLITS, Flaw, Row, lines_of
from src.datasets.corpora.manifest import manifest_rows
from src.datasets.files import LISTS, safe_name, unique_ids
from src.datasets.rejections import EXTRA_AUDIO, NO_AUDIO, NO_TRANSCRIPT
from src.utils.errors import UserError
from src.utils.files import walk


class Folder(ListedCorpus):
    """A folder or a list; see `ListedCorpus` for the other keys.

    Args:
        root: a folder, in which each recording has a .txt file of the same stem; or a list of
            recordings, see `manifest`.
    """

    splits = (*SPLITS, ALL)

    @property
    def corpus(self) -> str:
        """Several may be read at once, so the log tells which."""
        return f"folder {self._root.name}"

    def rows(self, root: Path, split: str) -> Iterator[Row | Flaw]:
        """All rows."""
        return folder_rows(root)


def folder_rows(root: Path) -> Iterator[Row | Flaw]:
    """The rows of a folder and its subfolders, or of a list.

    Raises:
        UserError: there is no such folder or list, or nothing in it.
    """
    if root.is_file():
        return manifest_rows(root)
    if not root.is_dir():
        raise UserError(f"{root}: no such folder or list; set dataset.root to one.")
    names = sorted(_visible(root))
    if not any(_is_sound(name) for name in names):
        lists = [name for name in names if name.endswith(LISTS)]
        advice = f" Did you mean dataset.root={root / lists[0]}?" if lists else ""
        raise UserError(
            f"{root}: has no recordings in it. Expected files that end in "
            f"{' '.join(audio.EXTENSIONS)}, with a .txt file of the same stem beside each.{advice}"
        )
    return _pairs(root, names)


def _pairs(root: Path, names: list[str]) -> Iterator[Row | Flaw]:
    """Recordings with the text beside them; `names` are files below root."""
    pairs = map(os.path.splitext, names)
    texts = {stem: stem + end for stem, end in pairs if end.lower() == ".txt"}
    sounds: dict[str, str] = {}
    for name in filter(_is_sound, names):
        stem = os.path.splitext(name)[0]  # noqa: PTH122
        if sounds.setdefault(stem, name) != name:
            yield Flaw(name, EXTRA_AUDIO)
    for stem, told in zip(sounds, unique_ids(map(safe_name, sounds)), strict=True):
        if stem not in texts:
            yield Flaw(told, NO_TRANSCRIPT)
            continue
        try:
            text = " ".join(lines_of(root / texts[stem]))
        except UserError as error:
            yield Flaw(told, "whose transcript can't be read", str(error))
        else:
            yield Row(told, sounds[stem], text)
    for stem in sorted(texts.keys() - sounds.keys()):
        yield Flaw(texts[stem], NO_AUDIO)


def _visible(root: Path) -> Iterator[str]:
    """Files below `root`, relative to it."""
    for folder, _, names in walk(root):
        below = folder.relative_to(root)
        yield from ((below / name).as_posix() for name in names if not name.startswith("."))


def _is_sound(name: str) -> bool:
    return Path(name).suffix.lower() in audio.EXTENSIONS
