"""Speaks sentences into a corpus in LibriSpeech's layout, chapter by chapter.

    OUT/PART/SPEAKER/CHAPTER/SPEAKER-CHAPTER-0000.flac …  and SPEAKER-CHAPTER.trans.txt
    OUT/PART.settings.json   what it was made of
    OUT/PART.speakers.csv    who is who
    OUT/PART.sentences.tsv   utterance and the line of the text it says

A chapter is one speaker's, spoken by a process of its own, and appears when it is whole.
"""

import csv
import functools
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from tqdm import tqdm

from scripts.speaking.clips import resample
from scripts.speaking.engines import Engine
from scripts.speaking.processes import in_fresh_processes
from scripts.speaking.speakers import Speaker, cast
from src.utils.errors import UserError
from src.utils.files import atomic_write, write_json

SAMPLE_RATE = 16_000  # Hz
UNFINISHED = ".unfinished"  # in OUT: chapters that are being spoken


@dataclass(frozen=True, slots=True)
class Chapter:
    """Sentences in a row, said by one speaker."""

    number: int
    speaker: Speaker
    lines: tuple[int, ...]  # of the text file
    sentences: tuple[str, ...]

    @property
    def name(self) -> str:
        """SPEAKER-CHAPTER."""
        return f"{self.speaker.id}-{self.number}"

    def folder(self, part: Path) -> Path:
        """PART/SPEAKER/CHAPTER."""
        return part / str(self.speaker.id) / str(self.number)


def share_out(
    sentences: Sequence[tuple[int, str]], speakers: Sequence[Speaker], size: int, readings: int
) -> list[Chapter]:
    """Chapters of `size` sentences; the speakers take turns, and each reading is another's."""
    if readings > len(speakers):
        raise UserError(
            f"--readings {readings}: needs as many speakers; there are {len(speakers)}."
        )
    starts = range(0, len(sentences), size)
    chapters = []
    for reading in range(readings):
        for place, start in enumerate(starts):
            lines, texts = zip(*sentences[start : start + size], strict=True)
            speaker = speakers[(place + reading) % len(speakers)]
            chapters.append(Chapter(len(chapters) + 1, speaker, lines, texts))
    return chapters


def speak_corpus(
    sentences: Sequence[tuple[int, str]],
    out: Path,
    part: str,
    open_engine: Callable[[], Engine],
    *,
    voices: str,
    n_speakers: int,
    first_speaker: int,
    chapter_size: int,
    readings: int,
    seed: int,
    jobs: int,
) -> tuple[int, float, int]:
    """Speak what is not spoken yet. The same arguments give the same bytes, whatever `jobs`.

    Args:
        open_engine: must be picklable; called in each process.
        voices: part of the engine's voices, see `Engine.voices`.
        chapter_size: sentences of a chapter.
        readings: how often each sentence is said, by different speakers.

    Returns:
        Number of utterances, their hours, and the number of sentences that had no sound.

    Raises:
        UserError: the engine can't speak, or `out` holds a part of other settings.
    """
    engine = open_engine()
    speakers = cast(engine.voices(voices), n_speakers, seed, first_speaker)
    chapters = share_out(sentences, speakers, chapter_size, readings)
    digest = hashlib.sha256("\n".join(text for _, text in sentences).encode())
    settings = {
        "text": digest.hexdigest(),
        "n_sentences": len(sentences),
        "engine": engine.version,
        "voices": voices,
        "n_speakers": n_speakers,
        "first_speaker": first_speaker,
        "chapter_size": chapter_size,
        "readings": readings,
        "seed": seed,
    }
    _settle(out, part, settings)
    missing = [chapter for chapter in chapters if not chapter.folder(out / part).is_dir()]
    _speak(missing, len(chapters), out, part, open_engine, jobs)
    _write_lists(chapters, speakers, out, part)
    return _summary(chapters, out / part)


def speak_chapter(
    chapter: Chapter, *, out: Path, part: str, open_engine: Callable[[], Engine]
) -> None:
    """Write all utterances of a chapter. Repeatable as the first speech of its process."""
    engine = open_engine()
    unfinished = out / UNFINISHED / f"{part}-{chapter.name}"
    shutil.rmtree(unfinished, ignore_errors=True)  # what a killed run left
    unfinished.mkdir(parents=True)
    lines = []
    for number, sentence in enumerate(chapter.sentences):
        # A word in capitals may be an abbreviation, a text in capitals has none.
        said = sentence.lower() if sentence.isupper() else sentence
        samples = level(*engine.speak(said, chapter.speaker), chapter.speaker.peak_db)
        if samples is None:
            continue  # nothing to say, such as "…"
        name = f"{chapter.name}-{number:04d}"
        soundfile.write(unfinished / f"{name}.flac", samples, SAMPLE_RATE, subtype="PCM_16")
        lines.append(f"{name} {sentence}\n")
    (unfinished / f"{chapter.name}.trans.txt").write_text("".join(lines), encoding="utf-8")
    folder = chapter.folder(out / part)
    folder.parent.mkdir(parents=True, exist_ok=True)
    os.replace(unfinished, folder)  # noqa: PTH105


def level(waveform: np.ndarray, rate: int, peak_db: float) -> np.ndarray | None:
    """(N,) int16 at SAMPLE_RATE with this peak; None where there is no sound."""
    waveform = waveform.astype(np.float64)
    peak = np.abs(waveform).max(initial=0)
    if not peak:
        return None
    if rate != SAMPLE_RATE:
        waveform = resample(waveform, rate, SAMPLE_RATE)
        peak = np.abs(waveform).max()
    return np.round(waveform * ((2**15 - 1) * 10 ** (peak_db / 20) / peak)).astype(np.int16)


def _speak(
    missing: list[Chapter],
    n_chapters: int,
    out: Path,
    part: str,
    open_engine: Callable[[], Engine],
    jobs: int,
) -> None:
    work = functools.partial(speak_chapter, out=out, part=part, open_engine=open_engine)
    done = n_chapters - len(missing)
    try:
        with tqdm(total=n_chapters, initial=done, desc="speaking", unit="ch", disable=None) as bar:
            for _ in in_fresh_processes(
                work, missing, jobs, start="forkserver", preload=["scripts.speaking.corpus"]
            ):
                bar.update()
    except OSError as error:
        raise UserError(
            f"{out / part}: could not be written ({error.strerror or error}). Whole chapters "
            "are kept: give it room and run the command again."
        ) from error
    shutil.rmtree(out / UNFINISHED, ignore_errors=True)


def _settle(out: Path, part: str, settings: dict[str, Any]) -> None:
    """Make sure that what is there is of these settings, or write them down."""
    path = out / f"{part}.settings.json"
    if not path.exists():
        if (out / part).exists():
            raise UserError(f"{out / part}: is there, but was not made by this command.")
        write_json(path, settings)
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: is damaged ({error}); delete it and the part.") from error
    differing = [f"{key} {found.get(key)}" for key in settings if found.get(key) != settings[key]]
    if differing:
        raise UserError(
            f"{out / part}: was made with {', '.join(differing)}. Delete it and {path.name} to "
            "make it anew, or choose another --part."
        )


def _write_lists(
    chapters: list[Chapter], speakers: Sequence[Speaker], out: Path, part: str
) -> None:
    with atomic_write(out / f"{part}.speakers.csv", "w") as file:
        writer = csv.DictWriter(file, asdict(speakers[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(asdict, speakers))
    with atomic_write(out / f"{part}.sentences.tsv", "w") as file:
        for chapter in chapters:
            for number, line in enumerate(chapter.lines):
                file.write(f"{chapter.name}-{number:04d}\t{line}\n")


def _summary(chapters: list[Chapter], part: Path) -> tuple[int, float, int]:
    n_utterances, n_samples = 0, 0
    for chapter in chapters:
        for path in chapter.folder(part).glob("*.flac"):
            n_utterances += 1
            n_samples += soundfile.info(path).frames
    n_sentences = sum(len(chapter.sentences) for chapter in chapters)
    return n_utterances, n_samples / SAMPLE_RATE / 3600, n_sentences - n_utterances
