"""The text of a language model on the command line: its files, and how it is cut into units."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from src.language_models import SPACE, UNK, lines, sentences
from src.text import BPE, Characters
from src.utils.tables import percent

SPOKEN = "what is said for a word as printed, as transcripts have it: mr=mister mrs=missus"


def words_in(text: str) -> list[str]:
    """The words of a text, without apostrophes that stand alone, as some quotation marks do."""
    return [word for word in text.split() if word.strip("'")]


CUTS = {"word": words_in, "character": list}


class Units:
    """Cuts sentences into the units of a model, and counts those that it can't spell.

    Args:
        unit: "word", "character" or "piece".
        bpe: SentencePiece model of the pieces.
        spoken: word → what is said in its place.
    """

    def __init__(
        self, unit: str, bpe: str | None = None, spoken: Mapping[str, str] | None = None
    ) -> None:
        text = BPE(bpe) if unit == "piece" else Characters()
        self.vocabulary = text.vocabulary
        self.cut = self._pieces_in if unit == "piece" else CUTS[unit]
        self.normalise = text.normalise
        self.letters = frozenset(text.vocabulary.symbols[1:])
        self.unit, self.spoken = unit, spoken or {}
        self.names = {" ": SPACE}  # of units met so far
        self.n = self.n_unknown = 0

    def __call__(self, printed: Iterator[str]) -> Iterator[list[str]]:
        """The units of each sentence that has any."""
        for sentence in printed:
            if units := self.cut(self.said(sentence)):
                named = [self.names.get(unit) or self._name(unit) for unit in units]
                self.n += len(named)
                self.n_unknown += named.count(UNK)
                yield named

    def said(self, sentence: str) -> str:
        """The words of a printed sentence as transcripts have them."""
        text = self.normalise(sentence)
        if not self.spoken:
            return text
        return " ".join(self.spoken.get(word, word) for word in text.split())

    def tell(self) -> None:
        """What the text was."""
        share = percent(self.n_unknown / self.n)
        print(f"{self.n:,} {self.unit}s, {self.n_unknown:,} of them ({share}) unspellable: {UNK}")

    def _pieces_in(self, text: str) -> list[str]:
        return self.vocabulary.split(" ".join(words_in(text)))

    def _name(self, unit: str) -> str:
        self.names[unit] = unit if self.letters.issuperset(unit) else UNK
        return self.names[unit]


def add_text_arguments(parser: argparse.ArgumentParser, heldout: bool = True) -> None:
    """What all that learn from text are told of it; `heldout`: and whose perplexity to tell."""
    add = parser.add_argument
    more = "those of --heldout too, " if heldout else ""
    add("text", type=Path, nargs="*", metavar="TEXT", help="files, one sentence a line")
    add("--books", type=Path, nargs="+", default=[], metavar="TEXT", help="files of running text")
    add(
        "--drop-first-field",
        action="store_true",
        help=f"lines are ID TEXT, {more}not those of books",
    )
    add("--spoken", type=_pair, nargs="+", default=[], metavar="WORD=WORDS", help=SPOKEN)
    if heldout:
        add("--heldout", type=Path, metavar="TEXT", help="tell the perplexity of this text's lines")


def check_text(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End the program where no text is named."""
    if not options.text and not options.books:
        parser.error("name at least one TEXT, or --books")


def _pair(value: str) -> tuple[str, str]:
    """A word and what is said for it, both as normalised text has them."""
    word, _, said = value.partition("=")
    normalise = Characters().normalise
    word, said = normalise(word), normalise(said)
    if not said or len(word.split()) != 1:
        raise argparse.ArgumentTypeError(f"{value}: expected WORD=WORDS, such as mr=mister")
    return word, said


def printed(options: argparse.Namespace) -> Iterator[str]:
    """All sentences of the text, as printed."""
    yield from listed(options.text, options)
    yield from sentences(lines(options.books))


def listed(paths: Sequence[Path], options: argparse.Namespace) -> Iterator[str]:
    """The lines of files, without their first field where that is a name."""
    for line in lines(paths):
        # An utterance's name without a text is left out, as any empty sentence is.
        yield "".join(line.split(maxsplit=1)[1:]) if options.drop_first_field else line
