"""Speak the 35 words of Google Speech Commands with eSpeak NG, in the official folder layout."""

import argparse
import csv
import functools
import json
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

from scripts.speaking.cast import TEST_ONLY_ACCENT, Speaker, cast_speakers
from scripts.speaking.clips import SAMPLE_RATE, make_clip
from scripts.speaking.processes import in_fresh_processes
from src.text.dictionaries import SPEECH_COMMANDS
from src.utils.arguments import whole_number
from src.utils.errors import UserError
from src.utils.espeak import Espeak
from src.utils.files import write_json
from src.utils.interrupts import ctrl_c_ends, ctrl_c_waits

SPLIT_LISTS = {"validation": "validation_list.txt", "test": "testing_list.txt"}
SETTINGS = "settings.json"  # in the folder: what it was made with
SPEAKERS_A_PROCESS = 15  # part of what decides the samples: a process speaks on where it was
HELP = f"""\
examples:
  the corpus of make quickstart, about 8,000 clips in under half a minute on two cores:
    python -m scripts.generate_commands --out data/quickstart/clips
  a larger one:
    python -m scripts.generate_commands --out data/spoken --n_speakers 2000 --clips_per_word 2
then:
    python -m scripts.prepare_speech_commands --source data/quickstart/clips \\
        --out data/quickstart/commands.h5

A speaker is an accent, a voice variant, a pitch, a liveliness and a speed. Three quarters of the
speakers are for training, 10 % for validation, 15 % for testing. No variant (nor one that
sounds like it) is in two parts, and one accent ({TEST_ONLY_ACCENT}) is heard in testing only.
Each clip has one second, a random place for its word, a random level, and noise from white to
brown at a signal-to-noise ratio of 10 to 40 dB. speakers.csv tells who is who.

The same arguments give the same bytes. The folder appears under its name only when complete: a
run that was killed can simply be repeated. Synthetic voices are far easier than people; scores
on them show that everything works, not how well real speech is recognised."""


@ctrl_c_ends("generate_commands", "run it again to start over")
def main(arguments: list[str] | None = None) -> None:
    """Read the command line, generate, report. A person's mistake ends in one line, status 1."""
    options = parse(arguments)
    settings = {
        "n_speakers": options.n_speakers,
        "clips_per_word": options.clips_per_word,
        "seed": options.seed,
    }
    try:
        made = generate(options.out, **settings, n_processes=options.n_processes)
        print(report(options.out, "" if made else " (was there already)"))
    except UserError as error:
        sys.exit(f"generate_commands: {error}")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options, with a --help that teaches."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.generate_commands",
        description=__doc__,
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add, count = parser.add_argument, whole_number(1)
    default = "default %(default)s"
    add("--out", type=Path, default=Path("data/quickstart/clips"), help=default)
    add("--n_speakers", type=count, default=240, help=f"of all parts together ({default})")
    add("--clips_per_word", type=count, default=1, help=f"by each speaker ({default})")
    add("--seed", type=whole_number(0), default=0, help=f"other seed, other voices ({default})")
    add("--n_processes", type=count, default=2, help=f"speaking at once ({default})")
    return parser.parse_args(arguments)


def generate(
    out: Path, *, n_speakers: int, clips_per_word: int, seed: int, n_processes: int
) -> bool:
    """Write the corpus to `out`, which appears only once it is complete.

    Returns:
        False when `out` already holds exactly this corpus and nothing had to be done.

    Raises:
        UserError: `out` holds something else, or could not be written.
    """
    speakers = cast_speakers(n_speakers, seed)
    settings = {
        "n_speakers": n_speakers,
        "clips_per_word": clips_per_word,
        "seed": seed,
        "espeak": Espeak().version,
    }
    if out.exists():
        _refuse_other_settings(out, settings)
        return False
    unfinished = out.with_name(f".{out.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)  # what a killed run left
    try:
        for word in SPEECH_COMMANDS:
            (unfinished / word).mkdir(parents=True)
        _speak_all(speakers, unfinished, clips_per_word, n_processes)
        _write_lists(speakers, unfinished, clips_per_word)
        write_json(unfinished / SETTINGS, settings)
        unfinished.rename(out)
    except OSError as error:
        raise UserError(
            f"{out}: the clips could not be written ({error.strerror or error}); nothing was kept. "
            "Free some space or choose another --out, then run the command again."
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return True


def speak_share(speakers: list[Speaker], folder: Path, clips_per_word: int) -> None:
    """Write all clips of a few speakers. Repeatable only as the first speech of its process."""
    espeak = Espeak()
    for speaker in speakers:
        rng = np.random.default_rng([*speaker.seed, 1])
        for word, take in _says(clips_per_word):
            clip = make_clip(espeak, word, speaker, rng)
            path = folder / _clip_name(word, speaker, take)
            with ctrl_c_waits():  # a WAV cut short at its creation complains when Python ends
                soundfile.write(path, clip.astype("<i2"), SAMPLE_RATE, subtype="PCM_16")


def report(folder: Path, note: str) -> str:
    """How many clips and speakers each part has."""
    with (folder / "speakers.csv").open(encoding="utf-8", newline="") as file:
        speakers = Counter(row["part"] for row in csv.DictReader(file))
    clips_per_word = json.loads((folder / SETTINGS).read_text())["clips_per_word"]
    n_clips = {part: n * len(list(_says(clips_per_word))) for part, n in speakers.items()}
    lines = [f"{p:<12}{n_clips[p]:>8,} clips by {n:>4,} speakers" for p, n in speakers.items()]
    return "\n".join([f"{folder}{note}", *lines])


def _speak_all(
    speakers: list[Speaker], folder: Path, clips_per_word: int, n_processes: int
) -> None:
    """Share the speakers out to processes, a new one for each share."""
    starts = range(0, len(speakers), SPEAKERS_A_PROCESS)
    shares = [speakers[start : start + SPEAKERS_A_PROCESS] for start in starts]
    n_clips = [len(share) * len(list(_says(clips_per_word))) for share in shares]
    speak = functools.partial(speak_share, folder=folder, clips_per_word=clips_per_word)
    with tqdm(total=sum(n_clips), desc="speaking", unit="clip", disable=None) as bar:
        spoken = in_fresh_processes(speak, shares, n_processes, start="spawn")
        for n_spoken, _ in zip(n_clips, spoken, strict=True):
            bar.update(n_spoken)


def _write_lists(speakers: list[Speaker], folder: Path, clips_per_word: int) -> None:
    """The two official split lists, and speakers.csv: who is who."""
    for part, name in SPLIT_LISTS.items():
        clips = sorted(
            _clip_name(word, speaker, take)
            for speaker in speakers
            if speaker.part == part
            for word, take in _says(clips_per_word)
        )
        (folder / name).write_text("\n".join([*clips, ""]), encoding="utf-8")
    rows = [{"speaker": speaker.id, **asdict(speaker)} for speaker in speakers]
    with (folder / "speakers.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def _refuse_other_settings(out: Path, settings: dict) -> None:
    try:
        found = json.loads((out / SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UserError(
            f"{out}: is there already, but was not made by this command. Choose another --out."
        ) from None
    differing = [f"{key} {found.get(key)}" for key in settings if found.get(key) != settings[key]]
    if differing:
        raise UserError(
            f"{out}: holds a corpus made with {', '.join(differing)}. Delete the folder to make it "
            "anew, or choose another --out."
        )


def _says(clips_per_word: int) -> Iterator[tuple[str, int]]:
    """Word and take of each clip of one speaker."""
    return ((word, take) for word in SPEECH_COMMANDS for take in range(clips_per_word))


def _clip_name(word: str, speaker: Speaker, take: int) -> str:
    return f"{word}/{speaker.id}_nohash_{take}.wav"


if __name__ == "__main__":
    main()
