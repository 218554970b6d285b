"""Whisper's front end, beside the same written out in numpy on a clip padded to 30 seconds."""

import numpy as np
import pytest
import torch

from tests.transforms.chosen import front_end

N_MELS, N_FFT, HOP, RATE = 80, 400, 160, 16_000


def slaney_hz(mel: np.ndarray) -> np.ndarray:
    """Linear below 1,000 Hz = 15 mel, then 27 mel to the factor 6.4."""
    return np.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((mel - 15) / 27))


def slaney_bands() -> np.ndarray:
    """(80, 201) triangles of area 1 over Hz, from 0 to 8,000."""
    top = 15 + 27 * np.log(8) / np.log(6.4)
    corners = slaney_hz(np.linspace(0, top, N_MELS + 2))
    hz = np.arange(N_FFT // 2 + 1) * RATE / N_FFT
    bands = []
    for low, middle, high in zip(corners, corners[1:], corners[2:], strict=False):
        triangle = np.minimum((hz - low) / (middle - low), (high - hz) / (high - middle))
        bands.append(np.maximum(0, triangle) * 2 / (high - low))
    return np.array(bands)


def by_hand(waveform: np.ndarray) -> np.ndarray:
    """(T, 80) of the frames that begin within `waveform`, which hears silence until 30 s."""
    clip = np.zeros(30 * RATE)
    clip[: len(waveform)] = waveform
    clip = np.pad(clip, N_FFT // 2, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)
    frames = [clip[t * HOP : t * HOP + N_FFT] * window for t in range(30 * RATE // HOP)]
    power = np.abs(np.fft.rfft(frames)) ** 2
    logs = np.log10(np.maximum(power @ slaney_bands().T, 1e-10))
    logs = (np.maximum(logs, logs.max() - 8) + 4) / 4
    return logs[: -(-len(waveform) // HOP)]


@pytest.mark.parametrize("n_samples", [16_000, 12_345, 401, 160, 30])
def test_features_are_those_of_the_original(n_samples):
    waveform = 0.1 * np.random.default_rng(n_samples).standard_normal(n_samples)
    waveform *= np.sin(np.arange(n_samples) / 3_000)  # louder and quieter
    batch = torch.from_numpy(waveform)[None].float()
    features, lengths = front_end("whisper")(batch, torch.tensor([n_samples]))
    expected = by_hand(waveform.astype(np.float32))
    assert lengths.tolist() == [len(expected)]
    np.testing.assert_allclose(features[0].numpy(), expected, atol=2e-4)


def test_what_is_eight_decades_below_the_loudest_is_silence():
    tone = torch.sin(torch.arange(16_000) * 2 * torch.pi * 1_000 / RATE)
    tone[8_000:] = 0
    features, _ = front_end("whisper")(tone[None], torch.tensor([16_000]))
    assert float(features.amax() - features.amin()) == pytest.approx(8 / 4, abs=1e-5)
