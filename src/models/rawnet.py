"""RawNet: learned band-pass filters on the waveform itself, then convolutions and GRUs.

Filters: Ravanelli & Bengio 2018, "Speaker Recognition from Raw Waveform with SincNet"
(arXiv:1808.00158), section 2. Each has two numbers to learn, where it begins and how wide it is.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from src.batch import Emissions
from src.models.parts.checks import check_share, check_whole
from src.models.parts.frames import Frames, enter, strided_lengths
from src.models.parts.layers import BiRecurrence, MaskedBatchNorm, log_probabilities
from src.models.parts.time_conv import TimeConv
from src.utils.errors import UserError

LOOKS = 8  # at most, at each filter's output in a frame, whose mean square is its energy
FLOOR = 1e-7  # added to energies, about the rounding noise of 16-bit samples
HIGHEST_HZ = 8_000.0  # half the rate that filters are placed for


class RawNet(nn.Module):
    """Energies behind learned filters, two convolutions over time, bidirectional GRUs.

    Args:
        n_features: samples of a frame, of transform=raw; a multiple of 8 does best.
        n_tokens: vocabulary size with the blank.
        n_filters: equally wide on the mel scale before they learn, 8 … 512.
        filter_length: samples that a filter hears, odd.
        n_rnn_layers: GRUs, 1 … 10.
        width: of the convolutions, and of a GRU in each direction.
        dropout: share of each GRU's inputs set to zero in training, 0 … 1.

    Raises:
        UserError: a value outside these ranges.
    """

    time_stride = 2

    def __init__(
        self,
        n_features: int,
        n_tokens: int,
        n_filters: int = 80,
        filter_length: int = 401,
        n_rnn_layers: int = 4,
        width: int = 384,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        check_whole("model.n_filters", n_filters, 8, 512)
        check_whole("model.filter_length", filter_length, 3, 9_999)
        check_whole("model.n_rnn_layers", n_rnn_layers, 1, 10)
        check_whole("model.width", width, 1, 8192)
        check_share("model.dropout", dropout)
        if filter_length % 2 == 0:
            raise UserError(
                f"model.filter_length={filter_length}: expected an odd number, so that a filter "
                "hears as much before as behind its middle."
            )
        n_looks = max(n for n in range(1, LOOKS + 1) if n_features % n == 0)
        self.filters = LearnedFilters(n_filters, filter_length, n_looks)
        self.norm = MaskedBatchNorm(n_filters)
        self.convs = nn.ModuleList(
            [
                TimeConv(n_filters, width, kernel_size=5, stride=self.time_stride, bias=False),
                TimeConv(width, width, kernel_size=5, bias=False),
            ]
        )
        self.conv_norms = nn.ModuleList(MaskedBatchNorm(width) for _ in self.convs)
        widths = [width] + [2 * width] * (n_rnn_layers - 1)
        self.rnns = nn.ModuleList(BiRecurrence(nn.GRU, n, width, "concat") for n in widths)
        self.norms = nn.ModuleList(MaskedBatchNorm(n) for n in widths[1:])
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * width, n_tokens)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Frames emitted for `lengths` feature frames, (B,) int64: ⌈lengths / 2⌉."""
        return strided_lengths(lengths, self.time_stride)

    def forward(self, features: Tensor, lengths: Tensor) -> Emissions:
        """Frames of samples (B, T, F), lengths (B,) to log-probabilities (B, ⌈T / 2⌉, V)."""
        x, frames = enter(features, lengths)
        x = self.norm(self.filters(x), frames)
        x, frames = self._convolve(x, frames)
        x = self.rnns[0](self.dropout(x), frames)
        for norm, rnn in zip(self.norms, self.rnns[1:], strict=True):
            x = rnn(self.dropout(norm(x, frames)), frames)
        return Emissions(log_probabilities(self.head(x)), frames.lengths)

    def _convolve(self, x: Tensor, frames: Frames) -> tuple[Tensor, Frames]:
        for conv, norm in zip(self.convs, self.conv_norms, strict=True):
            x, frames = conv(x, frames)
            x = functional.relu(norm(x, frames))
        return x, frames


class LearnedFilters(nn.Module):
    """Natural-log energies of frames behind band-pass filters whose edges are learned.

    SincNet's filters with a second one each, a quarter of a period later: the two together tell the
    energy at any moment, so that it need not be sampled as often as the waveform.

    Args:
        n_filters: of them. length: samples that each hears, odd.
        n_looks: at a filter's output in each frame, at equal distances.
    """

    def __init__(self, n_filters: int, length: int, n_looks: int) -> None:
        super().__init__()
        mels = torch.linspace(0, _mel(HIGHEST_HZ), n_filters + 1)
        edges = 700 * (10 ** (mels / 2595) - 1) / (2 * HIGHEST_HZ)  # in cycles a sample
        self.low = nn.Parameter(edges[:-1].clone())
        self.band = nn.Parameter(edges[1:] - edges[:-1])
        self.n_looks = n_looks
        times = torch.arange(length) - (length - 1) / 2
        self.register_buffer("times", times, persistent=False)
        window = torch.hamming_window(length, periodic=False)
        self.register_buffer("window", window, persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        """Frames of samples (B, T, F) to log energies (B, T, n_filters)."""
        waveform = samples.flatten(1)[:, None].float()
        reach, step = len(self.times) // 2, samples.shape[2] // self.n_looks
        with torch.autocast(samples.device.type, enabled=False):  # 16 bits hold no quiet energies
            filters = self.impulse_responses().flatten(0, 1)[:, None]
            # The first look of a frame is half a step behind its beginning.
            padded = functional.pad(waveform, (reach - step // 2, reach + step))
            heard = functional.conv1d(padded, filters, stride=step)
            heard = heard[:, :, : waveform.shape[2] // step].unflatten(1, (2, -1))
            energies = heard.square().sum(1).div(2).unflatten(2, (-1, self.n_looks)).mean(3)
            return energies.add(FLOOR).log().transpose(1, 2)

    def impulse_responses(self) -> Tensor:
        """(2, n_filters, length): a low-pass filter moved to each band, with cosine and sine.

        With the cosine it is SincNet's: g[n] = 2 f₂ sinc(2 f₂ n) − 2 f₁ sinc(2 f₁ n), windowed.
        """
        low = self.low.abs()
        high = (low + self.band.abs()).clamp(max=0.5)
        half, middle = (high - low)[:, None] / 2, (high + low)[:, None] / 2
        shape = 4 * half * torch.sinc(2 * half * self.times) * self.window
        phase = 2 * math.pi * middle * self.times
        return torch.stack([shape * phase.cos(), shape * phase.sin()])


def _mel(hz: float) -> float:
    return 2595 * math.log10(1 + hz / 700)
