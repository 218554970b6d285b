"""A vocabulary of pieces of words from text, for text=bpe."""

import argparse
import io
import logging
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from src.language_models import lines
from src.text import BPE, Normaliser
from src.utils.arguments import whole_number
from src.utils.errors import UserError
from src.utils.files import atomic_write
from src.utils.interrupts import ctrl_c_ends
from src.utils.tables import table

HELP = """\
Byte-pair encoding (SentencePiece): starting from letters, the commonest neighbours are joined until
there are as many pieces as asked for. The text is cleaned as transcripts are for training.

One sentence a line, plain, .gz or .xz; or lines "ID TEXT", as LibriSpeech's transcripts are:
  python -m scripts.train_bpe transcripts.txt --size 500 --out data/bpe500.model
  python -m scripts.train_bpe data/LibriSpeech/train-clean-100/*/*/*.trans.txt --drop-first-field \\
      --size 500 --out data/bpe500.model
  python train.py -cn=deepspeech2 text=bpe text.model=data/bpe500.model

Learn from the transcripts that you train on, never from those that you test on. Few pieces (100 to
300) for a few hours of speech, 500 to 1,000 for hundreds."""
ALPHABET = "abcdefghijklmnopqrstuvwxyz'"  # always among the pieces, so that any word can be spelt


@ctrl_c_ends("train_bpe", "nothing is written; run it again to start over")
def main(words: Sequence[str] | None = None) -> None:
    """Read, learn, write, tell. A person's mistake ends in one line and status 1."""
    logging.basicConfig(level=logging.INFO, format="train_bpe: %(message)s")
    options = parse(words)
    try:
        train(options)
    except UserError as error:
        sys.exit(f"train_bpe: {error}")


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.train_bpe",
        description=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("text", type=Path, nargs="+", metavar="TEXT", help="files, one sentence a line")
    add("--drop-first-field", action="store_true", help="lines are ID TEXT")
    add("--size", type=whole_number(30), default=500, help="pieces to learn (default 500)")
    add("--out", type=Path, required=True, metavar="PATH", help="such as data/bpe500.model")
    return parser.parse_args(words)


def train(options: argparse.Namespace) -> None:
    """Learn the pieces, write the model, tell what it makes of the text."""
    if options.out.is_dir():
        raise UserError(f"{options.out}: is a folder; name a file for the model.")
    counts = Counter(sentences(options))
    if not counts:
        raise UserError(f"{', '.join(map(str, options.text))}: no sentence in there.")
    model = learn(list(counts.elements()), options.size)
    with atomic_write(options.out) as file:
        file.write(model)
    tell(counts, options.out)


def sentences(options: argparse.Namespace) -> Iterator[str]:
    """Each sentence as transcripts are cleaned, without those that are empty."""
    normalise = Normaliser()
    for line in lines(options.text):
        text = normalise("".join(line.split(maxsplit=1)[1:]) if options.drop_first_field else line)
        if text:
            yield text


def learn(text: Sequence[str], size: int) -> bytes:
    """A SentencePiece model of `size` pieces, and one for what is unknown.

    Raises:
        UserError: so many pieces can't be made of the text, or so few don't hold its letters.
    """
    from sentencepiece import SentencePieceTrainer

    model = io.BytesIO()
    try:
        SentencePieceTrainer.train(
            sentence_iterator=iter(text),
            model_writer=model,
            model_type="bpe",
            vocab_size=size + 1,
            character_coverage=1.0,
            required_chars=ALPHABET,
            normalization_rule_name="identity",  # the text is clean, and we cut it ourselves
            bos_id=-1,
            eos_id=-1,
            pad_id=-1,
            max_sentence_length=1_000_000,  # bytes; longer ones would be left out
            num_threads=1,  # the same pieces every time
            minloglevel=2,
        )
    except RuntimeError as error:
        reason = str(error).rsplit("] ", 1)[-1].strip()
        raise UserError(f"--size {size}: does not suit this text. {reason}") from error
    return model.getvalue()


def tell(counts: Counter[str], path: Path) -> None:
    """How the text is cut, and what strange letters are among the pieces."""
    text = BPE(str(path))
    n_sentences, n_words, n_letters, n_pieces = 0, 0, 0, 0
    for sentence, n in counts.items():
        n_sentences += n
        n_words += n * len(sentence.split())
        n_letters += n * len(sentence)
        n_pieces += n * len(text.encode(sentence))
    rows = [
        ("sentences", f"{n_sentences:,}"),
        ("words", f"{n_words:,}"),
        ("letters and spaces", f"{n_letters:,}"),
        ("pieces", f"{n_pieces:,}"),
        ("pieces a word", f"{n_pieces / n_words:.2f}"),
    ]
    print(table(rows, ("in the text", "")))
    letters = {piece for piece in text.vocabulary.symbols[1:] if len(piece) == 1}
    if strange := sorted(letters - set(ALPHABET) - {"▁"}):
        print(f"Beside a–z and ' the pieces hold {' '.join(strange)}")
    print(f"{path}: {text.vocabulary.describe()}\ntrain with text=bpe text.model={path}")


if __name__ == "__main__":
    main()
