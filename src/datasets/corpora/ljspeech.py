"""LJSpeech: one woman reads, wavs/ID.wav beside metadata.csv (https://keithito.com/LJ-Speech-Dataset)."""

from collections.abc import Iterator
from pathlib import Path

from src.datasets.corpora.listed_corpus import ListedCorpus
from src.datasets.corpora.listing import MALFORMED, Flaw, Row, find_home, numbered_lines
from src.utils.tables import counted

CORPUS = "LJSpeech"
ADVICE = (
    "To fetch it (2.6 GB): python -m scripts.prepare_data ljspeech --root data/ljspeech --download"
)


class LJSpeech(ListedCorpus):
    """The 13,100 utterances, held out by a hash of the id; see `ListedCorpus` for the keys.

    Transcripts are the normalised ones, with numbers and abbreviations as words.
    """

    corpus = CORPUS

    def rows(self, root: Path, split: str) -> Iterator[Row | Flaw]:
        """All rows."""
        return ljspeech_rows(root)


def ljspeech_rows(root: Path) -> Iterator[Row | Flaw]:
    """The rows of metadata.csv, "ID|as printed|normalised"; quotes mean nothing there.

    Raises:
        UserError: it is missing.
    """
    home = find_home(root, "metadata.csv", CORPUS, ADVICE)
    folder = home.relative_to(root) / "wavs"
    for number, line in numbered_lines(home / "metadata.csv").items():
        fields = line.split("|")
        name = fields[0].strip()
        if len(fields) != 3 or not name:
            explanation = f"{counted(len(fields), 'field')} between | instead of 3"
            yield Flaw(name or f"metadata.csv line {number}", MALFORMED, explanation)
        else:
            yield Row(name, (folder / f"{name}.wav").as_posix(), fields[2] or fields[1])
