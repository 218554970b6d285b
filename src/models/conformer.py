"""Conformer: attention for what is far, convolution for what is near.

Gulati et al. 2020, "Conformer: Convolution-augmented Transformer for Speech Recognition", arXiv
2005.08100, section 2. Relative positions: Dai et al. 2019, "Transformer-XL", arXiv 1901.02860,
section 3.3.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from src.batch import DeepEmissions, Emissions
from src.models.parts.checks import check_intermediate, check_share, check_whole
from src.models.parts.frames import Frames, enter, strided_lengths
from src.models.parts.layers import emitted, log_probabilities
from src.models.parts.time_conv import TimeConv
from src.utils.errors import UserError

NORM_EPS = 1e-3  # frames alike in every bin have no variance; 1e-5 would blow up their gradient


class Conformer(nn.Module):
    """Two strided convolutions, a linear layer, Conformer blocks, linear head.

    The convolution module normalises single frames (LayerNorm) where the paper has BatchNorm:
    as many weights, but nothing an utterance gets depends on its batch, so small batches and
    several processes do no harm.

    Args:
        n_features: feature bins.
        n_tokens: vocabulary size with the blank.
        width: of the encoder, an even multiple of `n_heads`.
        n_layers: blocks, 1 … 32.
        n_heads: of each attention.
        kernel_size: emitted frames that the convolution module hears, odd (the paper has 32).
        dropout: share of activations set to zero in training, 0 … 1.
        intermediate: blocks, counted from 1, behind which the head reads too in training, before
            the last.

    Raises:
        UserError: a value outside these ranges.
    """

    time_stride = 4

    def __init__(
        self,
        n_features: int,
        n_tokens: int,
        width: int = 144,
        n_layers: int = 16,
        n_heads: int = 4,
        kernel_size: int = 31,
        dropout: float = 0.1,
        intermediate: Sequence[int] = (),
    ) -> None:
        super().__init__()
        check_whole("model.n_layers", n_layers, 1, 32)
        check_whole("model.n_heads", n_heads, 1, 64)
        check_whole("model.width", width, 2, 8192)
        check_whole("model.kernel_size", kernel_size, 1, 255)
        check_share("model.dropout", dropout)
        check_intermediate(intermediate, n_layers)
        if width % 2 or width % n_heads:
            raise UserError(
                f"model.width={width}: expected an even multiple of model.n_heads={n_heads}."
            )
        if kernel_size % 2 == 0:
            raise UserError(
                f"model.kernel_size={kernel_size}: expected an odd number, such as "
                f"{kernel_size - 1}, which hears as much before a frame as behind it."
            )
        self.subsample = Subsampling(n_features, width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            Block(width, n_heads, kernel_size, dropout) for _ in range(n_layers)
        )
        self.head = nn.Linear(width, n_tokens)
        self.intermediate = tuple(intermediate)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Frames emitted for `lengths` feature frames, (B,) int64: ⌈lengths / 4⌉."""
        return strided_lengths(lengths, self.time_stride)

    def forward(self, features: Tensor, lengths: Tensor) -> Emissions | DeepEmissions:
        """Features (B, T, F) and their lengths (B,) to log-probabilities (B, ⌈T / 4⌉, V)."""
        x, frames = self.subsample(*enter(features, lengths))
        x = self.dropout(x)
        distances = self.dropout(positions(x.shape[1], x.shape[2], x.device))
        between = []
        for i, block in enumerate(self.blocks, 1):
            x = block(x, distances, frames)
            if self.training and i in self.intermediate:
                between.append(log_probabilities(self.head(x)))
        return emitted(log_probabilities(self.head(x)), frames.lengths, between)


class Subsampling(nn.Module):
    """Two convolutions of 3 × 3 that halve time and frequency with ReLU, then a linear layer."""

    def __init__(self, n_features: int, width: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(n_in, width, kernel_size=3, stride=2, padding=1) for n_in in (1, width)
        )
        self.join = nn.Linear((n_features + 3) // 4 * width, width)

    def forward(self, x: Tensor, frames: Frames) -> tuple[Tensor, Frames]:
        """x (B, T, F) to (B, ⌈T / 4⌉, D) and its frames."""
        x = x[:, None]  # (B, 1 channel, T, F)
        for conv in self.convs:
            frames = frames.strided(2)
            # The bias leaves something in the padding, which the next convolution would hear.
            x = frames.silence(functional.relu(conv(x)), time_axis=2)
        return self.join(x.transpose(1, 2).flatten(2)), frames


class Block(nn.Module):
    """Half a feed-forward module, attention, convolution, the other half, LayerNorm."""

    def __init__(self, width: int, n_heads: int, kernel_size: int, dropout: float) -> None:
        super().__init__()
        self.before = feed_forward(width, dropout)
        self.attention_norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.attention = RelativeAttention(width, n_heads)
        self.convolution = ConvolutionModule(width, kernel_size)
        self.behind = feed_forward(width, dropout)
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, distances: Tensor, frames: Frames) -> Tensor:
        """x (B, T, D) to the same shape; `distances` (2T − 1, D) as of `positions`."""
        x = x + self.before(x) / 2
        x = x + self.dropout(self.attention(self.attention_norm(x), distances, frames))
        x = x + self.dropout(self.convolution(x, frames))
        return self.norm(x + self.behind(x) / 2)


def feed_forward(width: int, dropout: float) -> nn.Sequential:
    """LayerNorm, a layer four times as wide with Swish, and back; for frames (…, D)."""
    return nn.Sequential(
        nn.LayerNorm(width, eps=NORM_EPS),
        nn.Linear(width, 4 * width),
        nn.SiLU(),
        nn.Dropout(dropout),
        nn.Linear(4 * width, width),
        nn.Dropout(dropout),
    )


class ConvolutionModule(nn.Module):
    """LayerNorm, gated linear unit, each channel over time, LayerNorm, Swish, linear layer."""

    def __init__(self, width: int, kernel_size: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.gated = nn.Linear(width, 2 * width)
        self.over_time = TimeConv(width, width, kernel_size, groups=width)
        self.norm_over_time = nn.LayerNorm(width, eps=NORM_EPS)
        self.join = nn.Linear(width, width)

    def forward(self, x: Tensor, frames: Frames) -> Tensor:
        """x (B, T, D) to the same shape."""
        x = frames.silence(functional.glu(self.gated(self.norm(x))))
        x, _ = self.over_time(x, frames)
        return self.join(functional.silu(self.norm_over_time(x)))


class RelativeAttention(nn.Module):
    """Attention whose scores add how well a query fits a key and how well their distance.

    score(i, j) = ((q_i + u) · k_j + (q_i + v) · r_{i−j}) / √d, for each head.
    """

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.distance = nn.Linear(width, width, bias=False)
        self.u = nn.Parameter(torch.empty(n_heads, 1, width // n_heads))
        self.v = nn.Parameter(torch.empty(n_heads, 1, width // n_heads))
        nn.init.xavier_uniform_(self.u)
        nn.init.xavier_uniform_(self.v)

    def forward(self, x: Tensor, distances: Tensor, frames: Frames) -> Tensor:
        """x (B, T, D) to the same shape; `distances` (2T − 1, D) as of `positions`."""
        q, k, v = (self._heads(part(x)) for part in (self.query, self.key, self.value))
        r = self._heads(self.distance(distances)[None])  # (1, H, 2T − 1, d)
        by_distance = along_diagonals((q + self.v) @ r.transpose(2, 3)) * q.shape[-1] ** -0.5
        among_valid = self._among_valid(by_distance, frames).to(k.dtype)
        q = (q + self.u).to(k.dtype)  # autocast leaves the sum in float32
        y = functional.scaled_dot_product_attention(q, k, v, attn_mask=among_valid)
        return self.out(y.transpose(1, 2).flatten(2))

    def _heads(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, H, T, d)."""
        # Not unflatten, which would fix the number of frames in an ONNX graph.
        return x.view(*x.shape[:2], self.n_heads, x.shape[2] // self.n_heads).transpose(1, 2)

    def _among_valid(self, scores: Tensor, frames: Frames) -> Tensor:
        """Scores (B, H, T, T) with −∞ where the key is padding."""
        if frames.full:
            return scores
        # An utterance without frames attends to its padding, unheard: no key at all gives NaN.
        deaf = frames.padding & (frames.lengths > 0).to(scores.device)[:, None]
        return scores.masked_fill(deaf[:, None, None], -torch.inf)


def positions(n_frames: int, width: int, device: torch.device | str = "cpu") -> Tensor:
    """Sinusoids of the distances T − 1, …, 0, …, 1 − T of a query from a key: (2T − 1, D).

    Sines stand at even places, cosines at odd ones (Vaswani et al. 2017, section 3.5).
    """
    distance = torch.arange(n_frames - 1, -n_frames, -1.0, device=device)[:, None]
    frequency = 10_000.0 ** (-torch.arange(0, width, 2, device=device) / width)
    angles = distance * frequency
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)


def along_diagonals(x: Tensor) -> Tensor:
    """Of (…, T, 2T − 1), by query and distance T − 1 … 1 − T, what query i has for key j.

    Returns:
        (…, T, T): y[i, j] = x[i, T − 1 − (i − j)].
    """
    *others, n, _ = x.shape
    # Each row begins one place later than it would end the row before: with a column more and the
    # first n values less, what lay on a diagonal stands in a column.
    x = functional.pad(x, (1, 0)).reshape(*others, 2 * n, n)[..., 1:, :]
    return x.reshape(*others, n, 2 * n - 1)[..., :n]
