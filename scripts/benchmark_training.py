"""Audio seconds learnt per second: our trainer beside its limit, a plain loop and SpeechBrain."""

import argparse
import importlib.util
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from scripts.benchmarks import report
from scripts.benchmarks.corpus import PART, librispeech_durations, write_tones
from scripts.benchmarks.race import Entry, race
from scripts.benchmarks.recipe import WIDTH_KEYS, Recipe
from src.utils.arguments import whole_number
from src.utils.errors import UserError
from src.utils.interrupts import ctrl_c_ends

CONTESTANTS = ("ours", "limit", "one-batch", "plain", "speechbrain")
N_UTTERANCES = {"cpu": 64, "cuda": 2000}
GROWTH = {"batch": (0.5, 1, 2, 4), "duration": (2, 5, 10, 20, 35), "size": (0.5, 1, 2)}
HELP = """\
who takes turns, each in a process of its own, on the same recordings, model class, seconds of
audio a batch, precision, threads and number of workers:
  ours         train.py's trainer and loader
  limit        a bare step on our batches, held on the device: nothing to read, check or log
  one-batch    the same with the batch of median length again and again
  plain        the older systems' loop: shuffled batches of fixed size, features in the workers,
               recurrent layers over the padding too, unfused Adam, loss.item() after each step
  speechbrain  SpeechBrain's dynamic batches, pipeline and Brain around our model, its recurrent
               layers over packed utterances as in nnet.RNN; where it is installed, or by
               --speechbrain-python (pip install -r requirements-bench.txt)

--against KEY=VALUE enters ours again with one key of train.py changed.

A round is one pass over all recordings by each; speeds are medians over the rounds with their
range, and so are the ratios, taken round by round. Without --root, tones of LibriSpeech's lengths
are written into a temporary folder.

examples:
  python -m scripts.benchmark_training --models deepspeech2 --json speed.json
  python -m scripts.benchmark_training --device cuda --precision bf16 --max_batch_s 1000
  python -m scripts.benchmark_training --root data/LibriSpeech --part train-clean-100
  python -m scripts.benchmark_training --models deepspeech2 --grow duration
  python -m scripts.benchmark_training --models convnet --contestants limit \\
      --against trainer.precision=bf16 optimizer.fused=false loader.n_workers=1
  python -m scripts.benchmark_training trainer.precision=bf16    any key of train.py, for all"""


@ctrl_c_ends("benchmark_training", "nothing is written; run it again to start over")
def main(arguments: list[str] | None = None) -> None:
    """Read the command line, measure, print. A person's mistake ends in one line and status 1."""
    options = parse(arguments)
    try:
        with tempfile.TemporaryDirectory() as folder:
            measured = run(options, Path(folder))
        if options.json:
            report.save(options.json, measured)
    except UserError as error:
        sys.exit(f"benchmark_training: {error}")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options, with a --help that teaches."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.benchmark_training",
        description=__doc__,
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    default = "(default %(default)s)"
    models = ["deepspeech2", "convnet", "lstm"]
    add("--models", nargs="+", default=models, choices=sorted(WIDTH_KEYS), metavar="MODEL")
    add("--contestants", nargs="+", choices=CONTESTANTS, help="default: all that can be run")
    add("--device", default="cpu", help=f"cpu or cuda {default}")
    add("--precision", default="float32", help=f"float32, bf16 or fp16, for all {default}")
    add("--root", type=Path, help="a folder with parts in LibriSpeech's layout")
    add("--part", default=PART, help="the part to read; with --root")
    add("--n_utterances", type=whole_number(1), help="of the part; default 64, on cuda 2000")
    add("--max_batch_s", type=float, default=100.0, help=f"padded seconds a batch {default}")
    add("--n_workers", type=whole_number(0), default=2, help=f"reading processes {default}")
    threads = max(1, len(os.sched_getaffinity(0)))
    add("--n_threads", type=whole_number(1), default=threads, help=f"of the trainer {default}")
    add("--repeats", type=whole_number(1), default=5, help=f"rounds {default}")
    add("--grow", choices=sorted(GROWTH), help="ours and limit only, over this")
    add("--against", nargs="+", default=[], metavar="KEY=VALUE", help="ours with a key changed")
    add("--speechbrain-python", help="a Python that has SpeechBrain and our requirements")
    add("--json", type=Path, help="write everything measured here")
    add("overrides", nargs="*", help="keys of train.py")
    return parser.parse_intermixed_args(arguments)


def run(options: argparse.Namespace, folder: Path) -> list:
    """Measure every model, print as results come; the recipes and their results."""
    recipes = [base_recipe(options, model, folder) for model in options.models]
    if options.grow:
        return [pair for recipe in recipes for pair in grow(recipe, options, folder)]
    names = contestants(options)
    measured = []
    for recipe in recipes:
        results = race(entries(names, recipe, options), options.repeats)
        print(f"\n{report.title(recipe, results)}\n")
        print(f"{report.comparison(results)}\n\n{report.breakdown(results)}", flush=True)
        measured.append((recipe, results))
    return measured


def grow(recipe: Recipe, options: argparse.Namespace, folder: Path) -> list:
    """Ours and limit at every point of one growth."""
    points, measured = {}, []
    for value in GROWTH[options.grow]:
        point = grown(recipe, options.grow, value, folder)
        results = race({n: Entry(n, point) for n in ("ours", "limit")}, options.repeats)
        points[f"{value:g}"] = results
        measured.append((point, results))
    unit = {"batch": f"× {recipe.max_batch_s:g} s", "duration": "seconds", "size": "× width"}
    print(f"\n{report.title(*measured[0])}\n")
    print(report.growth(f"{options.grow}, {unit[options.grow]}", points), flush=True)
    return measured


def grown(recipe: Recipe, what: str, value: float, folder: Path) -> Recipe:
    """The recipe at one point of a growth."""
    if what == "batch":
        return replace(recipe, max_batch_s=recipe.max_batch_s * value)
    if what == "size":
        key = WIDTH_KEYS[recipe.model]
        width = round(recipe.config()["model"][key] * value)
        return replace(recipe, overrides=[*recipe.overrides, f"model.{key}={width}"])
    # As much audio at every point, in recordings of one length.
    n = max(2, round((recipe.n_utterances or 64) * 12.5 / value))
    root = folder / f"{value:g}"
    if not root.exists():
        write_tones(root, np.full(n, float(value)))
    return replace(recipe, root=str(root), part=PART, n_utterances=n)


def base_recipe(options: argparse.Namespace, model: str, folder: Path) -> Recipe:
    """The recipe that the options ask for; writes the tones where they are wanted."""
    n = options.n_utterances or N_UTTERANCES.get(options.device.split(":")[0], 64)
    root = options.root
    if root is None:
        root = folder / "like-librispeech"
        if not root.exists():
            write_tones(root, librispeech_durations(n))
    return Recipe(
        model=model,
        root=str(root.resolve()),
        part=options.part,
        device=options.device,
        precision=options.precision,
        max_batch_s=options.max_batch_s,
        n_utterances=n,
        n_workers=options.n_workers,
        n_threads=options.n_threads,
        overrides=options.overrides,
    )


def entries(names: list[str], recipe: Recipe, options: argparse.Namespace) -> dict[str, Entry]:
    """The contestants by name, and ours once more for each key it shall be held against."""
    pythons = {"speechbrain": options.speechbrain_python or sys.executable}
    entered = {n: Entry(n, recipe, pythons.get(n, sys.executable)) for n in names}
    for key in options.against:
        changed = replace(recipe, overrides=[*recipe.overrides, key])
        entered[key] = Entry("ours", changed)
    return entered


def contestants(options: argparse.Namespace) -> list[str]:
    """Who runs; says so plainly when SpeechBrain can't."""
    names = list(options.contestants or CONTESTANTS)
    if "ours" not in names:
        names.insert(0, "ours")  # all are compared with it
    is_here = options.speechbrain_python or importlib.util.find_spec("speechbrain")
    if "speechbrain" in names and not is_here:
        names.remove("speechbrain")
        print(
            "speechbrain: not installed here, so it is left out. To compare with it, make another "
            "environment,\npip install -r requirements-bench.txt there, and name its Python with "
            "--speechbrain-python."
        )
    return names


if __name__ == "__main__":
    main()
