"""A corpus of tones in LibriSpeech's layout, so that anybody can measure without a download.

Speed depends on how long utterances and transcripts are, not on what is said: durations are
like LibriSpeech's (most of 12 to 16 s, a tail of short ones), transcripts have its 15
characters a second.
"""

from pathlib import Path

import numpy as np
import soundfile

RATE = 16_000  # Hz
CHARACTERS_A_SECOND = 15
PART = "tones"
PER_CHAPTER = 50  # utterances


def librispeech_durations(n: int, seed: int = 0) -> np.ndarray:
    """(n,) seconds: three quarters about 14.4, the rest anywhere between 1.5 and 12; mean 12.5."""
    rng = np.random.default_rng(seed)
    long = rng.normal(14.4, 1.2, n).clip(11.0, 17.0)
    return np.where(rng.random(n) < 0.75, long, rng.uniform(1.5, 12.0, n))


def write_tones(root: Path, durations_s: np.ndarray, seed: int = 0) -> Path:
    """Write root/tones/SPEAKER/CHAPTER/ID.flac with transcripts; returns `root`.

    Args:
        durations_s: (n,) seconds of each utterance.
    """
    rng = np.random.default_rng(seed)
    for start in range(0, len(durations_s), PER_CHAPTER):
        speaker = str(100 + start // PER_CHAPTER)
        folder = root / PART / speaker / "1"
        folder.mkdir(parents=True)
        lines = []
        for i, seconds in enumerate(durations_s[start : start + PER_CHAPTER]):
            name = f"{speaker}-1-{i:04}"
            lines.append(f"{name} {_transcript(rng, seconds)}\n")
            soundfile.write(folder / f"{name}.flac", _tone(rng, seconds), RATE)
        (folder / f"{speaker}-1.trans.txt").write_text("".join(lines))
    return root


def _tone(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """(N,) float32: one pitch that swells and fades."""
    time_s = np.arange(round(seconds * RATE)) / RATE
    swell = 0.2 + 0.1 * np.sin(2 * np.pi * 3 * time_s)
    return (swell * np.sin(2 * np.pi * rng.uniform(100, 400) * time_s)).astype(np.float32)


def _transcript(rng: np.random.Generator, seconds: float) -> str:
    """Capital letters in words of five."""
    letters = rng.choice(
        list("ABCDEFGHIJKLMNOPQRSTUVWXYZ"), max(1, int(seconds * CHARACTERS_A_SECOND * 5 / 6))
    )
    return " ".join("".join(letters[i : i + 5]) for i in range(0, len(letters), 5))
