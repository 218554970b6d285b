"""A second synthesiser, for the tests: a tone for each letter. Knows no model and no package."""

import numpy as np

from scripts.speaking.speakers import Speaker

RATE = 8000  # Hz
LETTER_S = 0.05


class ToneEngine:
    """Speaks letters as tones, a word as loud as its place in all that this process has said.

    So what it says depends on what it said before, as with eSpeak NG.
    """

    version = "tones 1"

    def __init__(self) -> None:
        self._n_spoken = 0

    def voices(self, part: str) -> list[str]:
        """Octaves."""
        return ["1", "2", "4"]

    def speak(self, text: str, speaker: Speaker) -> tuple[np.ndarray, int]:
        """(N,) float32 at RATE; other characters than a … z are not heard."""
        self._n_spoken += 1
        time_s = np.arange(round(LETTER_S * RATE / speaker.speed)) / RATE
        tones = [tone(time_s, hertz(letter, speaker)) for letter in text if "a" <= letter <= "z"]
        said = np.concatenate([np.zeros(0), *tones]) + 0.01 * self._n_spoken * bool(tones)
        return said.astype(np.float32), RATE


def hertz(letter: str, speaker: Speaker) -> float:
    """The frequency of a letter."""
    return int(speaker.voice) * (200 + 20 * (ord(letter) - ord("a")))


def tone(time_s: np.ndarray, frequency_hz: float) -> np.ndarray:
    """A sine."""
    return 0.3 * np.sin(2 * np.pi * frequency_hz * time_s)
