"""AN4, CMU's census data: names, addresses and numbers, spelt and spoken (Acero, 1993).

etc/an4_train.transcription and etc/an4_test.transcription have lines "<s> WORDS </s> (ID)", and
the .fileids lists beside them name the files below wav/.
"""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from src.datasets.corpora.listed_corpus import ListedCorpus
from src.datasets.corpora.listing import MALFORMED, Flaw, Row, find_home, lines_of, numbered_lines
from src.datasets.rejections import NO_AUDIO, NO_TRANSCRIPT
from src.utils.errors import UserError

CORPUS = "AN4"
ADVICE = "To fetch it (64 MB): python -m scripts.prepare_data an4 --root data/an4 --download"
EXTENSIONS = (".sph", ".wav", ".flac", ".opus")
HEADERLESS = "in headerless .raw files; take the archive an4_sphere or the WAV files instead."
LINE = re.compile(r"(?P<text>.*)\((?P<id>[^()\s]+)\)")


class AN4(ListedCorpus):
    """The official training part, some of its speakers held out for validation, and the official
    test part; see `ListedCorpus` for the keys."""

    corpus = CORPUS

    def rows(self, root: Path, split: str) -> Iterator[Row | Flaw]:
        """All rows of both parts."""
        return an4_rows(root)


def an4_rows(root: Path) -> Iterator[Row | Flaw]:
    """The rows of both parts.

    Raises:
        UserError: a list is missing.
    """
    home = find_home(root, "etc/an4_train.transcription", CORPUS, ADVICE)
    for split in ("train", "test"):
        files = _files(home / "etc" / f"an4_{split}.fileids")
        yield from _part(root, home / "wav", files, home / f"etc/an4_{split}.transcription", split)


def _files(path: Path) -> dict[str, str]:
    """Id → file below wav/, without extension."""
    if not path.is_file():
        raise UserError(f"{path}: is missing, though AN4 has it; unpack the archive again.")
    return {PurePosixPath(line).name: line for line in lines_of(path)}


def _part(
    root: Path, wav: Path, files: dict[str, str], transcripts: Path, split: str
) -> Iterator[Row | Flaw]:
    if not transcripts.is_file():
        raise UserError(f"{transcripts}: is missing, though AN4 has it; unpack the archive again.")
    heard = set()
    for number, line in numbered_lines(transcripts).items():
        match = LINE.fullmatch(line)
        if not match:
            told = f"{transcripts.name} line {number}"
            yield Flaw(told, MALFORMED, "no (ID) at its end", split=split)
            continue
        name = match["id"]
        heard.add(name)
        stem = files.get(name)
        speaker = PurePosixPath(stem).parent.name if stem else ""
        file, why = _sound(wav, stem)
        if file is None:
            yield Flaw(name, NO_AUDIO, why, speaker, split)
        else:
            text = re.sub(r"<[^<>]*>", " ", match["text"])  # <s>, </s>, <sil>
            yield Row(name, file.relative_to(root).as_posix(), text, speaker, split)
    for name in sorted(files.keys() - heard):
        yield Flaw(name, NO_TRANSCRIPT, "", PurePosixPath(files[name]).parent.name, split)


def _sound(wav: Path, stem: str | None) -> tuple[Path | None, str]:
    """The file of a recording, or why there is none."""
    if stem is None:
        return None, "not in the list of files"
    file = next(filter(Path.is_file, (wav / f"{stem}{end}" for end in EXTENSIONS)), None)
    return file, HEADERLESS if file is None and (wav / f"{stem}.raw").is_file() else ""
