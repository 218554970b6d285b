"""What a generated clip sounds like: a word spoken within a second, somewhere in noise."""

import numpy as np

from scripts.speaking.cast import Speaker
from src.utils.errors import UserError
from src.utils.espeak import FASTEST, Espeak

SAMPLE_RATE = 16_000  # Hz
CLIP_SAMPLES = 16_000  # one second, as in the official corpus


def make_clip(espeak: Espeak, word: str, speaker: Speaker, rng: np.random.Generator) -> np.ndarray:
    """(CLIP_SAMPLES,) int16: `word` by `speaker`, once."""
    speech = speak_within_a_second(espeak, word, speaker, rng)
    return to_int16(add_noise(place(speech, rng), rng), rng)


def speak_within_a_second(
    espeak: Espeak, word: str, speaker: Speaker, rng: np.random.Generator
) -> np.ndarray:
    """(N,) float64 at SAMPLE_RATE, N ≤ CLIP_SAMPLES: a long word is said faster, never cut.

    Raises:
        UserError: it does not fit even at the synthesiser's fastest.
    """
    said = word + rng.choice([".", "!", "?"])  # falling, lively, rising
    words_per_minute = int(speaker.words_per_minute * rng.uniform(0.9, 1.1))
    pitch = int(np.clip(speaker.pitch + rng.integers(-5, 6), 0, 100))
    while True:
        spoken = espeak.speak(
            said,
            accent=speaker.accent,
            variant=speaker.variant,
            words_per_minute=words_per_minute,
            pitch=pitch,
            pitch_range=speaker.pitch_range,
        )
        speech = resample(spoken / 2**15, espeak.sample_rate, SAMPLE_RATE)
        if len(speech) <= CLIP_SAMPLES:
            return speech
        if words_per_minute == FASTEST:
            raise UserError(
                f"{word!r}: the voice {speaker.variant} needs {len(speech) / SAMPLE_RATE:.1f} s "
                f"for it even at {FASTEST} words per minute, but a clip has one second. Leave "
                "the word or the voice out."
            )
        words_per_minute = min(FASTEST, int(words_per_minute * 1.25))


def resample(waveform: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Change the rate of (N,) samples by cutting the spectrum at the lower Nyquist frequency.

    In numpy, because each process would wait longer for torch than it speaks. Synthetic speech
    starts and ends in silence, so the transform's wrapping around its ends is not heard.
    """
    divisor = np.gcd(from_rate, to_rate)
    up, down = to_rate // divisor, from_rate // divisor
    n_periods = -(-len(waveform) // down)
    n_in, n_out = n_periods * down, n_periods * up
    spectrum = np.fft.rfft(waveform, n_in)
    return np.fft.irfft(spectrum[: n_out // 2 + 1], n_out) * (n_out / n_in)


def place(speech: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(CLIP_SAMPLES,) with the speech somewhere in it and silence around."""
    clip = np.zeros(CLIP_SAMPLES)
    start = rng.integers(CLIP_SAMPLES - len(speech) + 1)
    clip[start : start + len(speech)] = speech
    return clip


def add_noise(clip: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add white to brown noise, 10 to 40 dB below the clip's mean power."""
    snr_db, slope = rng.uniform(10, 40), rng.uniform(0, 2)  # power falls as 1 / frequency**slope
    spectrum = np.fft.rfft(rng.standard_normal(len(clip)))
    bins = np.maximum(np.arange(len(spectrum)), 20)  # level below 20 Hz, where it would explode
    noise = np.fft.irfft(spectrum * bins ** (-slope / 2), len(clip))
    return clip + noise * np.sqrt(np.mean(clip**2) / np.mean(noise**2) / 10 ** (snr_db / 10))


def to_int16(clip: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(N,) int16 with its peak 1 to 20 dB below full scale."""
    peak = (2**15 - 1) * 10 ** (rng.uniform(-20, -1) / 20)
    return np.round(clip * (peak / np.abs(clip).max())).astype(np.int16)
