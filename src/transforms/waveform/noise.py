"""Noise at a signal-to-noise ratio (SNR)."""

import functools

import torch
from torch import Tensor

from src.batch import padding_mask, to_float
from src.transforms.checks import check_number, check_range
from src.transforms.waveform.recordings import read_folder
from src.transforms.waveform.step import WaveformStep, decibels, on_device, relative_level, uniform
from src.utils.errors import UserError

N_STORED = 2**20  # samples of each colour: 65 s at 16 kHz
# Power falls with frequency as f to the power of −exponent: −3 dB an octave is 1.
EXPONENTS = {"white": 0, "pink": 1, "brown": 2}


class _Noise(WaveformStep):
    """Adds a stretch of stored noise, so loud that the SNR is the one that was drawn.

    Speech and noise are measured over the utterance's own samples. Silence stays silence, and
    silent noise adds nothing.
    """

    def __init__(self, probability: float, min_snr_db: float, max_snr_db: float) -> None:
        super().__init__(probability)
        check_range("snr_db", min_snr_db, max_snr_db, -50, 100)
        self.limits = min_snr_db, max_snr_db

    def change(self, waveforms: Tensor, lengths: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
        """As `WaveformStep.change`; the first draw decides about the SNR."""
        noise = self.noise(waveforms, draws[:, 1:])
        padding = padding_mask(lengths, waveforms.shape[1], waveforms.device)
        noise = noise.masked_fill(padding, 0)
        softer = on_device(decibels(-uniform(draws[:, :1], *self.limits)), waveforms)
        # torchaudio.functional.add_noise is the same, but makes NaN of digital silence.
        return waveforms + noise * softer * relative_level(waveforms, noise), lengths

    def noise(self, like: Tensor, draws: Tensor) -> Tensor:
        """(B, N) of any level, as `like`."""
        raise NotImplementedError


class ColouredNoise(_Noise):
    """White, pink or brown noise: even, falling by 3 dB or by 6 dB an octave.

    Stretches of noise that was made once, from random places of it. A long row of random numbers
    for each step would cost more, and depend on the padding.
    """

    n_draws = 3

    def __init__(
        self,
        *,
        probability: float = 0.5,
        min_snr_db: float = 5.0,
        max_snr_db: float = 30.0,
        white: float = 1.0,
        pink: float = 1.0,
        brown: float = 1.0,
    ) -> None:
        """
        Args:
            probability: share of the utterances that are changed.
            min_snr_db, max_snr_db: limits of the SNR; 0 = as loud as the speech.
            white, pink, brown: how often each, relative to the others; 0 = never.
        """
        super().__init__(probability, min_snr_db, max_snr_db)
        shares = {"white": white, "pink": pink, "brown": brown}
        for name, share in shares.items():
            check_number(name, share, 0, 1_000)
        if not sum(shares.values()):
            raise UserError("white, pink and brown are all 0; expected one above 0.")
        shares = torch.tensor(list(shares.values()), dtype=torch.float64)
        self.up_to = (shares / shares.sum()).cumsum(0)
        self.register_buffer("stored", stored_noise().flatten(), persistent=False)

    def noise(self, like: Tensor, draws: Tensor) -> Tensor:
        """As `_Noise.noise`."""
        colour = torch.searchsorted(self.up_to, draws[:, 0].contiguous(), right=True)
        colour = colour.clamp(max=len(EXPONENTS) - 1)
        starts, sizes = colour * N_STORED, torch.full_like(colour, N_STORED)
        return stretches(self.stored, starts, sizes, draws[:, 1], like.shape[1])


class RecordedNoise(_Noise):
    """Noise from a folder of recordings: each as likely, from a random place, repeated at need."""

    n_draws = 3

    def __init__(
        self,
        *,
        folder: str | None,
        probability: float = 0.5,
        min_snr_db: float = 0.0,
        max_snr_db: float = 25.0,
        max_hours: float = 5.0,
    ) -> None:
        """
        Args:
            folder: searched with its subfolders; null = this step does nothing.
            probability: share of the utterances that are changed.
            min_snr_db, max_snr_db: limits of the SNR; 0 = as loud as the speech.
            max_hours: a folder with more is refused; an hour takes 115 MB at 16 kHz.
        """
        super().__init__(probability if folder is not None else 0, min_snr_db, max_snr_db)
        check_number("probability", probability, 0, 1)
        check_number("max_hours", max_hours, 0, 1_000)
        self.folder = folder
        self.max_hours = max_hours
        self.register_buffer("stored", torch.zeros(0, dtype=torch.int16), persistent=False)

    def prepare(self, sample_rate: int) -> None:
        """Reads the recordings; raises UserError where there are none, or one is unreadable."""
        super().prepare(sample_rate)
        if self.folder is None or not self.probability:
            return
        recordings = read_folder(self.folder, sample_rate, self.max_hours)
        self.sizes = torch.tensor([len(recording) for recording in recordings])
        self.starts = self.sizes.cumsum(0) - self.sizes
        self.stored = torch.cat(recordings).to(self.stored.device)

    def noise(self, like: Tensor, draws: Tensor) -> Tensor:
        """As `_Noise.noise`."""
        recording = (draws[:, 0] * len(self.sizes)).long()
        starts, sizes = self.starts[recording], self.sizes[recording]
        return to_float(stretches(self.stored, starts, sizes, draws[:, 1], like.shape[1]))


def stretches(
    stored: Tensor, starts: Tensor, sizes: Tensor, draws: Tensor, n_samples: int
) -> Tensor:
    """(B, n_samples) of what is stored, going round within each row's part of it.

    Args:
        stored: (M,) on the device.
        starts, sizes: (B,) on the CPU; row b reads stored[start : start + size].
        draws: (B,) in [0, 1), where in its part each row begins.
    """
    first = on_device((draws * sizes).long(), stored)[:, None]
    starts, sizes = on_device(starts, stored)[:, None], on_device(sizes, stored)[:, None]
    position = torch.arange(n_samples, device=stored.device)
    return stored[starts + (first + position) % sizes]


@functools.cache
def stored_noise() -> Tensor:
    """White, pink and brown noise, (3, N_STORED) float32, the same each time, without a seam.

    Not to be written into: it is made once and shared.
    """
    generator = torch.Generator().manual_seed(0)
    spectrum = torch.fft.rfft(torch.randn(N_STORED, generator=generator))
    bins = torch.arange(len(spectrum)).clamp(min=1)  # 0 Hz as the bin above it
    coloured = [
        torch.fft.irfft(spectrum * bins.float() ** (-exponent / 2), n=N_STORED)
        for exponent in EXPONENTS.values()
    ]
    return torch.stack([noise / noise.std() for noise in coloured])
