"""Convolution of each utterance with a filter of its own."""

from torch import Tensor
from torch.nn import functional
from torchaudio.functional import fftconvolve


def convolve(waveforms: Tensor, kernels: Tensor, delay: int = 0) -> Tensor:
    """Each row with its kernel, as long as it came.

    Args:
        waveforms: (B, N), zeros in the padding.
        kernels: (B, K).
        delay: samples by which the kernels delay, taken back: K // 2 where they are symmetric.
    """
    n_samples, n_taps = waveforms.shape[1], kernels.shape[1]
    # A transform of prime length costs several times as much.
    longer = _fast_size(n_samples + n_taps - 1) - (n_samples + n_taps - 1)
    convolved = fftconvolve(functional.pad(waveforms, (0, longer)), kernels)
    return convolved[:, delay : delay + n_samples]


def _fast_size(size: int) -> int:
    """The next number of the form m · 2^k with m ≤ 16: at most an eighth more."""
    step = 1 << max(0, size.bit_length() - 4)
    return -(-size // step) * step
