"""Synthesisers behind one command. Another one is a class like these, and a line in ENGINES."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from scripts.speaking.cast import ACCENTS, TEST_ONLY_ACCENT, VARIANTS
from scripts.speaking.speakers import Speaker
from src.utils.errors import UserError
from src.utils.espeak import FASTEST, SLOWEST, Espeak

WORDS_PER_MINUTE = 165  # of eSpeak at speed 1
PARTS = ("all", *VARIANTS)


class Engine(Protocol):
    """What a synthesiser must offer. It is opened in each speaking process anew."""

    version: str  # names all that decides the samples beside text and speaker

    def voices(self, part: str) -> Sequence[str]:
        """Names for `Speaker.voice`: "all", or those of a part that share none with the others."""

    def speak(self, text: str, speaker: Speaker) -> tuple[np.ndarray, int]:
        """(N,) float32 or int16 of any level, and its rate in Hz."""


class EspeakEngine:
    """eSpeak NG: accents × variants × pitch × speed; comes with the requirements."""

    def __init__(self, model: Path | None) -> None:
        if model is not None:
            raise UserError("--model: eSpeak NG has its voices with it; leave it out.")
        self._espeak = Espeak()

    @property
    def version(self) -> str:
        """Such as "espeak 1.52.0"."""
        return f"espeak {self._espeak.version}"

    def voices(self, part: str) -> list[str]:
        """`ACCENT+VARIANT`; the parts are those of `scripts.generate_commands`."""
        chosen = VARIANTS if part == "all" else {part: VARIANTS[part]}
        accents = (*ACCENTS, TEST_ONLY_ACCENT) if part in ("all", "test") else ACCENTS
        return [f"{a}+{v}" for variants in chosen.values() for v in variants for a in accents]

    def speak(self, text: str, speaker: Speaker) -> tuple[np.ndarray, int]:
        """As `Engine.speak`."""
        accent, _, variant = speaker.voice.partition("+")
        samples = self._espeak.speak(
            text,
            accent=accent,
            variant=variant,
            words_per_minute=int(np.clip(WORDS_PER_MINUTE * speaker.speed, SLOWEST, FASTEST)),
            pitch=speaker.pitch,
            pitch_range=speaker.pitch_range,
        )
        return samples, self._espeak.sample_rate


class PiperEngine:
    """Piper: neural voices, one or many in a model file VOICE.onnx beside VOICE.onnx.json.

    Without its random numbers, whose generator can't be seeded, so that the same seed gives the
    same samples. Takes the speaker's voice and speed.
    """

    def __init__(self, model: Path | None) -> None:
        path = _model_file(model, "piper", "VOICE.onnx with VOICE.onnx.json beside it", ".onnx")
        _model_file(Path(f"{path}.json"), "piper", "the description of the voice", ".json")
        try:
            from piper import PiperVoice, SynthesisConfig
        except ImportError as error:
            raise _not_installed("piper", "piper-tts") from error
        self._config = SynthesisConfig
        self._voice = PiperVoice.load(path)
        self.version = f"piper {path.name}"

    def voices(self, part: str) -> list[str]:
        """Numbers of the model's speakers."""
        _only_all(part, "piper")
        return [str(number) for number in range(self._voice.config.num_speakers)]

    def speak(self, text: str, speaker: Speaker) -> tuple[np.ndarray, int]:
        """As `Engine.speak`."""
        many = self._voice.config.num_speakers > 1
        config = self._config(
            speaker_id=int(speaker.voice) if many else None,
            length_scale=1 / speaker.speed,
            noise_scale=0.0,
            noise_w_scale=0.0,
        )
        pieces = [chunk.audio_float_array for chunk in self._voice.synthesize(text, config)]
        samples = np.concatenate([np.zeros(0, np.float32), *pieces])
        return samples, self._voice.config.sample_rate


class KokoroEngine:
    """Kokoro-82M through kokoro-onnx: a folder with one .onnx file and one voices file (.bin).

    Takes the speaker's voice and speed.
    """

    def __init__(self, model: Path | None) -> None:
        path = _model_file(model, "kokoro", "a folder with MODEL.onnx and VOICES.bin", "")
        files = [sorted(path.glob(pattern)) for pattern in ("*.onnx", "*.bin")]
        if [len(found) for found in files] != [1, 1]:
            raise UserError(f"--model {path}: expected one file *.onnx and one *.bin in it.")
        try:
            from kokoro_onnx import Kokoro
        except ImportError as error:
            raise _not_installed("kokoro", "kokoro-onnx") from error
        self._kokoro = Kokoro(*(str(found[0]) for found in files))
        self.version = f"kokoro {files[0][0].name} {files[1][0].name}"

    @cached_property
    def _names(self) -> list[str]:
        # The first letter is the language: American and British English.
        return [name for name in self._kokoro.get_voices() if name[0] in "ab"]

    def voices(self, part: str) -> list[str]:
        """English voices, such as af_heart."""
        _only_all(part, "kokoro")
        return self._names

    def speak(self, text: str, speaker: Speaker) -> tuple[np.ndarray, int]:
        """As `Engine.speak`."""
        language = {"a": "en-us", "b": "en-gb"}[speaker.voice[0]]
        return self._kokoro.create(text, speaker.voice, speaker.speed, language)


ENGINES = {"espeak": EspeakEngine, "piper": PiperEngine, "kokoro": KokoroEngine}


def _model_file(model: Path | None, engine: str, expected: str, suffix: str) -> Path:
    if model is None:
        raise UserError(f"--engine {engine}: needs --model, {expected}.")
    if not model.exists() or (suffix and model.suffix != suffix):
        there = "no such file" if not model.exists() else "another kind of file"
        raise UserError(f"{model}: {there}; --engine {engine} needs {expected}.")
    return model


def _not_installed(engine: str, package: str) -> UserError:
    return UserError(f"--engine {engine}: is not installed; pip install {package}")


def _only_all(part: str, engine: str) -> None:
    if part != "all":
        raise UserError(
            f"--voices {part}: nobody has divided the voices of {engine} into parts; choose all."
        )
