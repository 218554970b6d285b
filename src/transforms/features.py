"""Waveforms (B, N) → features (B, T, F): spectrogram, log-mel energies, cepstra, raw frames.

Each class has `sample_rate`, `hop_s`, `n_features` and `output_lengths`. None of them knows
of padding: a frame depends on its own samples only, and the front end clears what is past
an utterance's end.
"""

import warnings

from torch import Tensor, nn
from torchaudio.functional import create_dct, melscale_fbanks

from src.transforms.checks import check_number, check_whole
from src.transforms.framing import Framing, PowerSpectrum
from src.utils.errors import UserError


class _Features(nn.Module):
    """What all features know about time."""

    n_features: int

    def __init__(self, framing: Framing) -> None:
        super().__init__()
        self.sample_rate = framing.sample_rate
        self.hop_s = framing.hop_s
        self.output_lengths = framing.output_lengths


class Spectrogram(_Features):
    """Natural log of the power spectrum; n_fft / 2 + 1 features a frame."""

    def __init__(
        self,
        *,
        sample_rate: int = 16_000,
        window_ms: float = 25.0,
        hop_ms: float = 10.0,
        n_fft: int = 400,
        window: str = "hann",
        log_floor: float = 1e-8,
    ) -> None:
        framing = Framing(sample_rate, window_ms, hop_ms)
        super().__init__(framing)
        check_number("log_floor", log_floor, 1e-20, 1)
        self.power = PowerSpectrum(framing, n_fft, window)
        self.n_features = self.power.n_bins
        self.log_floor = log_floor

    def forward(self, waveforms: Tensor) -> Tensor:
        """Waveforms (B, N) to features (B, T, F)."""
        return self.power(waveforms).add(self.log_floor).log()

    @property
    def centres_hz(self) -> Tensor:
        """(F,) frequencies of the bins."""
        return self.power.bins_hz()


class LogMel(_Features):
    """Natural log of the energy in triangular bands, equally wide on the mel scale.

    mel = 2595 · log10(1 + f / 700), triangles of height 1 (the HTK book's filterbank).
    `log_floor` is added before the logarithm: at 1e-7, about the energy that the rounding of
    16-bit samples leaves in a band, digital silence looks like a quiet room.
    """

    def __init__(
        self,
        *,
        sample_rate: int = 16_000,
        n_mels: int = 80,
        window_ms: float = 25.0,
        hop_ms: float = 10.0,
        n_fft: int = 512,
        window: str = "hann",
        low_hz: float = 0.0,
        high_hz: float | None = None,
        log_floor: float = 1e-7,
    ) -> None:
        framing = Framing(sample_rate, window_ms, hop_ms)
        super().__init__(framing)
        check_number("log_floor", log_floor, 1e-20, 1)
        self.power = PowerSpectrum(framing, n_fft, window)
        bands = _mel_bands(self.power.n_bins, n_mels, sample_rate, low_hz, high_hz)
        self.register_buffer("bands", bands, persistent=False)
        self.n_features = n_mels
        self.log_floor = log_floor

    def forward(self, waveforms: Tensor) -> Tensor:
        """Waveforms (B, N) to features (B, T, F)."""
        return (self.power(waveforms) @ self.bands).add(self.log_floor).log()

    @property
    def centres_hz(self) -> Tensor:
        """(F,) middles of the bands."""
        return self.power.centres_hz(self.bands)


class MFCC(_Features):
    """Mel-frequency cepstral coefficients: the orthonormal DCT-II of log-mel energies.

    Davis & Mermelstein 1980. Coefficient 0, the log energy, is kept; no liftering, which the
    normalisation of each coefficient would undo.
    """

    def __init__(
        self,
        *,
        sample_rate: int = 16_000,
        n_cepstra: int = 13,
        n_mels: int = 40,
        window_ms: float = 25.0,
        hop_ms: float = 10.0,
        n_fft: int = 512,
        window: str = "hamming",
        low_hz: float = 20.0,
        high_hz: float | None = None,
        log_floor: float = 1e-7,
    ) -> None:
        log_mel = LogMel(
            sample_rate=sample_rate,
            n_mels=n_mels,
            window_ms=window_ms,
            hop_ms=hop_ms,
            n_fft=n_fft,
            window=window,
            low_hz=low_hz,
            high_hz=high_hz,
            log_floor=log_floor,
        )
        check_whole("n_cepstra", n_cepstra, 1, n_mels)
        super().__init__(log_mel.power.framing)
        self.log_mel = log_mel
        dct = create_dct(n_cepstra, n_mels, norm="ortho")  # (n_mels, n_cepstra)
        self.register_buffer("dct", dct, persistent=False)
        self.n_features = n_cepstra

    def forward(self, waveforms: Tensor) -> Tensor:
        """Waveforms (B, N) to features (B, T, F)."""
        return self.log_mel(waveforms) @ self.dct


class RawFrames(_Features):
    """The waveform itself, cut into frames of one hop that do not overlap."""

    def __init__(self, *, sample_rate: int = 16_000, hop_ms: float = 10.0) -> None:
        framing = Framing(sample_rate, window_ms=hop_ms, hop_ms=hop_ms)
        super().__init__(framing)
        self.framing = framing
        self.n_features = framing.hop_length

    def forward(self, waveforms: Tensor) -> Tensor:
        """Waveforms (B, N) to features (B, T, F)."""
        return self.framing(waveforms)


def _mel_bands(
    n_bins: int, n_mels: int, sample_rate: int, low_hz: float, high_hz: float | None
) -> Tensor:
    """Weights (n_bins, n_mels) of each DFT bin in each band."""
    nyquist = sample_rate / 2
    high_hz = nyquist if high_hz is None else high_hz
    check_whole("n_mels", n_mels, 1, 1024)
    check_number("high_hz", high_hz, 1, nyquist)
    if not 0 <= low_hz < high_hz:
        raise UserError(f"low_hz={low_hz}: expected 0 or more and less than high_hz={high_hz:g}.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # empty bands are refused below, with a remedy
        bands = melscale_fbanks(n_bins, low_hz, high_hz, n_mels, sample_rate)
    empty = int((bands.sum(0) == 0).sum())
    if empty:
        raise UserError(
            f"n_mels={n_mels}: {empty} bands are narrower than the distance of two DFT bins and "
            f"would hear nothing at n_fft={2 * (n_bins - 1)}; double n_fft or lower n_mels."
        )
    return bands
