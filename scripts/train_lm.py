"""An n-gram language model from text, for decoder=beam_lm."""

import argparse
import logging
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from scripts.learning.text import Units, add_text_arguments, check_text, listed, printed
from src.language_models import (
    EOS,
    EXACT,
    HIGHEST_ORDER,
    UNK,
    Grams,
    NGram,
    estimate,
    is_arpa,
    perplexity,
    write_arpa,
)
from src.utils.arguments import whole_number
from src.utils.errors import UserError
from src.utils.interrupts import ctrl_c_ends
from src.utils.tables import percent, rounded, table

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
PRUNE = "leave out n-grams of order 1, 2, … seen at most N times; the last N for all longer ones"


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
    add_text_arguments(parser)
    order = whole_number(1, HIGHEST_ORDER)
    add("--order", type=order, default=4, help="words of the longest n-grams (default 4)")
    add("--unit", choices=("word", "character", "piece"), default="word", help="default: word")
    add("--bpe", metavar="MODEL", help="of scripts.train_bpe: what --unit piece cuts words with")
    add("--prune", type=whole_number(0), nargs="+", default=[0], metavar="N", help=PRUNE)
    add("--vocabulary-size", type=whole_number(1), metavar="N", help="keep the N commonest words")
    add("--digits", type=whole_number(2), default=EXACT, metavar="N", help=DIGITS)
    add("--out", type=Path, required=True, metavar="PATH", help=".arpa, .arpa.gz, or any other")
    options = parser.parse_args(words)
    check_text(parser, options)
    if options.digits != EXACT and not is_arpa(options.out):
        parser.error("--digits goes with an --out whose name ends in .arpa or .arpa.gz")
    if (options.unit == "piece") != (options.bpe is not None):
        parser.error("--unit piece and --bpe MODEL belong together")
    return options


def train(options: argparse.Namespace) -> None:
    """Read the text, write the model, tell what it is like."""
    if options.out.is_dir():
        raise UserError(f"{options.out}: is a folder; name a file for the model.")
    started = time.monotonic()
    units = Units(options.unit, options.bpe, dict(options.spoken))
    grams = estimate(units(printed(options)), options.order, options.prune, options.vocabulary_size)
    units.tell()
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


def _write(grams: Grams, path: Path, digits: int) -> None:
    if is_arpa(path):
        write_arpa(grams, path, digits)
    else:
        NGram.build(grams).save(path)


def sizes(grams: Grams) -> list[tuple[str, str]]:
    """n-grams of each order."""
    return [(str(k), f"{len(ids):,}") for k, ids in enumerate(grams.ids, 1)]


def tell_perplexity(model: NGram, options: argparse.Namespace) -> None:
    """How well the model foresees the held-out text."""
    units = Units(options.unit, options.bpe, dict(options.spoken))
    found = perplexity(model, units(listed([options.heldout], options)))
    if not units.n:
        raise UserError(f"{options.heldout}: has no words, so it has no perplexity.")
    share = percent(found.n_unknown / units.n)
    print(
        f"{options.heldout}: perplexity {rounded(found.known())} of known {options.unit}s and "
        f"{EOS}, {rounded(found.whole())} with {UNK}; {share} of {units.n:,} {options.unit}s are "
        "out of the vocabulary"
    )


if __name__ == "__main__":
    main()
