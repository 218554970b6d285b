"""A lexicon for decoder=beam_lm: how phonemes spell the words of a language model."""

import argparse
import gzip
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from src.language_models import BOS, EOS, UNK, NGram
from src.text import Phonemes
from src.text.dictionaries import CSR_PRONUNCIATIONS, cmu_pronunciations, cmu_words
from src.utils.errors import UserError
from src.utils.files import atomic_write
from src.utils.interrupts import ctrl_c_ends
from src.utils.tables import counted

HELP = """\
Lets a model that writes phonemes write words. Each word of a language model is looked up in the CMU
pronouncing dictionary (or csr-pytorch's table); all its pronunciations are listed:

  python -m scripts.train_lm transcripts.txt --order 3 --out words.lm
  python -m scripts.write_lexicon words.lm --out words.lexicon
  python inference.py checkpoint=saved/RUN decoder=beam_lm decoder.language_model=words.lm \\
      decoder.lexicon=words.lexicon

A line is a word and its phonemes ("down D AW N"), so words can be added by hand. Words that the CMU
dictionary lacks are counted and said as eSpeak NG would. Those that nobody knows, and with
--dictionary csr all but its 35, are named and left out: they can't be read.

With --all-words the dictionary's other words can be read too, names above all. The language model
takes each for <unk>, whose probability they share:
  python -m scripts.write_lexicon words.lm --all-words --out words.lexicon"""


@ctrl_c_ends("write_lexicon", "nothing is written; run it again to start over")
def main(words: Sequence[str] | None = None) -> None:
    """Look up, write, tell what is missing. A person's mistake ends in one line and status 1."""
    options = parse(words)
    try:
        known = set(NGram.load(options.language_model).words) - {BOS, EOS, UNK}
        wanted = known | dictionary_words(options.dictionary) if options.all_words else known
        lines, guessed, missing = spell(sorted(wanted), options.dictionary)
        if known <= set(missing):
            raise UserError(
                f"{options.language_model}: none of its {counted(len(known), 'word')} is in the "
                f"{options.dictionary} dictionary; is it a model of words, in lower case?"
            )
        content = "".join(f"{line}\n" for line in lines).encode()
        packed = options.out.suffix == ".gz"
        with atomic_write(options.out) as file:
            file.write(gzip.compress(content, mtime=0) if packed else content)
    except UserError as error:
        sys.exit(f"write_lexicon: {error}")
    n_words = len(wanted) - len(missing)
    print(f"{counted(len(lines), 'spelling')} of {counted(n_words, 'word')} in {options.out}")
    if others := len(wanted) - len(known):
        print(f"{others:,} of them are the dictionary's, not the language model's")
    if guessed:
        print(f"{len(guessed):,} of them are guesses, such as {some(guessed)}")
    if missing:
        print(
            f"{'1 word is' if len(missing) == 1 else f'{len(missing):,} words are'} not in the "
            f"{options.dictionary} dictionary: {some(missing)}"
        )


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.write_lexicon",
        description=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("language_model", type=Path, help="of scripts.train_lm, or an ARPA file")
    parser.add_argument(
        "--dictionary",
        choices=("cmu", "csr"),
        default="cmu",
        help="the text.dictionary of the model that writes the phonemes (default %(default)s)",
    )
    parser.add_argument(
        "--all-words", action="store_true", help="the dictionary's words as well as the model's"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="the lexicon, a text file; packed where the name ends in .gz",
    )
    return parser.parse_args(words)


def spell(words: Iterable[str], dictionary: str) -> tuple[list[str], list[str], list[str]]:
    """Lines of a lexicon, words whose spelling is a guess, and words that have none."""
    cmu = dictionary == "cmu"
    text = Phonemes(dictionary, words=None if cmu else "speech_commands", guess=cmu)
    lines, guessed, missing = [], [], []
    for word in words:
        spellings = text.pronunciations(word)
        lines += [f"{word} {phonemes}" for phonemes in spellings]
        if not spellings:
            missing.append(word)
        elif cmu and not cmu_pronunciations(word):
            guessed.append(word)
    return lines, guessed, missing


def dictionary_words(dictionary: str) -> set[str]:
    """All words that the dictionary says and that are made of letters and apostrophes."""
    words = cmu_words() if dictionary == "cmu" else CSR_PRONUNCIATIONS
    return {word for word in words if word.replace("'", "").isalpha()}


def some(words: Sequence[str]) -> str:
    """The first ten."""
    return ", ".join(words[:10]) + (" …" if len(words) > 10 else "")


if __name__ == "__main__":
    main()
