"""Recordings that tests make."""

from pathlib import Path

import av
import numpy as np
import soundfile

RATE = 16_000


def _tone() -> np.ndarray:
    time = np.arange(2 * RATE) / RATE
    noise = np.random.default_rng(0).standard_normal(len(time))
    return (0.5 * np.sin(2 * np.pi * 440 * time) + 0.01 * noise).astype(np.float32)


def siren(seconds: float) -> np.ndarray:
    """A sound that changes all the time, so that untrained models read many tokens."""
    time = np.arange(round(seconds * RATE)) / RATE
    return (0.3 * np.sin(2 * np.pi * (200 + 900 * np.sin(2 * time)) * time)).astype(np.float32)


TONE = _tone()  # two seconds of 440 Hz and a little noise, well inside the full scale


def write(path: Path, samples: np.ndarray = TONE, rate: int = RATE, **format: str) -> Path:
    """Write samples (N,) or (N, C) with soundfile, in the format of the extension."""
    soundfile.write(path, samples, rate, **format)
    return path


def encode(target, codec: str, samples: np.ndarray, **options) -> None:
    """Encode (N,) float32 at 16 kHz with FFmpeg into a path or a writable object."""
    with av.open(target, "w", **options) as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.layout = "mono"
        layout = "flt" if codec == "libopus" else "fltp"
        for start in range(0, len(samples), 320):
            piece = np.ascontiguousarray(samples[None, start : start + 320])
            frame = av.AudioFrame.from_ndarray(piece, format=layout, layout="mono")
            frame.sample_rate, frame.pts = RATE, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
