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
from hydra import compose, initialize_config_dir
from torch import Tensor, nn
from tqdm import tqdm

from scripts.learning.kept import NEXT_TIME, Kept, add_learning_arguments, check_precision
from scripts.learning.text import Units, add_text_arguments, check_text, printed, words_in
from src.build import build_inference, load_recognizer, plain
from src.build.inference import Inference
from src.cli import CONFIGS, explain, for_hydra
from src.language_models import lines
from src.models.parts.segments import segments
from src.models.spelled import Spelled
from src.models.speller import GROUPS, Speller
from src.spelling import Confusions, Learner, Recipe, Written
from src.text import BPE
from src.text.characters import BLANK
from src.text.words_within import BOUNDARIES
from src.trainer import find_checkpoint, save_checkpoint
from src.transforms import SpecAugment
from src.utils.arguments import number_above, share, whole_number
from src.utils.devices import autocast, pick_device, pick_precision
from src.utils.errors import UserError
from src.utils.interrupts import ctrl_c_ends
from src.utils.tables import percent

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
OUT.training, from where the same command goes on, once it has heard the speech again. Never learn
from the text that you test on."""
NOT_YET = "nothing new is learnt yet; run it again"
RECIPE = Recipe()
TOLD = 500  # steps from one line about the loss to the next
# What makes the speech harder, beside dropout: on its own training speech a model errs too rarely.
HEARINGS = (
    None,
    {"max_frequency_bins": 10, "max_time_frames": 10, "max_time_fraction": 0.1},
    {"max_frequency_bins": 27, "max_time_frames": 100, "max_time_fraction": 0.2},
)


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
    reader_text, recognizer, reader = load_recognizer(path)
    units = Units("piece", options.bpe, dict(options.spoken))
    text = read_text(options, units, reader_text)
    confusions = Confusions(hear(options, path, device))
    confusions.check(text.tokens(), reader_text.vocabulary.symbols)
    print(
        f"{confusions.n_tokens:,} tokens heard; for {percent(confusions.missed)} nothing, and "
        f"{percent(confusions.mistaken)} were misheard"
    )
    torch.manual_seed(options.seed)
    settings = {"width": options.width, "n_layers": options.n_layers, "dropout": options.dropout}
    n_heard, n_tokens = len(reader_text.vocabulary), len(units.vocabulary)
    speller = Speller(n_heard, n_tokens, **settings).to(device)
    recipe = Recipe(
        n_steps=options.n_steps,
        batch_words=options.batch_words,
        lr=options.lr,
        seed=options.seed,
    )
    learner = Learner(speller, text, confusions, recipe, precision)
    n_weights = sum(weights.numel() for weights in speller.parameters())
    print(f"{n_weights / 1e6:.1f} M weights, {recipe.n_steps:,} steps, {precision} on {device}")
    of = asdict(recipe) | settings | {"text": text.digest(), "precision": precision}
    of |= {"threshold": options.threshold, "rare": options.rare, "speech": confusions.digest()}
    kept = Kept(options.out, learner, of, options.save_every_minutes)
    kept.restore()
    with ctrl_c_ends("train_speller", NEXT_TIME):
        kept.save()  # which tells now, not after hours, if nothing can be written there
        learn(learner, kept)
        kept.save()  # whatever becomes of what follows
        settings |= {"threshold": options.threshold}
        n_features, pieces = recognizer.front_end.n_features, units.vocabulary.symbols[1:]
        save_checkpoint(options.out, joined(reader, n_features, learner, pieces, settings))
        kept.remove()
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
    print(
        f"{len(text):,} words; {text.n_left_out:,} sentences left out, with words that can't be "
        "said or written"
    )
    return text


def listed_words(lexicon: Path | None) -> Iterator[str]:
    """The words of a lexicon, which is to say the first field of its lines."""
    for line in lines([lexicon]) if lexicon else ():
        yield from line.split()[:1]


def hear(
    options: argparse.Namespace, path: Path, device: torch.device
) -> Iterator[tuple[Tensor, Sequence[int]]]:
    """The segments and tokens of every training utterance, as often as there are `HEARINGS`."""
    torch.manual_seed(options.seed)
    job = training_speech(options, path, device)
    recognizer = job.transcriber.recognizer
    recognizer.apply(lambda part: part.train() if isinstance(part, nn.Dropout) else None)
    for n, harder in enumerate(HEARINGS, 1):
        augment = None if harder is None else SpecAugment(**harder)
        batches = tqdm(job.loader, desc=f"hearing {n} of {len(HEARINGS)}", disable=None)
        for batch in batches:
            batch = batch.to(device)
            with torch.inference_mode(), autocast(device, job.transcriber.precision):
                x, lengths = recognizer.features(batch.waveforms, batch.waveform_lengths)
                x = x if augment is None else augment(x, lengths)
                heard = recognizer.model(x, lengths)
                found = segments(heard.log_probs, heard.lengths, options.threshold)
            for i, n_segments in enumerate(found.lengths.tolist()):
                tokens = batch.tokens[i, : batch.token_lengths[i]].tolist()
                yield found.posteriors[i, :n_segments].cpu(), tokens


def training_speech(options: argparse.Namespace, path: Path, device: torch.device) -> Inference:
    """The reader and the training part of what --speech names."""
    keys = [for_hydra("checkpoint", str(path)), "part=train", f"device={device}", "decoder=greedy"]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        keys = [*keys, f"precision={pick_precision(options.precision, device)}", *options.speech]
        resolved = plain(compose("inference", keys))
        corpus = compose("inference", keys, return_hydra_config=True).hydra.runtime.choices
    if resolved["part"] == "test":
        raise UserError(
            "--speech part=test: what is learnt from test speech flatters its error rate."
        )
    return build_inference(resolved, corpus["dataset"])


def learn(learner: Learner, kept: Kept) -> None:
    """Take all steps that are left, with a progress bar; tell the loss now and then."""
    losses: list[float] = []
    started = time.monotonic()
    total = learner.recipe.n_steps

    def after_step(loss: float) -> None:
        losses.append(loss)
        bar.update()
        bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
        kept.save_if_due()
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
            kept.save()
            raise


def joined(
    reader: dict[str, Any],
    n_features: int,
    learner: Learner,
    pieces: Sequence[str],
    settings: dict[str, Any],
) -> dict[str, Any]:
    """One checkpoint of the reader's weights and the mean of the speller's.

    Args:
        reader: its checkpoint. n_features: of its front end.
        pieces: to write, without the blank.
        settings: of `Spelled`, without those that follow from the rest.
    """
    config = reader["config"]
    n_heard = len(reader["symbols"])
    sizes = {"n_features": n_features, "n_tokens": n_heard}
    model = {"_target_": f"src.models.{Spelled.__name__}", **settings, "n_heard": n_heard}
    text = {"_target_": f"src.text.{BPE.__name__}", "model": None, "pieces": list(pieces)}
    of_reader = {
        name.replace("model.", "model.reader.", 1): tensor
        for name, tensor in reader["recognizer"].items()
    }
    of_speller = {f"model.speller.{name}": tensor.cpu() for name, tensor in learner.mean.items()}
    return {
        "config": config | {"text": text, "model": model | {"reader": config["model"] | sizes}},
        "symbols": [BLANK, *pieces],
        "name": f"{reader['name']}, spelled",
        "versions": {"torch": torch.__version__.split("+")[0]},
        "step": learner.step,
        "recognizer": of_reader | of_speller,
    }


if __name__ == "__main__":
    main()
