"""Tones in place of a corpus, with transcripts that any vocabulary of ours can write."""

from pathlib import Path

import numpy as np
import soundfile

from src.utils.errors import UserError

N_TONES = 64
WORDS_A_SECOND = 2.5  # as people speak
WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "go", "stop", "sí", "uno")


def write_tones(root: Path, seconds: float, rate: int, text) -> Path:
    """Tones with transcripts that the vocabulary can write, at the speed of speech.

    Raises:
        UserError: the vocabulary can write none of our words.
    """
    rng = np.random.default_rng(0)
    words = [word for word in WORDS if _is_writable(word, text)]
    if not words:
        raise UserError("--synthetic: the vocabulary writes none of our words; take a corpus.")
    root.mkdir(parents=True)
    time_s = np.arange(round(seconds * rate)) / rate
    for number in range(N_TONES):
        tone = 0.2 * np.sin(2 * np.pi * rng.uniform(100, 400) * time_s)
        soundfile.write(root / f"{number:02}.wav", tone, rate)
        said = rng.choice(words, max(1, round(WORDS_A_SECOND * seconds)))
        (root / f"{number:02}.txt").write_text(" ".join(said), encoding="utf-8")
    return root


def _is_writable(word: str, text) -> bool:
    try:
        return bool(text.encode(word))
    except UserError:
        return False
