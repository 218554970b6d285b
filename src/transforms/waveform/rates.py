"""Faster or slower, which makes an utterance shorter or longer."""

import math
from fractions import Fraction

import torch
from torch import Tensor
from torch.nn import functional
from torchaudio.functional import phase_vocoder, resample

from src.transforms.checks import check_range, check_whole
from src.transforms.waveform.step import WaveformStep, on_device, resized

# Of the phase vocoder: 32 ms and 8 ms at 16 kHz, which holds two periods of a low voice.
WINDOW_S, OVERLAP = 0.032, 4


class _Rate(WaveformStep):
    """Draws one of a few factors for each utterance; those with the same go through together."""

    def __init__(
        self, probability: float, min_factor: float, max_factor: float, n_factors: int
    ) -> None:
        super().__init__(probability)
        check_range("factor", min_factor, max_factor, 0.25, 4)
        check_whole("n_factors", n_factors, 1, 100)
        self.factors = evenly(min_factor, max_factor, n_factors)

    def change(self, waveforms: Tensor, lengths: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
        """As `WaveformStep.change`; (B,) of ⌈N / factor⌉ samples."""
        picked = (draws[:, 0] * len(self.factors)).long()
        of_factors = [self.lengths_at(factor, lengths) for factor in self.factors]
        new_lengths = torch.stack(of_factors).gather(0, picked[None])[0]
        n_samples = int(new_lengths.max())
        changed = waveforms.new_zeros(len(waveforms), n_samples)
        for i, factor in enumerate(self.factors):
            rows = (picked == i).nonzero().flatten()
            if len(rows):
                chosen = on_device(rows, waveforms)
                same = waveforms[chosen]
                same = same if factor == 1 else self.at(factor, same)
                changed = changed.index_copy(0, chosen, resized(same, n_samples))
        return changed, new_lengths

    @staticmethod
    def lengths_at(factor: Fraction, lengths: Tensor) -> Tensor:
        """Samples that are left of (B,) at a factor: ⌈N / factor⌉."""
        return -(-lengths * factor.denominator // factor.numerator)

    def at(self, factor: Fraction, waveforms: Tensor) -> Tensor:
        """(B, N) `factor` times as fast, of at least ⌈N / factor⌉ samples."""
        raise NotImplementedError


class Speed(_Rate):
    """Plays an utterance faster or slower, which moves its pitch too, by resampling.

    Ko et al. 2015 (Audio augmentation for speech recognition): 0.9, 1 and 1.1, each as likely.
    """

    def __init__(
        self,
        *,
        probability: float = 1.0,
        min_factor: float = 0.9,
        max_factor: float = 1.1,
        n_factors: int = 3,
    ) -> None:
        """
        Args:
            probability: share of the utterances for which a factor is drawn, which may be 1.
            min_factor, max_factor: slowest and fastest.
            n_factors: how many there are, evenly spaced, both limits among them.
        """
        super().__init__(probability, min_factor, max_factor, n_factors)

    def at(self, factor: Fraction, waveforms: Tensor) -> Tensor:
        """As `_Rate.at`."""
        return resample(waveforms, factor.numerator, factor.denominator)


class Tempo(_Rate):
    """Makes an utterance shorter or longer and keeps its pitch, by a phase vocoder."""

    def __init__(
        self,
        *,
        probability: float = 0.5,
        min_factor: float = 0.85,
        max_factor: float = 1.15,
        n_factors: int = 7,
    ) -> None:
        """
        Args:
            probability: share of the utterances for which a factor is drawn, which may be 1.
            min_factor, max_factor: slowest and fastest.
            n_factors: how many there are, evenly spaced, both limits among them.
        """
        super().__init__(probability, min_factor, max_factor, n_factors)

    def at(self, factor: Fraction, waveforms: Tensor) -> Tensor:
        """As `_Rate.at`."""
        hop = max(1, round(WINDOW_S * self.sample_rate / OVERLAP))
        n_fft = OVERLAP * hop
        window = torch.hann_window(n_fft, device=waveforms.device)
        # Frame 0 is centred on sample 0, and frames go on until they hear nothing but padding.
        padded = functional.pad(waveforms, (n_fft // 2, 2 * n_fft))
        spectra = torch.fft.rfft(padded.unfold(1, n_fft, hop) * window).mT  # (B, bins, frames)
        advance = torch.linspace(0, math.pi * hop, n_fft // 2 + 1, device=waveforms.device)
        spectra = locked(phase_vocoder(spectra, float(factor), advance[:, None]))
        frames = torch.fft.irfft(spectra, n=n_fft, dim=1) * window[:, None]
        weights = window.square()[None, :, None].expand(1, -1, frames.shape[2])
        middle = slice(n_fft // 2, None)
        return overlapped(frames, hop)[:, middle] / overlapped(weights, hop)[:, middle]


def locked(spectra: Tensor) -> Tensor:
    """Spectra (B, bins, frames) in which the bins around a partial agree on its phase.

    Loose phase locking (Puckette 1995, Phase-locked vocoder): each bin takes the phase of its sum
    with both neighbours, which a Hann window turns by half a period. Without it a tone that sets
    in between two frames may lose 5 dB.
    """
    around = functional.pad(spectra, (0, 0, 1, 1))
    together = spectra - around[:, :-2] - around[:, 2:]
    return together * (spectra.abs() / together.abs().clamp(min=1e-20))


def overlapped(frames: Tensor, hop: int) -> Tensor:
    """Frames (B, n_fft, T) added up at their distance to (B, N) samples.

    torch.istft would ask the device whether the windows leave a hole, and wait for the answer.
    """
    n_fft, n_frames = frames.shape[1:]
    size = (1, n_fft + hop * (n_frames - 1))
    return functional.fold(frames, size, kernel_size=(1, n_fft), stride=(1, hop))[:, 0, 0]


def evenly(low: float, high: float, n: int) -> list[Fraction]:
    """`n` factors from low to high, of small terms, for which resampling is cheap."""
    places = [i / (n - 1) for i in range(n)] if n > 1 else [0.5]
    return [Fraction(low + (high - low) * place).limit_denominator(100) for place in places]
