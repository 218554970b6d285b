"""Who speaks a text: the voices of a synthesiser, each with habits of its own."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Speaker:
    """One voice and how it is used; engines take of it what they can."""

    id: int  # names the folder, as in LibriSpeech
    voice: str  # the engine's name for it
    pitch: int  # 0 … 100 around the voice's own
    pitch_range: int  # 0 (monotone) … 100 (lively)
    speed: float  # 1 = the voice's own
    peak_db: float  # of each utterance, below full scale


def cast(voices: Sequence[str], n_speakers: int, seed: int, first: int = 1) -> list[Speaker]:
    """Draw speakers; the same for the same arguments, and the first ones the same for any number.

    Voices take turns in an order that the seed decides, so that none is heard twice before all
    are heard once; all else is drawn for each speaker.

    Args:
        first: id of the first speaker.
    """
    order = np.random.default_rng([seed, 0]).permutation(len(voices))
    speakers = []
    for number in range(n_speakers):
        rng = np.random.default_rng([seed, 1, number])
        speakers.append(
            Speaker(
                id=first + number,
                voice=voices[order[number % len(voices)]],
                pitch=int(rng.integers(25, 76)),
                pitch_range=int(rng.integers(20, 81)),
                speed=round(float(rng.uniform(0.75, 1.25)), 3),
                peak_db=round(float(rng.uniform(-15, -1)), 1),
            )
        )
    return speakers
