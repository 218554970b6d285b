"""Waveform → frames. Frames are not centred: frame t begins at sample t · hop."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from src.transforms.checks import check_number, check_whole
from src.utils.errors import UserError

# Periodic windows, as FFT-based analysis wants them.
WINDOWS = {
    "hann": torch.hann_window,
    "hamming": torch.hamming_window,
    "rectangular": torch.ones,
}


class Framing(nn.Module):
    """Cuts waveforms into windows of equal length at equal distance."""

    def __init__(self, sample_rate: int, window_ms: float, hop_ms: float) -> None:
        super().__init__()
        check_whole("sample_rate", sample_rate, 1_000, 384_000)
        check_number("hop_ms", hop_ms, 1, 1_000)
        check_number("window_ms", window_ms, 1, 1_000)
        self.sample_rate = sample_rate
        self.window_length = round(window_ms * sample_rate / 1000)  # samples
        self.hop_length = round(hop_ms * sample_rate / 1000)  # samples
        self.hop_s = self.hop_length / sample_rate

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Frames of waveforms of `lengths` samples, (B,) int64.

        1 + ⌊(N − window) / hop⌋; a waveform shorter than a window is padded with zeros to one
        frame, no samples give no frame.
        """
        frames = 1 + (lengths - self.window_length).clamp(min=0) // self.hop_length
        return torch.where(lengths > 0, frames, 0)

    def forward(self, waveforms: Tensor) -> Tensor:
        """Waveforms (B, N) to frames (B, T, window), T ≥ 1, as a view where N allows it."""
        missing = self.window_length - waveforms.shape[1]
        if missing > 0:
            waveforms = functional.pad(waveforms, (0, missing))
        return waveforms.unfold(1, self.window_length, self.hop_length)


class PowerSpectrum(nn.Module):
    """Waveforms (B, N) → power spectrum |DFT|² of each windowed frame, (B, T, n_fft / 2 + 1)."""

    def __init__(self, framing: Framing, n_fft: int, window: str) -> None:
        super().__init__()
        check_whole("n_fft", n_fft, 2, 65_536)
        if window not in WINDOWS:
            raise UserError(f"window={window}: expected one of {', '.join(WINDOWS)}.")
        if n_fft < framing.window_length:
            raise UserError(
                f"n_fft={n_fft}: shorter than a window of {framing.window_length} samples; "
                "raise n_fft or shorten window_ms."
            )
        self.framing = framing
        self.n_fft = n_fft
        self.n_bins = n_fft // 2 + 1
        shape = WINDOWS[window](framing.window_length)
        self.register_buffer("window", shape, persistent=False)

    def forward(self, waveforms: Tensor) -> Tensor:
        """Waveforms (B, N) to power (B, T, n_bins)."""
        spectrum = torch.fft.rfft(self.framing(waveforms) * self.window, n=self.n_fft)
        return spectrum.real.square() + spectrum.imag.square()

    def bins_hz(self) -> Tensor:
        """(n_bins,) frequency of each bin."""
        highest = self.framing.sample_rate / 2
        return torch.linspace(0, highest, self.n_bins, device=self.window.device)

    def centres_hz(self, bands: Tensor) -> Tensor:
        """(F,) where the middle of each band lies, of its weights (n_bins, F)."""
        return (self.bins_hz() @ bands) / bands.sum(0)
