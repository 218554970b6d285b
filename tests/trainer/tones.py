"""Utterances that a small model learns in seconds: each letter is a tone of its own."""

import numpy as np
from torch.utils.data import Dataset

from src.batch import Utterance
from src.text import Characters

SAMPLE_RATE = 16_000
LETTERS = "abcd"
TONE_S = 0.12


def tone(letter: str) -> np.ndarray:
    """A letter as a sine between 400 and 1,600 Hz with silence after it."""
    times = np.arange(int(TONE_S * SAMPLE_RATE)) / SAMPLE_RATE
    frequency = 400 * (1 + LETTERS.index(letter))
    wave = 0.3 * np.sin(2 * np.pi * frequency * times) * np.hanning(len(times))
    return np.concatenate([wave, np.zeros(len(wave) // 2)])


class Tones(Dataset):
    """`n` utterances of 2 to 6 tones over faint noise; the same ones for the same seed."""

    def __init__(self, n: int = 24, seed: int = 0) -> None:
        self.text = Characters(symbols=LETTERS)
        rng = np.random.default_rng(seed)
        self.utterances = [self._speak(i, rng) for i in range(n)]
        self.ids = [u.id for u in self.utterances]
        self.durations_s = np.array([len(u.waveform) / SAMPLE_RATE for u in self.utterances])

    def _speak(self, i: int, rng: np.random.Generator) -> Utterance:
        letters = "".join(rng.choice(list(LETTERS), size=rng.integers(2, 7)))
        wave = np.concatenate([tone(letter) for letter in letters])
        wave = wave + rng.normal(0, 0.003, len(wave))
        return Utterance(
            id=f"tones-{i:03}",
            waveform=wave.astype(np.float32),
            transcript=letters,
            target=letters,
            tokens=self.text.encode(letters),
        )

    def __len__(self) -> int:
        return len(self.utterances)

    def __getitem__(self, i: int) -> Utterance:
        return self.utterances[i]
