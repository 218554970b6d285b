"""Runs and their predictions → one HTML page that needs nothing else."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.reporting.checkpoints import load_model, picture_uri
from scripts.reporting.page import render
from scripts.reporting.predictions import Media, Part
from scripts.reporting.recordings import Budget, Recordings, sound_uri
from scripts.reporting.runs import Run, is_run, load_run, name_runs
from scripts.reporting.scores import Scores, read_scores, score
from src.pipeline import Transcriber, noted_reader
from src.utils.arguments import whole_number
from src.utils.errors import UserError
from src.utils.files import atomic_write
from src.utils.interrupts import ctrl_c_ends

HELP = """\
One self-contained HTML page on one or several runs: curves, sizes, times and error rates side by
side, which phonemes or characters are confused, the worst utterances with their sound, spectrograms
above the posteriors, configs and machines. It asks no server for anything, so it can be mailed.

  python -m scripts.report saved/convnet/RUN
  python -m scripts.report saved/convnet/* --out report.html
  python -m scripts.report saved/convnet/RUN saved/predict/speech_commands_test
  python -m scripts.report saved/deepspeech2/RUN saved/predict/talks --audio talks/

A folder of predictions, as inference.py writes them, belongs to the run named before it. Without
one, the examples of the run's last validation are shown. Recordings are looked up by their ids in
the corpora of the run's config.yaml, or among the files of --audio. docs/reports.md"""
LONGEST_S = 40.0  # seconds of an utterance that a picture can show


@ctrl_c_ends("report", "nothing is written; run it again to start over")
def main(words: Sequence[str] | None = None) -> None:
    """Read, draw, write. A person's mistake ends in one line and status 1."""
    options = parse(words)
    try:
        budget = Budget(options.max_mb * 1_000_000)
        parts = read_all([Path(path) for path in options.runs], options, budget)
        with atomic_write(options.out, "w") as file:
            file.write(render(parts))
    except UserError as error:
        sys.exit(f"report: {error}")
    size = options.out.stat().st_size
    told = f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"
    print(f"{options.out}: {told}")


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.report",
        description=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add, default = parser.add_argument, "(default %(default)s)"
    add("runs", nargs="+", metavar="RUN", help="run folders, each before its predictions' folders")
    add("--out", type=Path, default=Path("saved/report.html"), help=f"the page {default}")
    add("--audio", type=Path, help="folder of recordings, named as the utterances are")
    add(
        "--sound",
        choices=["opus", "wav"],
        default="opus",
        help=f"wav is ten times larger {default}",
    )
    add("--worst", type=whole_number(0), default=20, metavar="N", help=f"utterances {default}")
    add("--pictures", type=whole_number(0), default=2, metavar="N", help=f"of them drawn {default}")
    add("--max_mb", type=whole_number(0), default=16, help=f"of sounds and pictures {default}")
    return parser.parse_args(words)


def read_all(paths: Sequence[Path], options: argparse.Namespace, budget: Budget) -> list[Part]:
    """Runs and predictions in the order given, with what there is to hear and to see.

    Raises:
        UserError: there is no such folder.
    """
    groups = grouped(paths)
    name_runs([run for run, _ in groups if run])
    return [read_part(run, folders, options, budget) for run, folders in groups]


def grouped(paths: Sequence[Path]) -> list[tuple[Run | None, list[Path]]]:
    """Each run with the folders of predictions that follow it; first those that follow none.

    Raises:
        UserError: there is no such folder.
    """
    groups: list[tuple[Run | None, list[Path]]] = []
    for path in paths:
        if not path.is_dir():
            raise UserError(
                f"{path}: no such folder. Name run folders (ls -d saved/*/*), each followed by "
                "the folders of its predictions."
            )
        if is_run(path) or not has_json(path):
            groups.append((load_run(path), []))
        elif not groups:
            groups.append((None, [path]))
        else:
            groups[-1][1].append(path)
    return groups


def has_json(folder: Path) -> bool:
    """Whether there may be predictions in a folder or below it."""
    return any(name.endswith(".json") for _, _, names in os.walk(folder) for name in names)


def read_part(
    run: Run | None, folders: Sequence[Path], options: argparse.Namespace, budget: Budget
) -> Part:
    """One run: its model is loaded, asked and forgotten before the next one's."""
    part = Part(run)
    transcriber = load_model(run) if run else None
    part.scores = [read_scores(folder, options.worst) for folder in folders]
    part.missing += [told for folder in folders if run and (told := other_reader(run, folder))]
    if run and not folders:
        part.missing.append("No folder of predictions was named after the run.")
        if run.examples:
            source = f"examples of the last validation, step {run.examples_step:,}"
            part.scores = [score(run.examples, source, options.worst)]
    recordings = Recordings(run, options.audio)
    for scores in part.scores:
        collect_media(part, scores, recordings, transcriber, options, budget)
    part.missing += recordings.missing
    return part


def other_reader(run: Run, folder: Path) -> str:
    """A sentence where another run's checkpoint read these predictions; "" where none is known to.

    A run that was moved since is where no checkpoint is noted; of it nothing can be told.
    """
    reader = noted_reader(folder)
    if reader is None or not reader.is_file() or run.path.resolve() in reader.resolve().parents:
        return ""
    return f"{folder} was read by {reader}, which is not a checkpoint of {run.path}: name its run."


def collect_media(
    part: Part,
    scores: Scores,
    recordings: Recordings,
    transcriber: Transcriber | None,
    options: argparse.Namespace,
    budget: Budget,
) -> None:
    """Sounds of the worst utterances, and pictures of the first of them."""
    recordings.find([bad.id for bad in scores.worst])
    for bad in scores.worst:
        media = part.media[scores.source, bad.id] = Media()
        try:
            utterance, rate = recordings.read(bad.id)
        except UserError as error:
            media.notes.append(f"No sound: {error}")
            continue
        uri = sound_uri(utterance.waveform, rate, options.sound)
        if budget.take(uri):
            media.sound = uri
        else:
            media.notes.append("No sound: the page would become larger than --max_mb allows.")
        n_drawn = sum(m.picture is not None for m in part.media.values())
        if transcriber and n_drawn < options.pictures:
            media.picture = draw(transcriber, utterance, rate, media, budget)


def draw(
    transcriber: Transcriber, utterance, rate: int, media: Media, budget: Budget
) -> str | None:
    """The picture of an utterance; None with a note where there can't be one."""
    if rate != transcriber.recognizer.sample_rate:
        media.notes.append(f"No spectrogram: the model does not listen at {rate} Hz.")
    elif len(utterance.waveform) > LONGEST_S * rate:
        media.notes.append(f"No spectrogram: longer than {LONGEST_S:g} s.")
    else:
        uri = picture_uri(transcriber, utterance)
        if budget.take(uri):
            return uri
        media.notes.append("No spectrogram: the page would become larger than --max_mb allows.")
    return None


if __name__ == "__main__":
    main()
