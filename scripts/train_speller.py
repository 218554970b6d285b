"""A speller from text: it makes a model of phonemes, learnt from few hours, write words."""

import argparse
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from scripts.learning.hearing import hear_once, training_speech, what_is_heard
from scripts.learning.kept import NEXT_TIME, Kept, add_learning_arguments, beside, check_precision
from scripts.learning.spelled import joined
from scripts.learning.text import Units, add_text_arguments, check_text, printed, words_in
from src.cli import explain
from src.language_models import lines
from src.models.speller import GROUPS, Speller
from src.spelling import Learner, Recipe, Written
from src.text.words_within import BOUNDARIES
from src.trainer import find_checkpoint, load_checkpoint, save_checkpoint
from src.utils.arguments import number_above, share, whole_number
from src.utils.devices import pick_device, pick_precision
from src.utils.errors import UserError
from src.utils.interrupts import ctrl_c_ends
from src.utils.tables import counted, percent

HELP = """\
A few hours of speech teach what is said, but not how it is spelt: a model of phonemes hears better
than one of letters, yet writes no words. Text teaches spelling. A checkpoint of phonemes hears its
training speech three times, made harder, and what it hears for each phoneme, errors included, is
put together for any text; from that a small Transformer learns to write the text in pieces of
words:

  python -m scripts.train_bpe train-clean-100.text.xz --drop-first-field --size 2000 --out bpe.model
  python -m scripts.train_speller train-clean-100.text.xz --drop-first-field --bpe bpe.model \\
      --books books/*.txt.xz --spoken mr=mister mrs=missus dr=doctor \\
      --checkpoint saved/phonemes/RUN --out saved/spelled.pt \\
      --speech dataset.root=LibriSpeech dataset.validation_share=0.2
  python inference.py checkpoint=saved/spelled.pt dataset.root=LibriSpeech

--speech takes the dataset keys of the checkpoint's own training, dataset.validation_share above
all, so that nobody held out is heard.

The result is one checkpoint that hears and spells; greedily decoded it writes words, and
decoder=beam_lm reads it with a language model of words too. Sentences with words that can't be said
or written, such as digits, are left out. Every few minutes, and at Ctrl-C, the training is kept in
OUT.training, and what was heard in OUT.heard; the same command goes on from there. Never learn from
the text that you test on."""
NOT_YET = "nothing new is learnt yet; run it again"
RECIPE = Recipe()
TOLD = 500  # steps from one line about the loss to the next


@ctrl_c_ends("train_speller", NOT_YET)
def main(words: Sequence[str] | None = None) -> None:
    """Read, hear, learn, write, tell. A person's mistake ends in one line and status 1."""
    logging.basicConfig(level=logging.INFO, format="train_speller: %(message)s")
    options = parse(words)
    try:
        train(options)
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        sys.exit(f"train_speller: {message}")


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.train_speller",
        description=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_text_arguments(parser, heldout=False)
    add = parser.add_argument
    add("--bpe", metavar="MODEL", required=True, help="of scripts.train_bpe: the pieces to write")
    add("--checkpoint", required=True, metavar="RUN", help="run folder or file: what hears")
    add(
        "--speech",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="what inference.py would read: dataset.root=LibriSpeech; its part=train is heard",
    )
    add(
        "--lexicon", type=Path, metavar="PATH", help="further words, as scripts.write_lexicon lists"
    )
    add("--rare", type=share, default=0.35, help="share of texts of rare words (default 0.35)")
    add(
        "--threshold",
        type=number_above(0, 1),
        default=0.1,
        help="posterior that counts as heard (default 0.1)",
    )
    add("--width", type=whole_number(16, 8192), default=256, help="of its layers (default 256)")
    add("--n_layers", type=whole_number(1, 32), default=4, help="blocks (default 4)")
    add("--dropout", type=share, default=0.0, help="default 0: the text is never heard twice alike")
    add("--n_steps", type=whole_number(1), default=RECIPE.n_steps, help="default 8000")
    add("--batch_words", type=whole_number(1), default=RECIPE.batch_words, help="default 750")
    add_learning_arguments(parser, RECIPE.lr, RECIPE.seed)
    add("--out", type=Path, required=True, metavar="FILE.pt", help="the checkpoint")
    options = parser.parse_args(words)
    check_text(parser, options)
    check_precision(parser, options)
    if options.width % GROUPS:
        parser.error(f"--width {options.width}: expected a multiple of {GROUPS}, such as 256")
    return options


def train(options: argparse.Namespace) -> None:
    """Read the text, hear the speech, learn, write the checkpoint."""
    if options.out.is_dir():
        raise UserError(f"{options.out}: is a folder; name a file for the checkpoint.")
    device = pick_device(options.device)
    precision = pick_precision(options.precision, device)
    path = find_checkpoint(options.checkpoint)
    reader = load_checkpoint(path)
    job = training_speech(path, options.speech, device, precision)
    units = Units("piece", options.bpe, dict(options.spoken))
    text = read_text(options, units, job.transcriber.text)
    settings = {"width": options.width, "n_layers": options.n_layers, "dropout": options.dropout}
    recipe = Recipe(
        n_steps=options.n_steps,
        batch_words=options.batch_words,
        lr=options.lr,
        seed=options.seed,
    )
    hearing = what_is_heard(job, path, options.seed, options.threshold)
    of = {"text": text.digest(), "rare": options.rare, "hearing": hearing, "precision": precision}
    kept = Kept(options.out, asdict(recipe) | settings | of, options.save_every_minutes)
    heard = beside(options.out, "heard")
    confusions = hear_once(job, hearing, heard)
    confusions.check(text.tokens(), job.transcriber.text.vocabulary.symbols)
    print(
        f"{confusions.n_tokens:,} tokens heard; for {percent(confusions.missed)} nothing, and "
        f"{percent(confusions.mistaken)} were misheard"
    )
    torch.manual_seed(options.seed)
    speller = Speller(len(reader["symbols"]), len(units.vocabulary), **settings).to(device)
    learner = Learner(speller, text, confusions, recipe, precision)
    n_weights = sum(weights.numel() for weights in speller.parameters())
    print(f"{n_weights / 1e6:.1f} M weights, {recipe.n_steps:,} steps, {precision} on {device}")
    kept.restore(learner)
    with ctrl_c_ends("train_speller", NEXT_TIME):
        kept.save(learner)  # from here on "the same command goes on" is true
        learn(learner, kept)
        kept.save(learner)  # whatever becomes of what follows
        settings |= {"threshold": options.threshold}
        n_features = job.transcriber.recognizer.front_end.n_features
        pieces = units.vocabulary.symbols[1:]
        save_checkpoint(options.out, joined(reader, n_features, learner, pieces, settings))
        kept.remove()
        heard.unlink()
    print(f"{options.out}: {options.out.stat().st_size / 1e6:,.1f} MB")


def read_text(options: argparse.Namespace, units: Units, reader_text: Any) -> Written:
    """The text, as the reader's tokens and as pieces."""
    symbols = reader_text.vocabulary.symbols
    between = next((i for i, symbol in enumerate(symbols) if symbol in BOUNDARIES), None)
    index = {piece: i for i, piece in enumerate(units.vocabulary.symbols) if i}

    def spell(word: str) -> tuple[Sequence[int], Sequence[int]] | None:
        pieces = [index.get(piece) for piece in units.vocabulary.split(word)]
        if None in pieces:
            return None
        try:
            return reader_text.encode(word), pieces
        except UserError:  # nobody knows how it is said
            return None

    sentences = tqdm(printed(options), desc="text", unit=" sentences", disable=None)
    words = (words_in(units.said(sentence)) for sentence in sentences)
    listed = map(units.normalise, listed_words(options.lexicon))  # which may be in upper case
    text = Written(words, spell, between, listed, options.rare)
    besides = f", {counted(text.n_more, 'more word')} of the lexicon" if options.lexicon else ""
    print(
        f"{len(text):,} words{besides}; {text.n_left_out:,} sentences left out, with words that "
        "can't be said or written"
    )
    return text


def listed_words(lexicon: Path | None) -> Iterator[str]:
    """The words of a lexicon, which is to say the first field of its lines."""
    for line in lines([lexicon]) if lexicon else ():
        yield from line.split()[:1]


def learn(learner: Learner, kept: Kept) -> None:
    """Take all steps that are left, with a progress bar; tell the loss now and then."""
    losses: list[float] = []
    started = time.monotonic()
    total = learner.recipe.n_steps

    def after_step(loss: float) -> None:
        losses.append(loss)
        bar.update()
        bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
        kept.save_if_due(learner)
        if learner.step % TOLD == 0 or learner.step == total:
            speed = len(losses) * learner.recipe.batch_words / (time.monotonic() - started)
            recent = losses[-TOLD:]
            mean = sum(recent) / len(recent)
            bar.write(
                f"step {learner.step:,}: loss {mean:.3f} a segment, {speed:,.0f} words a second"
            )

    with tqdm(total=total, initial=learner.step, unit="step", disable=None) as bar:
        try:
            learner.run(after_step)
        except KeyboardInterrupt:
            kept.save(learner)
            raise


if __name__ == "__main__":
    main()
