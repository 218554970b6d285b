"""An n-gram language model from text, for decoder=beam_lm."""

import argparse
import logging
import resource
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from src.language_models import (
    EOS,
    EXACT,
    UNK,
    Grams,
    NGram,
    estimate,
    is_arpa,
    lines,
    perplexity,
    sentences,
    write_arpa,
)
from src.text import BPE, Characters
from src.utils.arguments import whole_number
from src.utils.errors import UserError
from src.utils.interrupts import ctrl_c_ends
from src.utils.tables import percent, table

HELP = """\
An n-gram model knows how likely a word is after the few words before it; a decoder that asks it
prefers what people say. Smoothing is interpolated modified Kneser-Ney. The text is cleaned as
transcripts are for training (small letters, apostrophes kept, other marks dropped), so that the
words are those that our models write. Words with other signs, such as digits, become <unk>.

One sentence a line, plain, .gz or .xz:
  python -m scripts.train_lm news.txt.gz --order 4 --prune 0 0 1 --out news.arpa.gz

Transcripts whose lines are "ID TEXT", and books as printed, cut into sentences at . ! ? and ;
  python -m scripts.train_lm train-clean-100.text.xz --drop-first-field --books books/*.txt.xz \\
      --spoken mr=mister mrs=missus dr=doctor --prune 0 0 1 --out saved/books.lm \\
      --heldout dev-clean.txt

A model over characters, which decodes without a word list, and one over the pieces of text=bpe:
  python -m scripts.train_lm news.txt.gz --unit character --order 6 --out letters.lm
  python -m scripts.train_lm news.txt.gz --unit piece --bpe data/bpe500.model --out pieces.lm

--prune 0 0 1 leaves out n-grams of three and more words that were seen only once: a fraction of the
size for a few percent of perplexity. A file whose name ends in .arpa or .arpa.gz can be read by
other tools; any other name gets our own format, which opens at once. Never learn from the text
that you test on."""
DIGITS = "of an ARPA file's logarithms (default 9: exact); 4 make it a third smaller"
SPOKEN = "what is said for a word as printed, as transcripts have it: mr=mister mrs=missus"
PRUNE = "leave out n-grams of order 1, 2, … seen at most N times; the last N for all longer ones"


def words_in(text: str) -> list[str]:
    """The words of a text, without apostrophes that stand alone, as some quotation marks do."""
    return [word for word in text.split() if word.strip("'")]


CUTS = {"word": words_in, "character": list}
SPACE = "<space>"  # the unit that stands between words in models over characters


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
        self.cut = text.vocabulary.split if unit == "piece" else CUTS[unit]
        self.normalise = text.normalise
        self.letters = frozenset(text.vocabulary.symbols[1:])
        self.unit, self.spoken = unit, spoken or {}
        self.names = {" ": SPACE}  # of units met so far
        self.n = self.n_unknown = 0

    def __call__(self, printed: Iterator[str]) -> Iterator[list[str]]:
        """The units of each sentence that has any."""
        for sentence in printed:
            text = self.normalise(sentence)
            if self.spoken:
                text = " ".join(self.spoken.get(word, word) for word in text.split())
            if units := self.cut(text):
                named = [self.names.get(unit) or self._name(unit) for unit in units]
                self.n += len(named)
                self.n_unknown += named.count(UNK)
                yield named

    def _name(self, unit: str) -> str:
        self.names[unit] = unit if self.letters.issuperset(unit) else UNK
        return self.names[unit]


@ctrl_c_ends("train_lm", "nothing is written; run it again to start over")
def main(words: Sequence[str] | None = None) -> None:
    """Read, estimate, write, tell. A person's mistake ends in one line and status 1."""
    logging.basicConfig(level=logging.INFO, format="train_lm: %(message)s")
    options = parse(words)
    try:
        train(options)
    except UserError as error:
        sys.exit(f"train_lm: {error}")


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.train_lm",
        description=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("text", type=Path, nargs="*", metavar="TEXT", help="files, one sentence a line")
    add("--books", type=Path, nargs="+", default=[], metavar="TEXT", help="files of running text")
    add("--drop-first-field", action="store_true", help="lines are ID TEXT; not those of books")
    add("--order", type=whole_number(1), default=4, help="words of the longest n-grams (default 4)")
    add("--unit", choices=("word", "character", "piece"), default="word", help="default: word")
    add("--bpe", metavar="MODEL", help="of scripts.train_bpe: what --unit piece cuts words with")
    add("--prune", type=whole_number(0), nargs="+", default=[0], metavar="N", help=PRUNE)
    add("--vocabulary-size", type=whole_number(1), metavar="N", help="keep the N commonest words")
    add("--heldout", type=Path, metavar="TEXT", help="tell the perplexity of this text's lines")
    add("--spoken", type=_pair, nargs="+", default=[], metavar="WORD=WORDS", help=SPOKEN)
    add("--digits", type=whole_number(2), default=EXACT, metavar="N", help=DIGITS)
    add("--out", type=Path, required=True, metavar="PATH", help=".arpa, .arpa.gz, or any other")
    options = parser.parse_args(words)
    if not options.text and not options.books:
        parser.error("name at least one TEXT, or --books")
    if options.digits != EXACT and not is_arpa(options.out):
        parser.error("--digits goes with an --out whose name ends in .arpa or .arpa.gz")
    if (options.unit == "piece") != (options.bpe is not None):
        parser.error("--unit piece and --bpe MODEL belong together")
    return options


def _pair(value: str) -> tuple[str, str]:
    """A word and what is said for it, both as normalised text has them."""
    word, _, said = value.partition("=")
    normalise = Characters().normalise
    word, said = normalise(word), normalise(said)
    if not said or len(word.split()) != 1:
        raise argparse.ArgumentTypeError(f"{value}: expected WORD=WORDS, such as mr=mister")
    return word, said


def train(options: argparse.Namespace) -> None:
    """Read the text, write the model, tell what it is like."""
    if options.out.is_dir():
        raise UserError(f"{options.out}: is a folder; name a file for the model.")
    started = time.monotonic()
    units = Units(options.unit, options.bpe, dict(options.spoken))
    grams = estimate(
        units(_printed(options)), options.order, options.prune, options.vocabulary_size
    )
    tell_text(units)
    print(table(sizes(grams), ("order", "n-grams")))
    _write(grams, options.out, options.digits)
    seconds = time.monotonic() - started
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # of KiB
    print(
        f"{options.out}: {options.out.stat().st_size / 1e6:,.1f} MB after {seconds:.1f} s, "
        f"with {peak_mib:,.0f} MiB of memory at most"
    )
    if options.heldout:
        tell_perplexity(NGram.build(grams), options)


def _printed(options: argparse.Namespace) -> Iterator[str]:
    """All sentences of the text, as printed."""
    yield from _listed(options.text, options)
    yield from sentences(lines(options.books))


def _listed(paths: Sequence[Path], options: argparse.Namespace) -> Iterator[str]:
    for line in lines(paths):
        # An utterance's name without a text is left out, as any empty sentence is.
        yield "".join(line.split(maxsplit=1)[1:]) if options.drop_first_field else line


def _write(grams: Grams, path: Path, digits: int) -> None:
    if is_arpa(path):
        write_arpa(grams, path, digits)
    else:
        NGram.build(grams).save(path)


def tell_text(units: Units) -> None:
    """What the text was."""
    share = percent(units.n_unknown / units.n)
    print(f"{units.n:,} {units.unit}s, {units.n_unknown:,} of them ({share}) unspellable: {UNK}")


def sizes(grams: Grams) -> list[tuple[str, str]]:
    """n-grams of each order."""
    return [(str(k), f"{len(ids):,}") for k, ids in enumerate(grams.ids, 1)]


def tell_perplexity(model: NGram, options: argparse.Namespace) -> None:
    """How well the model foresees the held-out text."""
    units = Units(options.unit, options.bpe, dict(options.spoken))
    found = perplexity(model, units(_listed([options.heldout], options)))
    if not units.n:
        raise UserError(f"{options.heldout}: has no words, so it has no perplexity.")
    share = percent(found.n_unknown / units.n)
    print(
        f"{options.heldout}: perplexity {found.known():.4g} of known {options.unit}s and {EOS}, "
        f"{found.whole():.4g} with {UNK}; {share} of {units.n:,} {options.unit}s are out of the "
        "vocabulary"
    )


if __name__ == "__main__":
    main()
