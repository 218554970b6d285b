"""Recordings of each format, and what must hold of what is read from a damaged one.

What a format can tell of itself:

| format | checks | can't be told |
|---|---|---|
| WAV, AIFF | the length of the sound | other samples, another rate |
| FLAC | length, CRC of each frame, MD5 of all samples, rate in header and frames | – |
| Ogg (Vorbis, Opus) | CRC and number of each page, mark on the last one | – |
| MP3 | number of frames | other bytes within a frame; without an Info frame: a lost end |
| M4A | length | other bytes within a packet |
| WebM | length, where written | other bytes within a packet |
"""

import os
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import soundfile
import torchaudio.functional  # noqa: F401  imported once, by the server of the workers

from src import audio
from tests.fuzz.mutations import damaged
from tests.fuzz.pool import expect
from tests.recordings import RATE, TONE, encode, write

REAL = "test-clean/1320/122612/1320-122612-0000.flac"  # in the data pack
SECOND = slice(8 * RATE, 9 * RATE)


@dataclass(frozen=True)
class Audio:
    """One format. `exact`: what is accepted must be the original, sample for sample."""

    name: str
    suffix: str
    exact: bool = False
    sized: bool = True  # a lost end must be noticed
    subtypes: tuple[str, ...] = ("",)  # of libsndfile
    codec: str = ""  # of FFmpeg; "" where libsndfile writes it

    def prepare(self, originals: Path) -> None:
        samples = speech()
        for subtype in self.subtypes:
            path = originals / f"{subtype or self.name}{self.suffix}"
            if self.codec:
                encode(str(path), self.codec, samples)
            else:
                kind = {"format": "OGG"} if self.suffix == ".opus" else {}
                write(path, samples, subtype=subtype, **kind)
            np.save(path.with_suffix(".npy"), audio.read(path))

    def mutate(self, originals: Path, case: Path, random: np.random.Generator) -> None:
        paths = sorted(originals.glob(f"*{self.suffix}"))
        path = paths[random.integers(len(paths))]
        content, how = damaged(path.read_bytes(), random, [p.read_bytes() for p in paths])
        (case / path.name).write_bytes(content)
        (case / "how.txt").write_text(how)

    def check(self, originals: Path, case: Path) -> None:
        (path,) = case.glob(f"*{self.suffix}")
        original = originals / path.name
        seconds = audio.duration_s(path)
        expect(0 < seconds < 1e9, f"duration_s gives {seconds}")
        waveform = audio.read(path)
        plausible(waveform)
        truth = np.load(original.with_suffix(".npy"))
        if self.exact:
            expect(_same(waveform, truth), f"other samples than the original: {len(waveform)}")
        if self.sized:
            came = len(waveform) / RATE
            expect(seconds < came + 0.2, f"its header promises {seconds} s, {came} s were read")
            # A cut that leaves the file's head alone: everything that is read must be there.
            if (case / "how.txt").read_text() == "truncate" and len(waveform) < len(truth) - 1600:
                expect(False, f"a lost end went unnoticed: {len(waveform)} of {len(truth)}")


KINDS = [
    Audio("wav", ".wav", subtypes=("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")),
    Audio("aiff", ".aiff", subtypes=("PCM_16", "PCM_24", "FLOAT")),
    Audio("flac", ".flac", exact=True, subtypes=("PCM_S8", "PCM_16", "PCM_24")),
    Audio("ogg", ".ogg", exact=True, subtypes=("VORBIS",)),
    Audio("opus", ".opus", exact=True, subtypes=("OPUS",)),
    Audio("mp3", ".mp3", subtypes=("MPEG_LAYER_III",)),
    Audio("m4a", ".m4a", codec="aac"),
    Audio("webm", ".webm", codec="libopus"),
]


def speech() -> np.ndarray:
    """(16000,) float32: a second of real speech where the data pack is there, else a tone."""
    root = Path(os.environ.get("SPEECH_DATA", Path(__file__).parents[3] / "shared" / "data"))
    path = root / "LibriSpeech" / REAL
    if not path.is_file():
        return TONE[:RATE]
    return soundfile.read(path, dtype="float32")[0][SECOND]


def plausible(waveform: np.ndarray) -> None:
    """Refuse what no reader may return."""
    expect(waveform.dtype == np.float32 and waveform.ndim == 1, f"{waveform.dtype}")
    expect(len(waveform) > 0, "no samples")
    expect(bool(np.isfinite(waveform).all()), "samples that are not finite")
    expect(float(np.abs(waveform).max()) <= 1, "samples beyond ±1")


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and bool((a == b).all())


av.logging.set_level(None)
