"""Sentences out of text files."""

import gzip
import lzma
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from src.utils.errors import UserError

# LibriSpeech's transcripts begin with the utterance's id.
ID = re.compile(r"\d+-\d+-\d{4,}\s+(?=\S)")
OPENERS = {".gz": gzip.open, ".xz": lzma.open}


def read_sentences(path: Path, limit: int | None = None) -> list[tuple[int, str]]:
    """Number of the line, from 1 up, and sentence, for each line that has one.

    Spaces are collapsed, and the ids of LibriSpeech's transcripts taken off.

    Raises:
        UserError: not readable as UTF-8 text, or no sentence in it.
    """
    sentences = []
    try:
        for number, line in enumerate(_lines(path), 1):
            if sentence := " ".join(ID.sub("", line, count=1).split()):
                sentences.append((number, sentence))
            if len(sentences) == limit:
                break
    except (OSError, EOFError, UnicodeDecodeError, lzma.LZMAError, zlib.error) as error:
        raise UserError(f"{path}: not readable as UTF-8 text ({error}); give another.") from error
    if not sentences:
        raise UserError(f"{path}: has no sentences in it; expected one a line.")
    return sentences


def _lines(path: Path) -> Iterator[str]:
    with OPENERS.get(path.suffix, open)(path, "rt", encoding="utf-8-sig") as file:
        for line in file:
            # eSpeak's library ends a text at a zero byte, and takes other controls for commands.
            yield re.sub(r"[\x00-\x1f\x7f]", " ", line)
