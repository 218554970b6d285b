"""A recogniser as one graph: waveforms in, log-probabilities out, batch and time left open."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from src.models.causal import CausalConv
from src.models.rawnet import LearnedFilters
from src.recognizer import Recognizer
from src.transforms.features import RawFrames
from src.transforms.framing import Framing, PowerSpectrum
from src.transforms.stacking import Stacked


class Graph(nn.Module):
    """Front end and model on the CPU, in evaluation mode, without a branch that looks at values.

    Silence is added to the waveforms, so that the shortest clip fills a window and two emitted
    frames: torch.export takes an axis of one for something special. The frames that it adds lie
    behind the utterances' lengths, where nobody looks.

    Args:
        recognizer: copied, so nothing that happens to the graph happens to it.
        fft: False takes spectra by products with the DFT's matrix, which every format knows.
    """

    def __init__(self, recognizer: Recognizer, *, fft: bool = True) -> None:
        super().__init__()
        self.recognizer = copy.deepcopy(recognizer).cpu().eval().requires_grad_(False)
        self.eval()
        rate = recognizer.sample_rate
        window = samples_of_a_frame(recognizer.front_end.features)
        self.silence = window + round(2 * recognizer.frame_s * rate)  # samples
        noise = torch.randn(2, rate // 4 + 77, generator=torch.Generator().manual_seed(0))
        self.example = 0.1 * noise, torch.tensor([rate // 4, 999])
        self(*self.example)  # what is looked at once, such as stored statistics, is looked at now
        replace(self.recognizer, CausalConv, HeardAtOnce)
        replace(self.recognizer, LearnedFilters, FixedFilters)
        # Frames that don't overlap are contiguous or not as their waveform is long: torch.export
        # would refuse lengths whose frames are not as the example's.
        for raw in [m for m in self.recognizer.modules() if isinstance(m, RawFrames)]:
            replace(raw, Framing, MatrixFraming)
        if not fft:
            replace(self.recognizer, PowerSpectrum, MatrixSpectrum)

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Waveforms (B, N) float32 and lengths (B,) in samples to (B, T_out, V) and (B,)."""
        log_probs, lengths = self.recognizer(functional.pad(waveforms, (0, self.silence)), lengths)
        return log_probs, lengths


def samples_of_a_frame(features: nn.Module) -> int:
    """Samples that one feature frame hears."""
    if isinstance(features, Stacked):
        hop = round(features.features.hop_s * features.sample_rate)
        return samples_of_a_frame(features.features) + (features.n_frames - 1) * hop
    return max(m.window_length for m in features.modules() if isinstance(m, Framing))


def replace(module: nn.Module, kind: type[nn.Module], by: Callable[..., nn.Module]) -> None:
    """Put `by(child)` in the place of every submodule of a kind."""
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is kind:
                setattr(parent, name, by(child))


class Reshaping(TorchFunctionMode):
    """Within it `unflatten` is a reshape, since in ONNX it would fix the other axes."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        """The call itself, or the reshape that does the same."""
        if function is not torch.Tensor.unflatten:
            return function(*args, **(kwargs or {}))
        x, axis, sizes = args
        axis %= x.ndim
        return x.reshape(*x.shape[:axis], *sizes, *x.shape[axis + 1 :])


class HeardAtOnce(nn.Module):
    """`CausalConv` over whole utterances, of which nothing is kept for later."""

    def __init__(self, causal: CausalConv) -> None:
        super().__init__()
        self.conv = causal.conv

    def forward(self, x: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, T, F, C_in) to (B, T_out, ⌈F / 2⌉, C_out), and what was kept from before."""
        x = torch.cat([kept.to(x.dtype), x], dim=1).permute(0, 3, 1, 2)
        return functional.relu(self.conv(x)).permute(0, 2, 3, 1), kept


class FixedFilters(LearnedFilters):
    """`LearnedFilters` that have learned: their impulse responses are reckoned once."""

    def __init__(self, learned: LearnedFilters) -> None:
        nn.Module.__init__(self)
        self.n_looks = learned.n_looks
        self.register_buffer("times", learned.times)
        self.register_buffer("responses", learned.impulse_responses().detach())

    def impulse_responses(self) -> Tensor:
        """(2, n_filters, length)."""
        return self.responses


class MatrixFraming(nn.Module):
    """`Framing` as a convolution with the unit matrix."""

    def __init__(self, framing: Framing) -> None:
        super().__init__()
        self.hop_length = framing.hop_length
        self.register_buffer("kernels", torch.eye(framing.window_length)[:, None])

    def forward(self, waveforms: Tensor) -> Tensor:
        """Waveforms (B, N ≥ window) to frames (B, T, window)."""
        frames = functional.conv1d(waveforms[:, None], self.kernels, stride=self.hop_length)
        return frames.transpose(1, 2)


class MatrixSpectrum(nn.Module):
    """`PowerSpectrum` as a convolution with windowed cosines and sines."""

    def __init__(self, power: PowerSpectrum) -> None:
        super().__init__()
        self.hop_length, self.n_bins = power.framing.hop_length, power.n_bins
        # The DFT of each single sample, rounded once, at the end.
        unit = torch.eye(power.framing.window_length, dtype=torch.float64)
        dft = torch.fft.rfft(unit * power.window.double(), n=power.n_fft)  # (window, n_bins)
        kernels = torch.cat([dft.real, dft.imag], dim=1).t().float()
        self.register_buffer("kernels", kernels[:, None].contiguous())

    def forward(self, waveforms: Tensor) -> Tensor:
        """Waveforms (B, N ≥ window) to power (B, T, n_bins)."""
        parts = functional.conv1d(waveforms[:, None], self.kernels, stride=self.hop_length)
        real, imaginary = parts.transpose(1, 2).chunk(2, dim=2)
        return real.square() + imaginary.square()
