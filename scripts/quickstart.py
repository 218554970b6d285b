"""The whole path in one command: speak a corpus, pack it, train on it, read new voices, score.

Each step is one of the project's own commands, shown before it runs, so that it can be repeated
by hand with other settings.
"""

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

from src.utils.tables import percent, table

HELP = """\
What is finished is not done again: a second run speaks and packs only what is missing, and
continues the training where it stood. To start over, delete the two folders.

A corpus and a training of seconds, to see that everything works:

  python -m scripts.quickstart --data data/tiny --run saved/tiny \\
      --predictions saved/predict/tiny --n_speakers 12 trainer.n_epochs=1"""


def main(arguments: list[str] | None = None) -> None:
    """Run the steps one after another; stop at the first that fails, with its exit status."""
    options = parse(arguments)
    minutes: dict[str, float] = {}
    output = ""
    for name, command in steps(options).items():
        print(f"\n── {name} ──\n$ {shlex.join(['python', *command])}", flush=True)
        started_s = time.monotonic()
        status, output = run(command, capture=name == "score")
        minutes[name] = (time.monotonic() - started_s) / 60
        if status:
            sys.exit(_stopped(name, status))
    print(closing(json.loads(output)["scores"], minutes, options))


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options, with a --help that teaches."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.quickstart",
        description=__doc__,
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    default = "default %(default)s"
    add("--data", type=Path, default=Path("data/quickstart"), help=f"the corpus ({default})")
    add("--run", type=Path, default=Path("saved/quickstart"), help=f"the run folder ({default})")
    add("--predictions", type=Path, default=Path("saved/predict/quickstart"), help=default)
    add("--n_speakers", default="240", help=f"voices in the corpus ({default})")
    add("overrides", nargs="*", help="handed to train.py, for example optimizer.lr=1e-3")
    return parser.parse_args(arguments)


def steps(options: argparse.Namespace) -> dict[str, list[str]]:
    """Name and command line, after `python`, of each step still to do, in order."""
    clips, packed = options.data / "clips", options.data / "commands.h5"
    corpus = f"dataset.path={packed}"
    checkpoint, folder = f"checkpoint={options.run}", options.predictions
    read = ["inference.py", "dataset=speech_commands", corpus, checkpoint, "decoder=beam"]
    speak = ["-m", "scripts.generate_commands", f"--out={clips}"]
    pack = ["-m", "scripts.prepare_speech_commands", f"--source={clips}", f"--out={packed}"]
    train = ["train.py", "-cn=quickstart", corpus, f"run_dir={options.run}"]
    if (options.run / "checkpoints/last.pt").is_file():
        train.append(f"resume={options.run}")
    return {
        "speak": [*speak, f"--n_speakers={options.n_speakers}"],
        **({} if packed.is_file() else {"pack": pack}),
        "train": [*train, *options.overrides],
        "read": [*read, f"output={folder.parent}", f"name={folder.name}"],
        "score": ["calc_wer_cer.py", f"--dir_path={folder}", "--json"],
    }


def run(command: list[str], *, capture: bool) -> tuple[int, str]:
    """Exit status of `python …`, and what it printed if captured."""
    # On a net this small, threads wait for each other longer than they help, many times longer
    # on a busy machine; the second core reads the clips meanwhile.
    environment = {"OMP_NUM_THREADS": "1", **os.environ}
    process = subprocess.Popen(
        [sys.executable, *command],
        env=environment,
        stdout=subprocess.PIPE if capture else None,
        text=True,
    )
    # Wait while the step saves and leaves: Ctrl-C has reached it already, SIGTERM has not.
    handlers = {signal.SIGINT: lambda *_: None, signal.SIGTERM: lambda *_: process.terminate()}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        output, _ = process.communicate()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    # As a shell reports a step that a signal ended.
    return process.returncode if process.returncode >= 0 else 128 - process.returncode, output or ""


def closing(scores: dict, minutes: dict[str, float], options: argparse.Namespace) -> str:
    """The one table at the end: rates, minutes, and where everything is."""
    rows = [
        ("phoneme error rate, unseen voices", _rate(scores["per"])),
        ("word error through the lexicon", _rate(scores["word_error"])),
        *((f"minutes to {name}", f"{spent:.1f}") for name, spent in minutes.items()),
        ("minutes together", f"{sum(minutes.values()):.1f}"),
        ("checkpoint", options.run / "checkpoints/best.pt"),
        ("learning curves", options.run / "training_curves.png"),
        ("predictions", options.predictions / "*.json"),
        ("pictures", options.predictions / "pictures"),
    ]
    return (
        f"\n{table(rows, ('quickstart', 'rates with 95 % intervals'))}\n\n"
        "Synthetic voices are far easier than people: this shows that everything works, not how "
        "well\nreal speech is recognised."
    )


def _rate(score: dict) -> str:
    return percent(score["rate"], (score["low"], score["high"]))


def _stopped(name: str, status: int) -> int:
    print(
        f"\nquickstart: the step “{name}” ended with status {status}; its last lines say why. Run "
        "the same command again to go on from there.",
        file=sys.stderr,
    )
    return status


if __name__ == "__main__":
    main()
