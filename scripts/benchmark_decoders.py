"""Frames decoded a second: our batched beam search beside its peers, at equal word error rate."""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from scripts.benchmarks import decoders_report as report
from scripts.benchmarks.decoders_race import Outcome, Team, race
from scripts.benchmarks.decoders_settings import GROWTH, grid, with_width
from scripts.benchmarks.decoders_synthetic import Synthetic
from scripts.benchmarks.decoders_task import Heard, Task
from scripts.tune_decoder import hear, held_out
from src.cli import explain
from src.utils.arguments import whole_number
from src.utils.errors import UserError
from src.utils.interrupts import ctrl_c_ends

MODULES = {  # that a peer's Python must have
    "flashlight": ("flashlight", "kenlm"),
    "pyctcdecode": ("pyctcdecode", "kenlm"),
    "fast-ctc-decode": ("fast_ctc_decode",),
}
HELP = """\
who takes turns, each in a process of its own, on the same log-probabilities, language model,
lexicon, weight and bonus:
  ours             decoder=beam_lm over whole batches (decoder=beam without a language model)
  flashlight       flashlight-text and KenLM through torchaudio, utterance by utterance
  pyctcdecode      with KenLM, utterance by utterance
  fast-ctc-decode  only without a language model

The peers live in an environment of their own (pip install -r requirements-bench.txt), whose Python
--peers-python names. Each is tried with several settings, replaced by --setting. The utterances are
dealt out among as many processes as cores; ours is also run as one process with as many threads.
Speeds are medians over the rounds with their range, and so are the ratios, taken round by round.

The log-probabilities are those of a checkpoint over held-out speech (keys as for inference.py; the
test part is refused), computed once and kept in --emissions; a file that is there is read again
without the checkpoint. --synthetic makes them, and the language model, from random text.

examples:
  python -m scripts.benchmark_decoders checkpoint=saved/deepspeech2/RUN dataset.root=LibriSpeech \\
      --emissions saved/heard --language-model words.arpa --peers-python bench/bin/python
  python -m scripts.benchmark_decoders --emissions saved/heard     the same without a model
  python -m scripts.benchmark_decoders --synthetic --contestants ours \\
      --setting ours:beam_width=16,n_tokens=4 --setting ours:beam_width=16,n_tokens=8 --profile
  python -m scripts.benchmark_decoders --synthetic --grow vocabulary"""


@ctrl_c_ends("benchmark_decoders", "nothing is written; run it again to start over")
def main(words: Sequence[str] | None = None) -> None:
    """Read the command line, measure, print. A person's mistake ends in one line and status 1."""
    options = parse(words)
    try:
        with tempfile.TemporaryDirectory() as folder:
            measured = run(options, Path(folder))
        if options.json:
            report.save(options.json, measured)
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        sys.exit(f"benchmark_decoders: {message}")


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """The options, with a --help that teaches."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.benchmark_decoders",
        description=__doc__,
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    default = "(default %(default)s)"
    cores = sorted({1, max(1, len(os.sched_getaffinity(0)))})
    add("--emissions", type=Path, help="log-probabilities: read if it is there, else made and kept")
    add("--synthetic", action="store_true", help="of random text, with a model of such text")
    add("--language-model", type=Path, help="of words, .arpa; none: decode without")
    add("--lm-weight", type=float, default=0.8, help=f"as scripts.tune_decoder finds it {default}")
    add("--bonus", type=float, default=1.0, help=f"natural log for each word {default}")
    add("--contestants", nargs="+", choices=("ours", *MODULES), help="default: all that can run")
    add("--setting", action="append", default=[], metavar="DECODER:KEY=VALUE,…", help="instead")
    add("--peers-python", default=sys.executable, help="a Python that has the peers")
    add("--n_utterances", type=whole_number(1), help="taken evenly from all")
    add("--copies", type=whole_number(1), default=1, help="of each, to fill batches (default 1)")
    add("--n_processes", type=whole_number(1), nargs="+", default=cores, help=f"cores {default}")
    add("--repeats", type=whole_number(1), default=5, help=f"rounds {default}")
    add("--tolerance", type=float, default=0.1, help=f"WER points that count as equal {default}")
    add("--profile", action="store_true", help="tell where ours spends its time")
    add("--grow", choices=sorted(GROWTH), help="ours and flashlight only, over this")
    add("--json", type=Path, help="write everything measured here")
    add("overrides", nargs="*", help="keys of inference.py, to make the emissions")
    return parser.parse_intermixed_args(words)


def run(options: argparse.Namespace, folder: Path) -> list[tuple[str, list[Outcome]]]:
    """Measure, and print as results come; the titles and outcomes."""
    if options.grow:
        return grow(options, folder)
    task = prepared(options, folder)
    heard = task.everything()
    found = peers(options, with_model=task.language_model is not None)
    settings = grid(task.language_model is not None, options.setting)
    measured = []
    for n in options.n_processes:
        teams = {kind: Team(kind, settings[kind], python, n) for kind, python in found.items()}
        if n > 1 and "ours" in teams:
            teams["ours, threads"] = Team("ours", settings["ours"], n_threads=n)
        outcomes = race(teams, task, options.repeats, options.profile and n == 1)
        title = report.title(task, heard, n)
        print(f"\n{title}\n\n{report.everything(outcomes)}\n")
        most_wer = report.reachable(outcomes, options.tolerance / 100)
        print(report.fastest(outcomes, most_wer), flush=True)
        for outcome in outcomes:
            if outcome.profile:
                print(f"\n{report.breakdown(outcome)}", flush=True)
        measured.append((title, outcomes))
    return measured


def prepared(options: argparse.Namespace, folder: Path) -> Task:
    """What shall be decoded; hears it first where that is needed.

    Raises:
        UserError: no emissions, or no language model that all can read.
    """
    model = options.language_model
    if options.synthetic:
        emissions, model = Synthetic().write(folder)
    else:
        emissions = options.emissions or folder / "emissions"
        if not emissions.is_file():
            listen(options.overrides, emissions)
    if model is not None and model.suffix != ".arpa":
        raise UserError(
            f"{model}: the peers read ARPA only; name a file whose name ends in .arpa, such as "
            "scripts.train_lm writes."
        )
    weights = {"lm_weight": options.lm_weight, "bonus": options.bonus} if model else {}
    return Task(
        emissions=str(emissions.resolve()),
        language_model=str(model.resolve()) if model else None,
        n_utterances=options.n_utterances,
        copies=options.copies,
        **weights,
    )


def listen(overrides: Sequence[str], path: Path) -> None:
    """Keep what a checkpoint says of held-out speech.

    Raises:
        UserError: no checkpoint given, the test part, or nobody knows what was said.
    """
    _, job = held_out(["decoder=greedy", *overrides])
    heard, texts = hear(job, words=False)
    rows = [
        one[:n].numpy()
        for batch in heard
        for one, n in zip(batch.log_probs, batch.lengths.tolist(), strict=True)
    ]
    Heard(job.transcriber.text.vocabulary.symbols, rows, texts).save(path)


def peers(options: argparse.Namespace, with_model: bool) -> dict[str, str]:
    """Who runs, with which Python; says plainly who can't."""
    wanted = options.contestants or ["ours", *MODULES]
    if with_model:
        wanted = [kind for kind in wanted if kind != "fast-ctc-decode"]
    there = installed(options.peers_python) if set(wanted) & set(MODULES) else set()
    found = {"ours": sys.executable} if "ours" in wanted else {}
    for kind in wanted:
        if kind in MODULES and there.issuperset(MODULES[kind]):
            found[kind] = options.peers_python
    if absent := [kind for kind in wanted if kind not in found]:
        print(
            f"{', '.join(absent)}: not installed here, so left out. Make another environment, pip "
            "install -r\nrequirements-bench.txt there, and name its Python with --peers-python."
        )
    if not found:
        raise UserError("There is nobody to measure; add ours to --contestants.")
    return found


def installed(python: str) -> set[str]:
    """Those of the peers' modules that a Python can import.

    Raises:
        UserError: it can't be started.
    """
    names = sorted({name for modules in MODULES.values() for name in modules})
    code = f"from importlib.util import find_spec; print(*filter(find_spec, {names}))"
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise UserError(f"{python}: can't be started ({error}); name a Python.") from None
    return set(done.stdout.split())


def grow(options: argparse.Namespace, folder: Path) -> list[tuple[str, list[Outcome]]]:
    """Ours and flashlight at every point of one growth, on one core."""
    what, values = options.grow, GROWTH[options.grow]
    found = peers(options, with_model=True)
    found = {kind: found[kind] for kind in ("ours", "flashlight") if kind in found}
    if what in ("beam", "batch"):
        teams = {
            kind: Team(kind, [at(what, value, kind) for value in values], python)
            for kind, python in found.items()
        }
        outcomes = race(teams, prepared(options, folder), options.repeats, options.profile)
        n = len(values)
        points = {f"{value:,}": outcomes[i::n] for i, value in enumerate(values)}
    else:
        teams = {kind: Team(kind, [at(what, 0, kind)], python) for kind, python in found.items()}
        points = {}
        for value in values:
            task = sized(what, value, options, folder / str(value))
            points[f"{value:,}"] = race(teams, task, options.repeats, options.profile)
    print(f"\n{report.growth(what, points)}", flush=True)
    return [(f"{what} {value}", outcomes) for value, outcomes in points.items()]


def sized(what: str, value: int, options: argparse.Namespace, folder: Path) -> Task:
    """The task at one point of a growth of what only synthetic speech has in many sizes."""
    if not options.synthetic:
        raise UserError(f"--grow {what}: add --synthetic; real speech has one size.")
    keys = {"vocabulary": "n_symbols", "lm": "n_sentences"}
    sizes = {"n_words": value // 4} if what == "lm" else {}
    emissions, model = replace(Synthetic(), **{keys[what]: value}, **sizes).write(folder)
    return Task(
        emissions=str(emissions),
        language_model=str(model),
        lm_weight=options.lm_weight,
        bonus=options.bonus,
        n_utterances=options.n_utterances,
        copies=options.copies,
    )


def at(what: str, value: int, kind: str) -> dict:
    """A decoder's setting at one point of a growth: beam 32 where it doesn't grow."""
    setting = dict(with_width(kind, value if what == "beam" else 32))
    if what == "batch" and kind == "ours":
        setting["batch_size"] = value
    return setting


if __name__ == "__main__":
    main()
