"""Sounds whose answer is known, and augmentations of waveforms ready to change them."""

import math
from pathlib import Path

import soundfile
import torch
from torch import Tensor

from src.transforms import (
    BandPass,
    ColouredNoise,
    Gain,
    HighPass,
    LowPass,
    MuLaw,
    RecordedNoise,
    RecordedRoom,
    SimulatedRoom,
    Speed,
    Tempo,
    TimeShift,
    WaveformSteps,
)
from src.transforms.waveform.step import WaveformStep

RATE = 16_000
RECORDED = {"RecordedNoise": RecordedNoise, "RecordedRoom": RecordedRoom}
# Of each the keys with which it changes every utterance that it is given.
CHANGING = {
    BandPass: {}, ColouredNoise: {}, Gain: {"min_gain_db": 3.0}, HighPass: {}, LowPass: {},
    MuLaw: {}, SimulatedRoom: {}, TimeShift: {},
    Speed: {"min_factor": 1.1, "max_factor": 1.3, "n_factors": 2},
    Tempo: {"min_factor": 0.7, "max_factor": 0.9, "n_factors": 3},
}  # fmt: skip
STEPS = sorted([*RECORDED, *(made.__name__ for made in CHANGING)])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tone(hz: float, seconds: float = 1.0, amplitude: float = 0.25) -> Tensor:
    """(1, N) of a sine."""
    time_s = torch.arange(round(seconds * RATE)) / RATE
    return amplitude * torch.sin(2 * math.pi * hz * time_s)[None]


def noise(seconds: float = 1.0, seed: int = 0, level: float = 0.1) -> Tensor:
    """(N,) of white noise."""
    return level * torch.randn(round(seconds * RATE), generator=generator(seed))


def whole(waveforms: Tensor) -> Tensor:
    """Lengths (B,) of a batch without padding."""
    return torch.full((len(waveforms),), waveforms.shape[1])


def side_by_side(clips: list[Tensor], padding: float = 0.0, spare: int = 0) -> tuple:
    """Clips in one batch (B, N), the rest filled with `padding`, and their lengths."""
    batch = torch.full((len(clips), max(map(len, clips)) + spare), padding)
    for row, clip in zip(batch, clips, strict=True):
        row[: len(clip)] = clip
    return batch, torch.tensor([len(clip) for clip in clips])


def ready(step: WaveformStep, rate: int = RATE) -> WaveformSteps:
    """One step, as the trainer would have it."""
    steps = WaveformSteps(step=step)
    steps.prepare(rate)
    return steps


def named(name: str, folder: Path, probability: float = 1.0) -> WaveformSteps:
    """The step of that class; what it reads is written into `folder`."""
    if name in RECORDED:
        return ready(RECORDED[name](folder=str(recordings(folder)), probability=probability))
    made, keys = next((m, keys) for m, keys in CHANGING.items() if m.__name__ == name)
    return ready(made(probability=probability, **keys))


def recordings(folder: Path) -> Path:
    """Two short recordings, one of them below and of another rate."""
    (folder / "below").mkdir(parents=True, exist_ok=True)
    decaying = noise(0.3, seed=8) * torch.linspace(0, -9, round(0.3 * RATE)).exp()
    soundfile.write(folder / "a.wav", decaying.numpy(), RATE)
    soundfile.write(folder / "below" / "b.flac", decaying.flip(0).numpy(), 22_050)
    return folder


def level_db(waveforms: Tensor) -> float:
    """Mean square of all samples, in dB."""
    return 10 * math.log10(float(waveforms.double().square().mean()))


def loudest_hz(waveform: Tensor) -> float:
    """Frequency of the highest peak of the spectrum of (N,)."""
    spectrum = torch.fft.rfft(waveform * torch.hann_window(len(waveform)), n=2**18).abs()
    return float(spectrum.argmax()) * RATE / 2**18
