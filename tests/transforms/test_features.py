"""Features against a DFT by hand, textbook formulas and torchaudio's Kaldi port."""

import math

import numpy as np
import pytest
import torch
from torchaudio.compliance import kaldi

from src.transforms import MFCC, LogMel, RawFrames, Spectrogram
from src.transforms.features import _Features
from src.utils.errors import UserError

RATE = 16_000


@pytest.fixture(scope="module")
def waveform() -> torch.Tensor:
    """(1, 3000): two tones and noise."""
    time = torch.arange(3_000) / RATE
    noise = torch.randn(3_000, generator=torch.Generator().manual_seed(0))
    tones = torch.sin(2 * math.pi * 300 * time) + 0.3 * torch.sin(2 * math.pi * 2_500 * time)
    return (0.2 * tones + 0.01 * noise)[None]


def power_by_hand(waveform: np.ndarray, window: np.ndarray, hop: int, n_fft: int) -> np.ndarray:
    """|Σ x[n] w[n] exp(−2πi k n / n_fft)|², (T, n_fft / 2 + 1), by the definition in float64."""
    n = np.arange(len(window))
    k = np.arange(n_fft // 2 + 1)
    basis = np.exp(-2j * np.pi * np.outer(n, k) / n_fft)
    starts = range(0, len(waveform) - len(window) + 1, hop)
    frames = np.stack([waveform[s : s + len(window)] * window for s in starts])
    return np.abs(frames @ basis) ** 2


def hz_to_mel(hz):
    return 2595 * np.log10(1 + np.asarray(hz) / 700)


def bands_by_hand(n_fft: int, n_mels: int, low_hz: float, high_hz: float) -> np.ndarray:
    """Triangles on the frequency axis between corners equally far on the mel scale."""
    mels = np.linspace(hz_to_mel(low_hz), hz_to_mel(high_hz), n_mels + 2)
    corners = 700 * (10 ** (mels / 2595) - 1)
    hz = np.arange(n_fft // 2 + 1) * RATE / n_fft
    bands = np.zeros((len(hz), n_mels))
    for m in range(n_mels):
        left, middle, right = corners[m : m + 3]
        for i, f in enumerate(hz):
            bands[i, m] = max(0, min((f - left) / (middle - left), (right - f) / (right - middle)))
    return bands


WINDOWS = {
    "rectangular": lambda n, length: 1.0 + 0 * n,
    "hann": lambda n, length: 0.5 - 0.5 * np.cos(2 * np.pi * n / length),
    "hamming": lambda n, length: 0.54 - 0.46 * np.cos(2 * np.pi * n / length),
}


@pytest.mark.parametrize("window", WINDOWS)
def test_the_spectrogram_is_a_dft_by_hand(waveform, window):
    samples = waveform[0].double().numpy()
    shape = WINDOWS[window](np.arange(400), 400)
    wanted = np.log(power_by_hand(samples, shape, 160, 512) + 1e-8)
    found = Spectrogram(n_fft=512, window=window)(waveform)[0]
    np.testing.assert_allclose(found, wanted, atol=5e-3)


def test_the_log_mel_energies_are_triangles_over_a_dft_by_hand(waveform):
    samples = waveform[0].double().numpy()
    power = power_by_hand(samples, np.ones(320), 160, 512)
    wanted = np.log(power @ bands_by_hand(512, 70, 0, 8_000) + 1e-7)
    features = LogMel(n_mels=70, window_ms=20, n_fft=512, window="rectangular")
    np.testing.assert_allclose(features(waveform)[0], wanted, atol=1e-3)


def test_log_mel_energies_agree_with_kaldi(waveform):
    # Kaldi's triangles are straight on the mel axis, ours on the frequency axis, so its bands
    # stand in for ours; frames, window and spectrum are what is compared.
    bands, _ = kaldi.get_mel_banks(40, 512, float(RATE), 20.0, 0.0, 100.0, -500.0, 1.0)
    wanted = kaldi.fbank(
        waveform,
        num_mel_bins=40,
        window_type="rectangular",
        preemphasis_coefficient=0.0,
        remove_dc_offset=False,
        dither=0.0,
    )
    features = LogMel(n_mels=40, window="rectangular", low_hz=20, log_floor=1e-20)
    features.bands = torch.nn.functional.pad(bands, (0, 1)).T
    torch.testing.assert_close(features(waveform)[0], wanted, rtol=0, atol=1e-3)


def test_cepstra_are_the_cosine_transform_of_log_mel_energies(waveform):
    log_mel = LogMel(n_mels=40, window="hamming", low_hz=20)(waveform)[0].double().numpy()
    k, m = np.meshgrid(np.arange(13), np.arange(40), indexing="ij")
    basis = np.sqrt(2 / 40) * np.cos(np.pi * k * (m + 0.5) / 40)
    basis[0] /= np.sqrt(2)
    found = MFCC(n_cepstra=13)(waveform)[0]
    np.testing.assert_allclose(found, log_mel @ basis.T, atol=1e-3)


def test_raw_frames_are_the_waveform_in_order(waveform):
    frames = RawFrames()(waveform)
    assert frames.shape == (1, 18, 160)
    assert torch.equal(frames.flatten(), waveform.flatten()[: 18 * 160])


@pytest.mark.parametrize(
    ("features", "n_features"),
    [
        (Spectrogram(), 201),
        (LogMel(n_mels=70, window_ms=20), 70),
        (MFCC(n_cepstra=20), 20),
        (RawFrames(sample_rate=8_000), 80),
    ],
)
def test_features_know_their_number(features, n_features):
    assert features.n_features == n_features
    assert features(torch.zeros(1, 1_000)).shape[2] == n_features


def test_frames_are_counted_as_they_are_cut():
    features: _Features = Spectrogram(window_ms=25, hop_ms=10)
    for n in (1, 399, 400, 559, 560, 561, 5_000):
        assert features(torch.zeros(1, n)).shape[1] == features.output_lengths(torch.tensor(n))
    lengths = features.output_lengths(torch.tensor([0, 1, 399, 400, 559, 560, 720]))
    assert lengths.tolist() == [0, 1, 1, 1, 1, 2, 3]


def test_a_tone_is_loudest_in_its_own_band():
    time = torch.arange(RATE) / RATE
    for hz in (200, 1_000, 4_000):
        tone = 0.5 * torch.sin(2 * math.pi * hz * time)[None]
        loudest = int(LogMel(n_mels=40)(tone)[0].mean(0).argmax())
        centre = (loudest + 1) * hz_to_mel(8_000) / 41
        assert abs(hz_to_mel(hz) - centre) < hz_to_mel(8_000) / 41


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LogMel(window="kaiser"), "window=kaiser: expected one of hann, hamming, rect"),
        (lambda: LogMel(n_fft=256), "n_fft=256: shorter than a window of 400 samples; raise"),
        (lambda: LogMel(n_fft=0), "n_fft=0: expected a whole number from 2"),
        (lambda: LogMel(n_mels=0), "n_mels=0: expected a whole number from 1 to 1024"),
        (lambda: LogMel(n_mels=128, n_fft=400), "n_mels=128: .* double n_fft or lower n_mels"),
        (lambda: LogMel(high_hz=9_000), "high_hz=9000: expected a number from 1 to 8000"),
        (lambda: LogMel(low_hz=500, high_hz=400), "low_hz=500: expected .* less than high_hz=400"),
        (lambda: LogMel(log_floor=0), "log_floor=0: expected a number from 1e-20 to 1"),
        (lambda: Spectrogram(log_floor="x"), "log_floor=x: expected a number"),
        (lambda: MFCC(n_cepstra=41), "n_cepstra=41: expected a whole number from 1 to 40"),
        (lambda: RawFrames(hop_ms=0), "hop_ms=0: expected a number from 1 to 1000"),
        (lambda: Spectrogram(window_ms=-5), "window_ms=-5: expected a number from 1 to 1000"),
        (lambda: RawFrames(sample_rate=16), "sample_rate=16: expected a whole number from 1000"),
    ],
)
def test_numbers_nothing_can_be_built_from_are_refused(make, message):
    with pytest.raises(UserError, match=message):
        make()
