"""When was each word said: recordings with transcripts → TextGrid and JSON files."""

import argparse
import functools
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from src import audio
from src.alignment import Timing, align, emissions_in_chunks, textgrid, timing_of
from src.alignment.chunks import CHUNK_S, CONTEXT_S
from src.build import load_recognizer
from src.datasets.files import base_folder, find_recordings, transcript_beside, unique_ids
from src.utils.devices import pick_device
from src.utils.errors import UserError
from src.utils.files import atomic_write, inside, write_json
from src.utils.interrupts import ctrl_c_ends
from src.utils.tables import counted, table

HELP = """\
Forced alignment: the text is known, the model says when each word and token of it was spoken.

  python -m scripts.align saved/deepspeech2/RUN talks/ --out aligned
  python -m scripts.align saved/deepspeech2/RUN data/LibriSpeech/test-clean
  python -m scripts.align saved/convnet/RUN/checkpoints/best.pt 'clips/**/*.wav'

The transcript of talk.wav is talk.txt beside it, else its line "talk WORDS …" in a *.trans.txt of
the same folder, as LibriSpeech has them. For each recording there will be a Praat TextGrid (tiers
"words" and "tokens") and a JSON file with the same times and how sure the model is; folders stay
as they are below the input, and files of an earlier run are replaced.

Recordings may be hours long: the model hears 30 s at a time with 3 s around them, and the path
through the whole text is found exactly. One that can't be aligned is named with its reason, the
others go on, and the exit status is 1.

The times are a model's opinion, in steps of its frames (20 to 40 ms): it is free to say a token a
little early or late, and the text must be what was said, word for word. docs/alignment.md"""
LISTS = "*.trans.txt"


class Aligner:
    """A recogniser that says when the words of a text were spoken.

    Args:
        recognizer: front end and model, in evaluation mode and where it shall run.
        text: vocabulary, unit and pronunciations of the model.
        device: where the recogniser is.
    """

    def __init__(self, recognizer, text, device: torch.device) -> None:
        self.recognizer = recognizer
        self.text = text
        self.device = device
        self.frame_s = recognizer.frame_s
        self.between = "|" if text.vocabulary.separator else " "

    def __call__(self, waveform: np.ndarray, transcript: str, duration_s: float) -> Timing:
        """Times of all words and tokens.

        Args:
            waveform: (N,) float32 in −1 … 1, at the recogniser's sample rate.

        Raises:
            UserError: the transcript is empty or can't be written in the vocabulary, the
                recording is silent, or too short for it.
        """
        words = self.text.normalise(transcript).split()
        if not words:
            raise UserError("its transcript has no words.")
        if waveform.min() == waveform.max():
            raise UserError(
                "its samples are all alike: digital silence, in which nothing was said. Was it "
                "recorded with the microphone off?"
            )
        tokens = self.text.encode(transcript)
        alignment = align(self.log_probs(waveform), tokens)
        symbols = [self.text.vocabulary.symbols[token] for token in tokens]
        return timing_of(alignment, symbols, words, self.between, self.frame_s, duration_s)

    @torch.no_grad()
    def log_probs(self, waveform: np.ndarray) -> np.ndarray:
        """(T_out, V) float32 of a recording of any length."""
        return emissions_in_chunks(
            self.recognizer,
            waveform,
            round(self.frame_s * self.recognizer.sample_rate),
            chunk=round(CHUNK_S / self.frame_s),
            context=round(CONTEXT_S / self.frame_s),
            device=self.device,
        )


@ctrl_c_ends("align", "files written so far are whole; running it again starts over")
def main(words: Sequence[str] | None = None) -> None:
    """Align, write, tell. A person's mistake ends in one line and status 1."""
    options = parse(words)
    try:
        device = pick_device(options.device)
        text, recognizer, _ = load_recognizer(options.checkpoint)
        paths = find_recordings(options.input)
    except UserError as error:
        sys.exit(f"align: {error}")
    aligner = Aligner(recognizer.to(device), text, device)
    done, failed = align_all(aligner, paths, names_of(paths, options.input), options.out)
    tell(done, failed, options.out)


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.align",
        description=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", help="run folder or .pt file")
    parser.add_argument("input", help="a recording, a folder, or a quoted glob")
    out = "default: saved/aligned"
    parser.add_argument("--out", type=Path, default=Path("saved/aligned"), help=out)
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda or cuda:N")
    return parser.parse_args(words)


def names_of(paths: Sequence[Path], given: str) -> list[str]:
    """Where each recording's files go below the output folder: its path below the input."""
    folder = base_folder(list(paths), Path(given))
    below = (path.relative_to(folder).with_suffix("").as_posix() for path in paths)
    # Names that are not UTF-8 can't be written into JSON.
    return unique_ids(name.encode("utf-8", "replace").decode() for name in below)


def align_all(aligner: Aligner, paths: Sequence[Path], names: Sequence[str], out: Path) -> tuple:
    """Align one recording after another.

    Returns:
        Timings, and the reasons of those that have none, both by name.
    """
    done: dict[str, Timing] = {}
    failed: dict[str, str] = {}
    both = list(zip(paths, names, strict=True))
    for path, name in tqdm(both, desc="aligning", unit="file", disable=None):
        try:
            done[name] = align_file(aligner, path, name, out)
        except UserError as error:
            reason = str(error)
            failed[name] = reason if reason.startswith(str(path)) else f"{path}: {reason}"
    return done, failed


def align_file(aligner: Aligner, path: Path, name: str, out: Path) -> Timing:
    """Align a recording and write its two files.

    Raises:
        UserError: its audio or transcript can't be used, or the files can't be written.
    """
    targets = [inside(out, f"{name}{suffix}") for suffix in (".json", ".TextGrid")]
    transcript = transcript_of(path)
    rate = aligner.recognizer.sample_rate
    waveform = audio.read(path, rate)
    timing = aligner(waveform, transcript, heard_s(path, len(waveform) / rate, rate))
    about = {"id": name, "audio": str(path).encode("utf-8", "replace").decode()}
    about |= {"text": transcript, "unit": aligner.text.unit, "frame_s": aligner.frame_s}
    write_json(targets[0], about | timing.to_dict(), sync=False)
    tiers = {"words": timing.words, "tokens": timing.tokens}
    with atomic_write(targets[1], "w", sync=False) as file:
        file.write(textgrid(tiers, timing.duration_s))
    return timing


def heard_s(path: Path, seconds: float, rate: int) -> float:
    """Seconds of a recording, of which resampling may have made a fraction of a sample more."""
    promised = audio.duration_s(path)
    return promised if abs(promised - seconds) < 1 / rate else seconds


def transcript_of(path: Path) -> str:
    """What was said in a recording, on one line.

    Raises:
        UserError: there is no transcript, or it is not UTF-8 text.
    """
    beside = path.with_suffix(".txt")
    if beside.is_file() and beside != path:
        return transcript_beside(path)
    listed = _listed(path.parent)
    if path.stem in listed:
        return listed[path.stem]
    raise UserError(
        f"no transcript; write what is said into {beside.name} beside it, or a line "
        f"'{path.stem} WORDS …' into a {LISTS} of the same folder."
    )


@functools.lru_cache(maxsize=8)
def _listed(folder: Path) -> dict[str, str]:
    """Utterance id → transcript, from all lists of a folder."""
    lines = [line for file in sorted(folder.glob(LISTS)) for line in _text(file).split("\n")]
    pairs = (line.strip().partition(" ") for line in lines)
    return {name: transcript.strip() for name, _, transcript in pairs}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (UnicodeDecodeError, OSError) as error:
        raise UserError(
            f"{path}: not readable as UTF-8 text ({error}), though it should be a transcript; "
            "save it as UTF-8."
        ) from error


def tell(done: dict[str, Timing], failed: dict[str, str], out: Path) -> None:
    """How much was aligned, what the model doubted most, and what failed; leaves with 1 if any."""
    if done:
        doubtful = sorted(done, key=lambda name: done[name].confidence)[:5]
        rows = [(name, f"{done[name].confidence:.3f}") for name in doubtful]
        print(table(rows, ("least certain: is this what was said?", "confidence")))
        n_words = sum(len(timing.words) for timing in done.values())
        seconds = sum(timing.duration_s for timing in done.values())
        size = f"{counted(n_words, 'word')} in {counted(len(done), 'recording')}"
        print(f"{size}, {seconds:,.1f} s: {out}{os.sep}")
    for reason in failed.values():
        print(f"left out: {reason}", file=sys.stderr)
    if failed:
        n = len(done) + len(failed)
        sys.exit(
            f"align: {len(failed):,} of {counted(n, 'recording')} could not be aligned (see above)."
        )


if __name__ == "__main__":
    main()
