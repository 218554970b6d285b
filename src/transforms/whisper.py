"""The front end that Whisper's encoders were trained with (Radford et al. 2022, section 2.2).

Centred windows, log-mel energies with Slaney's mel scale and area-normalised triangles, their range
cut to 8 decades below the utterance's maximum. The original pads every clip with zeros to 30 s;
here the zeros after an utterance go no further than its last window.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchaudio.functional import melscale_fbanks

from src.batch import padding_mask
from src.transforms.checks import check_whole
from src.transforms.framing import Framing, PowerSpectrum

SAMPLE_RATE = 16_000  # Hz
N_FFT, HOP = 400, 160  # samples
LEAST_ENERGY = 1e-10
DECADES = 8.0  # what is further below the maximum is as good as silence


class WhisperLogMel(nn.Module):
    """log10 of the energy in mel bands; frame t is centred on sample 160 · t."""

    def __init__(self, *, n_mels: int = 80) -> None:
        """
        Args:
            n_mels: bands; 80, or 128 for Whisper's large-v3.
        """
        super().__init__()
        check_whole("n_mels", n_mels, 1, 128)
        self.sample_rate = SAMPLE_RATE
        self.hop_s = HOP / SAMPLE_RATE
        self.n_features = n_mels
        self.power = PowerSpectrum(Framing(SAMPLE_RATE, 25.0, 10.0), N_FFT, "hann")
        bands = melscale_fbanks(
            self.power.n_bins, 0.0, SAMPLE_RATE / 2, n_mels, SAMPLE_RATE, "slaney", "slaney"
        )
        self.register_buffer("bands", bands, persistent=False)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Frames of waveforms of `lengths` samples, (B,) int64: ⌈N / 160⌉."""
        return (lengths + HOP - 1) // HOP

    def forward(self, waveforms: Tensor) -> Tensor:
        """Waveforms (B, N) to features (B, max(1, ⌈N / 160⌉), F)."""
        n_frames = max(1, -(-waveforms.shape[1] // HOP))
        half = N_FFT // 2
        # The beginning is mirrored, as centred Fourier transforms do; the end hears zeros.
        needed = max(half + 1, (n_frames - 1) * HOP + half)
        waveforms = functional.pad(waveforms, (0, max(0, needed - waveforms.shape[1])))
        mirrored = waveforms[:, 1 : half + 1].flip(1)
        power = self.power(torch.cat([mirrored, waveforms], dim=1))[:, :n_frames]
        return (power @ self.bands).clamp(min=LEAST_ENERGY).log10()

    @property
    def centres_hz(self) -> Tensor:
        """(F,) middles of the bands."""
        return self.power.centres_hz(self.bands)


class WhisperScaling(nn.Module):
    """(x + 4) / 4 of log10 energies, none below 8 decades under the utterance's maximum."""

    def prepare(self, n_features: int) -> None:
        """Nothing to prepare."""

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Features (B, T, F) and their lengths (B,) to about −1 … 1.5."""
        padding = padding_mask(lengths, features.shape[1], features.device)[:, :, None]
        loudest = features.masked_fill(padding, -torch.inf).amax((1, 2), keepdim=True)
        return (torch.maximum(features, loudest - DECADES) + 4.0) / 4.0
