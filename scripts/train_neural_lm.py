"""A neural language model from text, which decoder=beam_lm lets judge its best readings."""

import argparse
import logging
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from tqdm import tqdm

from scripts.learning.kept import NEXT_TIME, Kept, add_learning_arguments, check_precision
from scripts.learning.text import Units, add_text_arguments, check_text, listed, printed
from src.language_models import UNK, NeuralLM
from src.language_models.neural import LARGEST
from src.language_models.neural_training import Learner, Recipe, Text
from src.utils.arguments import share, whole_number
from src.utils.devices import pick_device, pick_precision
from src.utils.errors import UserError
from src.utils.interrupts import ctrl_c_ends
from src.utils.tables import counted, rounded

HELP = """\
Where an n-gram model sees the three words before, a recurrent one (LSTM) has read the whole
sentence. It is too slow to be asked of every prefix, so it judges the best readings of a beam
that an n-gram model guided:

  python -m scripts.train_bpe train-clean-100.text.xz --drop-first-field --size 2000 --out bpe.model
  python -m scripts.train_neural_lm train-clean-100.text.xz --drop-first-field --bpe bpe.model \\
      --books books/*.txt.xz --spoken mr=mister mrs=missus dr=doctor --out saved/neural.safetensors
  python inference.py checkpoint=saved/RUN decoder=beam_lm decoder.language_model=words.lm \\
      decoder.rescorer=saved/neural.safetensors decoder.beam_width=64

The text is cleaned as for scripts.train_lm and cut into the pieces of --bpe, so that any word can
be judged; the file holds the pieces too. Sentences with other signs, such as digits, are left out.
Every few minutes, and at Ctrl-C, the training is kept in OUT.training, from where the same command
goes on. Never learn from the text that you test on."""
NOT_YET = "nothing is learnt yet; run it again to start over"
RECIPE = Recipe()


@ctrl_c_ends("train_neural_lm", NOT_YET)
def main(words: Sequence[str] | None = None) -> None:
    """Read, learn, write, tell. A person's mistake ends in one line and status 1."""
    logging.basicConfig(level=logging.INFO, format="train_neural_lm: %(message)s")
    options = parse(words)
    try:
        train(options)
    except UserError as error:
        sys.exit(f"train_neural_lm: {error}")


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.train_neural_lm",
        description=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_text_arguments(parser)
    add = parser.add_argument
    add("--bpe", metavar="MODEL", required=True, help="of scripts.train_bpe: the pieces of words")
    add(
        "--width",
        type=whole_number(8, LARGEST["width"]),
        default=512,
        help="of its layers (default 512)",
    )
    add(
        "--n_layers",
        type=whole_number(1, LARGEST["n_layers"]),
        default=2,
        help="LSTM layers (default 2)",
    )
    add("--dropout", type=share, default=0.1, help="default 0.1")
    add("--n_epochs", type=whole_number(1), default=RECIPE.n_epochs, help="passes (default 6)")
    add("--batch_tokens", type=whole_number(1), default=RECIPE.batch_tokens, help="default 2048")
    add_learning_arguments(parser, RECIPE.lr, RECIPE.seed)
    add("--out", type=Path, required=True, metavar="PATH", help="such as saved/neural.safetensors")
    options = parser.parse_args(words)
    check_text(parser, options)
    check_precision(parser, options)
    return options


def train(options: argparse.Namespace) -> None:
    """Read the text, learn, write the model, tell what it is like."""
    if options.out.is_dir():
        raise UserError(f"{options.out}: is a folder; name a file for the model.")
    device = pick_device(options.device)
    precision = pick_precision(options.precision, device)
    units = Units("piece", options.bpe, dict(options.spoken))
    sentences = Sentences(units, printed(options))
    text = Text(sentences)
    if not len(text):
        raise UserError("No sentence in that text can be written in the pieces of --bpe.")
    sentences.tell("the text")
    heldout = read_heldout(options)
    torch.manual_seed(options.seed)
    pieces = units.vocabulary.symbols[1:]
    model = NeuralLM(pieces, options.width, options.n_layers, options.dropout).to(device)
    recipe = Recipe(
        n_epochs=options.n_epochs,
        batch_tokens=options.batch_tokens,
        lr=options.lr,
        seed=options.seed,
    )
    learner = Learner(model, text, recipe, precision)
    n_weights = sum(weights.numel() for weights in model.parameters())
    print(
        f"{n_weights / 1e6:.1f} M weights, {learner.total_steps:,} steps, {precision} on {device}"
    )
    of = asdict(recipe) | model.settings | {"text": text.digest(), "precision": precision}
    kept = Kept(options.out, of, options.save_every_minutes)
    kept.restore(learner)
    with ctrl_c_ends("train_neural_lm", NEXT_TIME):
        kept.save(learner)  # from here on "the same command goes on" is true
        learn(learner, kept, heldout)
        kept.save(learner)  # whatever becomes of what follows
        model.save(options.out)
        kept.remove()
    print(f"{options.out}: {options.out.stat().st_size / 1e6:,.1f} MB")


class Sentences:
    """Tokens of each sentence that the pieces can write; the others are counted."""

    def __init__(self, units: Units, printed: Iterator[str]) -> None:
        self.units, self.printed = units, printed
        self.n_left_out = 0

    def __iter__(self) -> Iterator[list[int]]:
        index = {piece: i for i, piece in enumerate(self.units.vocabulary.symbols) if i}
        for pieces in self.units(self.printed):
            if UNK in pieces:
                self.n_left_out += 1
            else:
                yield [index[piece] for piece in pieces]

    def tell(self, what: str) -> None:
        """How much of it there was."""
        print(
            f"{what}: {counted(self.units.n, 'piece')}; left out: "
            f"{counted(self.n_left_out, 'sentence')} with signs that the pieces can't write"
        )


def read_heldout(options: argparse.Namespace) -> tuple[list[list[int]], int] | None:
    """Sentences as tokens, and the number of their words and ends; None where none is named."""
    if options.heldout is None:
        return None
    units = Units("piece", options.bpe, dict(options.spoken))
    told = Sentences(units, listed([options.heldout], options))
    sentences = list(told)
    if not sentences:
        raise UserError(f"{options.heldout}: has no words, so it has no perplexity.")
    told.tell(str(options.heldout))
    starts = {i for i, piece in enumerate(units.vocabulary.symbols) if piece.startswith("▁")}
    n_words = sum(token in starts for sentence in sentences for token in sentence)
    return sentences, n_words + len(sentences)


def learn(learner: Learner, kept: Kept, heldout: tuple[list[list[int]], int] | None) -> None:
    """Take all steps that are left, with a progress bar; tell the perplexity after each pass."""
    with tqdm(total=learner.total_steps, initial=learner.step, unit="step", disable=None) as bar:
        try:
            learner.run(_Watch(learner, kept, heldout, bar))
        except KeyboardInterrupt:
            kept.save(learner)
            raise


class _Watch:
    """What happens after each step."""

    def __init__(self, learner: Learner, kept: Kept, heldout, bar: tqdm) -> None:
        self.learner, self.kept, self.heldout, self.bar = learner, kept, heldout, bar
        self.loss = self.n = 0
        self.started = time.monotonic()

    def __call__(self, loss: float, n: int) -> None:
        self.loss, self.n = self.loss + loss * n, self.n + n
        self.bar.update()
        self.bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
        self.kept.save_if_due(self.learner)
        if (epoch := self.learner.epoch()).is_integer():
            self._tell(int(epoch))

    def _tell(self, epoch: int) -> None:
        speed = self.n / (time.monotonic() - self.started)
        told = f"pass {epoch}: loss {self.loss / self.n:.3f} a piece, {speed:,.0f} pieces a second"
        if self.heldout:
            found = perplexity(self.learner.model, *self.heldout)
            told += f"; perplexity of held-out words and ends {rounded(found)}"
        self.bar.write(told)
        self.loss = self.n = 0
        self.started = time.monotonic()


def perplexity(model: NeuralLM, sentences: list[list[int]], n_words: int) -> float:
    """Of a word or end, whatever pieces it has: comparable with that of an n-gram model, where both
    know all words."""
    logs = -float(model.score(sentences).sum()) / n_words
    return math.exp(logs) if logs < 700 else math.inf


if __name__ == "__main__":
    main()
