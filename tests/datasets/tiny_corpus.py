"""A corpus in LibriSpeech's layout, small enough to be written by each test."""

from pathlib import Path

import numpy as np
import soundfile

RATE = 16_000  # Hz


def tone(seconds: float, hertz: float = 440.0) -> np.ndarray:
    """(N,) float32."""
    time_s = np.arange(round(seconds * RATE)) / RATE
    return (0.1 * np.sin(2 * np.pi * hertz * time_s)).astype(np.float32)


def write_chapter(
    part: Path, speaker: str, utterances: dict[str, float], suffix: str = ".flac"
) -> list[str]:
    """Chapter 1 of a speaker: transcript → seconds. Returns the ids, in order."""
    folder = part / speaker / "1"
    folder.mkdir(parents=True)
    ids, lines = [], []
    for i, (transcript, seconds) in enumerate(utterances.items()):
        ids.append(f"{speaker}-1-{i:04}")
        lines.append(f"{ids[-1]} {transcript}\n")
        soundfile.write(folder / f"{ids[-1]}{suffix}", tone(seconds, 200 + 10 * i), RATE)
    (folder / f"{speaker}-1.trans.txt").write_text("".join(lines))
    return ids
