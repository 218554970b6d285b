"""The language model's weight and the bonus for each word that make the fewest errors."""

import argparse
import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from hydra import compose, initialize_config_dir
from tqdm import tqdm

from src.batch import Emissions
from src.build import build_inference, plain, save_tuned
from src.build.inference import Inference
from src.cli import CONFIGS, explain
from src.decoders import FusedBeam
from src.decoding import Heard, side_by_side
from src.logger import save_png
from src.logger.pictures import new_figure
from src.metrics import corpus_rate, phoneme_errors, word_errors
from src.utils.arguments import whole_number
from src.utils.errors import UserError
from src.utils.interrupts import ctrl_c_ends
from src.utils.tables import counted

HELP = """\
Reads a part of a corpus once, keeps what the model says of each frame, and decodes it again and
again with other weights: first on a coarse grid, then around the best. The best are stored beside
the checkpoint, where inference.py finds them whenever it reads with that language model. Without
decoder.language_model it is the one that came with the model.

  python -m scripts.tune_decoder checkpoint=saved/deepspeech2/RUN decoder.language_model=words.lm \\
      dataset.root=LibriSpeech
  python inference.py checkpoint=saved/deepspeech2/RUN decoder=beam_lm \\
      decoder.language_model=words.lm dataset.root=LibriSpeech

What counts is WER, or PER where a model writes phonemes; with decoder.lexicon the word error of
what it reads. Weights are tuned on part=validation; the test part is refused. Any key of
configs/inference.yaml may be given. A picture of the surface is drawn beside the stored weights."""
LM_WEIGHTS = (0.2, 0.6, 1.0, 1.5, 2.2)
BONUSES = (-1.0, 0.5, 2.0, 3.5)
FINE = (0.2, 0.75)  # half-widths of the second grid, of weight and bonus


class Point(NamedTuple):
    """One pair of weights and how it did."""

    lm_weight: float
    bonus: float
    rate: float  # of `tune`'s unit, over the whole part


@ctrl_c_ends("tune_decoder", "nothing is stored; run it again to start over")
def main(words: Sequence[str] | None = None) -> None:
    """Read, search, store. A person's mistake ends in one line and status 1."""
    options = parse(words)
    try:
        points, unit = tune(options)
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        sys.exit(f"tune_decoder: {message}")
    best = best_of(points)
    print(f"\n{unit} {100 * best.rate:.2f} % with decoder.lm_weight={best.lm_weight:g}", end=" ")
    print(f"decoder.bonus={best.bonus:g}, the best of {counted(len(points), 'pair')}")


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.tune_decoder",
        description=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("overrides", nargs="+", metavar="KEY=VALUE", help="as for inference.py")
    parser.add_argument(
        "--rounds", type=whole_number(0), default=2, help="of refinement (default %(default)s)"
    )
    return parser.parse_intermixed_args(words)


def tune(options: argparse.Namespace) -> tuple[list[Point], str]:
    """Every pair that was tried, and the name of the rate; stores the best and the picture.

    Raises:
        UserError: no checkpoint, no language model, the test part, or nothing to read.
    """
    resolved, job = held_out(["decoder=beam_lm", *options.overrides])
    decoder = job.transcriber.decoders.get("beam")
    if not isinstance(decoder, FusedBeam):
        raise UserError("decoder: only decoder=beam_lm has weights to tune.")
    heard, targets = hear(job, words=bool(decoder.words))
    phonemes = "word error" if decoder.words else "PER"
    unit = phonemes if job.transcriber.text.unit == "phoneme" else "WER"
    points = search(decoder, heard, targets, unit, options.rounds)
    best, model = best_of(points), job.decoder["language_model"]
    where = "part" if resolved["input"] is None else "input"  # which takes the place of the part
    found = {**best._asdict(), "metric": unit, where: str(resolved[where]), "n": len(targets)}
    path = save_tuned(job.checkpoint, model, found, job.decoder.get("rescorer"))
    save_png(surface(points, unit), path.with_suffix(".png"))
    print(f"stored in {path}, drawn in {path.with_suffix('.png')}")
    return points, unit


def held_out(overrides: Sequence[str]) -> tuple[dict[str, Any], Inference]:
    """The config of inference.py with these overrides, on held-out speech, and what it builds.

    Raises:
        UserError: the test part is asked for, or a part can't be built.
    """
    keys = ["part=validation", *overrides]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        resolved = plain(compose("inference", keys))
        choices = compose("inference", keys, return_hydra_config=True).hydra.runtime.choices
    if resolved["part"] == "test":
        raise UserError("part=test: weights tuned on test speech would flatter its error rate.")
    return resolved, build_inference(resolved, choices["dataset"])


def hear(job: Inference, words: bool) -> tuple[list[Emissions], list[str]]:
    """What the model says of every utterance, once, and what was really said.

    Args:
        words: what was said is wanted in words, as a lexicon reads them, not in the model's units.

    Raises:
        UserError: nobody knows what was said.
    """
    heard, targets = [], []
    for emissions, batch in side_by_side(_hear_each(job), job.decode_batch):
        heard.append(emissions)
        targets += (
            map(job.transcriber.text.normalise, batch.transcripts) if words else batch.targets
        )
    if not any(targets):
        raise UserError("Nobody knows what was said in these recordings: nothing can be tuned.")
    return heard, targets


def _hear_each(job: Inference) -> Iterator[Heard]:
    for batch in tqdm(job.loader, desc="hearing", unit="batch", disable=None):
        if batch.ids:
            log_probs, lengths = job.transcriber.emissions(batch)
            silent = replace(batch, waveforms=batch.waveforms[:, :0])
            yield Emissions(log_probs.float().cpu(), lengths.cpu()), silent


def search(
    decoder: FusedBeam, heard: list[Emissions], targets: list[str], unit: str, n_rounds: int
) -> list[Point]:
    """A coarse grid, then finer ones around the best so far."""
    points: dict[tuple[float, float], Point] = {}
    wanted = list(itertools.product(LM_WEIGHTS, BONUSES))
    for turn in range(n_rounds + 1):
        for pair in tqdm(wanted, desc=f"grid {turn + 1}", unit="pair", disable=None):
            if pair not in points:
                points[pair] = Point(*pair, rate(decoder, heard, targets, unit, *pair))
        best = best_of(points.values())
        print(
            f"grid {turn + 1}: {unit} {100 * best.rate:.2f} % at {best.lm_weight:g}, {best.bonus:g}"
        )
        steps = [step / 2**turn for step in FINE]
        wanted = [
            (round(max(0.0, best.lm_weight + i * steps[0]), 4), round(best.bonus + j * steps[1], 4))
            for i, j in itertools.product((-1, 0, 1), repeat=2)
        ]
    return list(points.values())


def rate(
    decoder: FusedBeam,
    heard: list[Emissions],
    targets: list[str],
    unit: str,
    lm_weight: float,
    bonus: float,
) -> float:
    """Errors of the whole part over its length, with these weights."""
    decoder.fusion.reweigh(lm_weight, bonus)
    best = (n_best[0] for emissions in heard for n_best in decoder(emissions))
    texts = [h.sentence for h in best]
    errors = phoneme_errors if unit == "PER" else word_errors
    pairs = zip(targets, texts, strict=True)
    return corpus_rate(errors(target, text) for target, text in pairs if target)


def best_of(points: Sequence[Point]) -> Point:
    """The fewest errors; of equals the one nearest to no weight at all."""
    return min(points, key=lambda point: (point.rate, point.lm_weight, abs(point.bonus)))


def surface(points: list[Point], unit: str):
    """A figure of every pair that was tried, coloured by its rate, the best one circled."""
    figure = new_figure(6, 4)
    axes = figure.add_subplot()
    weights, bonuses, rates = map(np.array, zip(*points, strict=True))
    shown = axes.scatter(weights, bonuses, c=100 * rates, s=80, cmap="viridis_r")
    best = best_of(points)
    axes.scatter([best.lm_weight], [best.bonus], s=220, facecolors="none", edgecolors="red")
    axes.set(xlabel="decoder.lm_weight", ylabel="decoder.bonus")
    figure.colorbar(shown, label=f"{unit}, %")
    return figure


if __name__ == "__main__":
    main()
