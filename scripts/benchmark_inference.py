"""Audio seconds read per second by inference.py, beside the model alone and a plain loop."""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir

from scripts.benchmarks import report
from scripts.benchmarks.corpus import PART, librispeech_durations, write_tones
from scripts.benchmarks.race import Result, Spread, ratio
from scripts.benchmarks.recipe import WIDTH_KEYS, Recipe
from src.build import build_inference, build_recognizer, build_text, plain
from src.build.inference import Inference
from src.build.training import describe
from src.cli import CONFIGS, explain
from src.datasets import Batches, make_loader
from src.trainer import save_checkpoint
from src.utils.arguments import whole_number
from src.utils.files import write_json
from src.utils.interrupts import ctrl_c_ends
from src.utils.tables import counted, percent, table

HELP = """\
who takes turns on the same recordings with the same weights:
  ours    inference.py: longest first, capped in seconds, decoded beside the model, every
          prediction written to its file
  limit   the model alone on our batches, held on the device: nothing read, decoded or written
  plain   batches of 16 in the corpus's own order, decoded and written one after another

Without --checkpoint the weights are random. A beam then has more to try than with a trained
model, whose posteriors are sharp; greedy decoding costs the same. Without --root, tones of
LibriSpeech's lengths are read.

examples:
  python -m scripts.benchmark_inference --checkpoint saved/deepspeech2/… --root data/LibriSpeech \\
      --part test-clean --decoder beam
  python -m scripts.benchmark_inference --device cuda --precision bf16 --max_batch_s 2000"""


@ctrl_c_ends("benchmark_inference", "nothing is written; run it again to start over")
def main(arguments: list[str] | None = None) -> None:
    """Read the command line, measure, print. A person's mistake ends in one line and status 1."""
    options = parse(arguments)
    torch.set_num_threads(options.n_threads)
    try:
        with tempfile.TemporaryDirectory() as folder:
            results, where = measure(options, Path(folder))
        print(f"\n{where}\n\n{comparison(results)}")
        if options.json:
            found = {name: result.to_dict() for name, result in results.items()}
            write_json(options.json, {"environment": report.environment(), "results": found})
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        sys.exit(f"benchmark_inference: {message}")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options, with a --help that teaches."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.benchmark_inference",
        description=__doc__,
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    default = "(default %(default)s)"
    add("--checkpoint", help="a .pt file or a run folder; default: random weights of --model")
    add("--model", default="deepspeech2", choices=sorted(WIDTH_KEYS), help=default)
    add("--decoder", default="greedy", help=f"a choice of configs/decoder {default}")
    add("--device", default="cpu", help=f"cpu or cuda {default}")
    add("--precision", default="float32", help=f"float32, bf16 or fp16 {default}")
    add("--root", type=Path, help="a folder with parts in LibriSpeech's layout")
    add("--part", default=PART, help="the part to read; with --root")
    add("--n_utterances", type=whole_number(1), help="of the part; default 100, on cuda 2000")
    add("--max_batch_s", type=float, default=320.0, help=f"padded seconds a batch {default}")
    add("--n_workers", type=whole_number(0), default=2, help=f"reading processes {default}")
    add("--n_decoders", type=whole_number(0), help="decoding processes; default as inference.py")
    threads = max(1, len(os.sched_getaffinity(0)))
    add("--n_threads", type=whole_number(1), default=threads, help=f"of the model {default}")
    add("--repeats", type=whole_number(1), default=5, help=f"rounds {default}")
    add("--json", type=Path, help="write everything measured here")
    return parser.parse_args(arguments)


def measure(options: argparse.Namespace, folder: Path) -> tuple[dict[str, Result], str]:
    """Results by name, and what they are of, in one line."""
    n = options.n_utterances or (2000 if options.device.startswith("cuda") else 100)
    root = options.root or write_tones(folder / "corpus", librispeech_durations(n))
    checkpoint = options.checkpoint or untrained(folder / "untrained.pt", options.model, str(root))
    job = build_inference(config_of(options, str(root), str(checkpoint), n), "librispeech")
    contestants = [ours(job, folder), limit(job), plain_loop(job, options, folder)]
    results = take_turns(contestants, options.repeats)
    weights = sum(p.numel() for p in job.transcriber.recognizer.parameters()) / 1e6
    where = (
        f"{weights:.1f} M weights, {options.device}, {options.precision}, {options.decoder}, "
        f"{options.max_batch_s:g} s a batch, {counted(options.n_workers, 'worker')}, "
        f"{counted(job.n_decoders, 'decoding process', 'decoding processes')}, "
        f"{counted(options.n_threads, 'thread')}, "
        f"{results['ours'].rounds[0]['audio_s']:.0f} s of audio a pass"
    )
    return results, where


def config_of(options: argparse.Namespace, root: str, checkpoint: str, n: int) -> dict:
    """The config of inference.py that the options ask for."""
    chosen = {
        "checkpoint": f"'{checkpoint}'",
        "decoder": options.decoder,
        "device": options.device,
        "precision": options.precision,
        "dataset.root": f"'{root}'",
        "dataset.test.parts": f"[{options.part}]",
        "dataset.test.limit": n,
        "dataset.test.sort": "null",
        "dataset.index_dir": "null",
        "n_decoders": "null" if options.n_decoders is None else options.n_decoders,
        "loader.batch_size": "null",
        "loader.max_batch_s": options.max_batch_s,
        "loader.n_workers": options.n_workers,
    }
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return plain(compose("inference", [f"{key}={value}" for key, value in chosen.items()]))


def untrained(path: Path, model: str, root: str) -> Path:
    """A checkpoint of random weights."""
    config = Recipe(model=model, root=root, part=PART).config()
    text = build_text(config)
    recognizer = build_recognizer(config, text)
    state = describe(config, text) | {"step": 0, "recognizer": recognizer.state_dict()}
    save_checkpoint(path, state)
    return path


@dataclass(frozen=True)
class Contestant:
    """A way to read the corpus once."""

    name: str
    run: Callable[[], None]
    sizes: dict[str, float]  # seconds of audio, with and without padding, and batches


def ours(job: Inference, folder: Path) -> Contestant:
    """As inference.py does."""

    def run() -> None:
        with tempfile.TemporaryDirectory(dir=folder) as fresh:  # each run replaces no other's
            written = Path(fresh)
            job.transcriber.transcribe_all(job.loader, written, job.n_decoders, job.decode_batch)

    return Contestant("ours", run, sizes(job, job.loader.batch_sampler))


def limit(job: Inference) -> Contestant:
    """The model on our batches, which lie on the device."""
    device = next(job.transcriber.recognizer.parameters()).device
    held = [batch.to(device) for batch in job.loader]

    def run() -> None:
        for batch in held:
            job.transcriber.emissions(batch)
        if device.type == "cuda":
            torch.cuda.synchronize()

    return Contestant("limit", run, sizes(job, job.loader.batch_sampler))


def plain_loop(job: Inference, options: argparse.Namespace, folder: Path) -> Contestant:
    """Batches as the corpus comes, one thing after another."""
    batches = Batches(job.dataset.durations_s, 16, shuffle=False)
    loader = make_loader(job.dataset, batches, n_workers=options.n_workers)

    def run() -> None:
        for batch in loader:
            for prediction in job.transcriber.transcribe(batch):
                path = folder / "plain" / f"{prediction.id}.json"
                write_json(path, prediction.to_dict(), sync=False)

    return Contestant("plain", run, sizes(job, batches))


def sizes(job: Inference, batches: Iterable[list[int]]) -> dict[str, float]:
    """What reading the corpus in these batches comes to."""
    rows = [job.dataset.durations_s[batch] for batch in batches]
    return {
        "audio_s": float(sum(durations_s.sum() for durations_s in rows)),
        "padded_s": float(sum(len(durations_s) * durations_s.max() for durations_s in rows)),
        "n_steps": len(rows),
    }


def take_turns(contestants: list[Contestant], n_rounds: int) -> dict[str, Result]:
    """One round to get warm, then `n_rounds` that count."""
    results = {one.name: Result({}) for one in contestants}
    for turn in range(n_rounds + 1):
        for one in contestants:
            start = time.perf_counter()
            one.run()
            seconds = time.perf_counter() - start
            if turn:
                results[one.name].rounds.append({"seconds": seconds, **one.sizes})
    return results


def comparison(results: dict[str, Result]) -> str:
    """Speed of each, and how many times faster ours is."""
    rows = [
        (
            name,
            report.shown(Spread.of(result.speeds), 1),
            "–" if name == "ours" else report.shown(ratio(results["ours"], result), 2),
            percent(result.padding),
            result.rounds[0]["n_steps"],
        )
        for name, result in results.items()
    ]
    return table(rows, ("", "audio s/s", "ours is × faster", "padding", "batches"))


if __name__ == "__main__":
    main()
