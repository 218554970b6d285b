"""Convolution, normalisation and recurrence that let no padding through."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from src.batch import DeepEmissions, Emissions
from src.models.parts.frames import Frames
from src.models.parts.recurrence import gru
from src.utils import parallel
from src.utils.devices import has_amx


class MaskedBatchNorm(nn.BatchNorm1d):
    """Batch normalisation over the last axis, with statistics of the valid frames only.

    The same as nn.BatchNorm1d on the utterances' own frames laid end to end (Ioffe & Szegedy
    2015; over frames as in Deep Speech 2, section 3.2). The padding comes out as zeros. Of
    several processes that train together, the frames of all count.
    """

    def forward(self, x: Tensor, frames: Frames) -> Tensor:
        """x (B, T, …, D) to the same shape."""
        if not self.training:
            return frames.silence(super().forward(x.flatten(0, -2)).view(x.shape))
        valid = frames.select(x)
        return frames.restore(self._normalise(valid.flatten(0, -2)).view(valid.shape))

    def _normalise(self, x: Tensor) -> Tensor:
        """x (n, D) by its own statistics, or by the running ones where n says nothing of spread."""
        n = parallel.count(len(x))
        if n > 1:
            alone = parallel.n_processes() == 1
            return super().forward(x) if alone else self._with_the_others(x.float(), n)
        return functional.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )

    def _with_the_others(self, x: Tensor, n: int) -> Tensor:
        """x (n of this process, D) by the statistics of the n frames of all processes."""
        mean = parallel.add_up_with_gradient(x.sum(0)) / n
        centred = x - mean
        variance = parallel.add_up_with_gradient(centred.square().sum(0)) / n
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (n / (n - 1)), self.momentum)
        return centred * (variance + self.eps).rsqrt() * self.weight + self.bias


class ConvBlock(nn.Module):
    """2-D convolution over time × frequency, masked BatchNorm, ReLU clipped at `ceiling`.

    Time is padded by (kernel − 1) / 2, so ⌈T / stride⌉ frames come out. Expects silent padding
    and returns silent padding: BatchNorm leaves zeros there, which the ReLU keeps.

    Args:
        in_channels, out_channels: feature maps before and after.
        kernel: (time, frequency), odd, in frames and bins.
        stride: (time, frequency).
        frequency_padding: zeros added at both ends of the frequency axis, in bins.
        ceiling: largest output; infinity gives the plain ReLU.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: tuple[int, int],
        stride: tuple[int, int],
        frequency_padding: int = 0,
        ceiling: float = float("inf"),
    ) -> None:
        super().__init__()
        padding = ((kernel[0] - 1) // 2, frequency_padding)
        # No bias: the mean that BatchNorm subtracts would take it away again.
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, bias=False)
        self.norm = MaskedBatchNorm(out_channels)
        self.ceiling = ceiling

    def n_bins(self, n_bins: int) -> int:
        """Frequency bins that come out when `n_bins` go in."""
        padded = n_bins + 2 * self.conv.padding[1]
        return (padded - self.conv.kernel_size[1]) // self.conv.stride[1] + 1

    def forward(self, x: Tensor, frames: Frames) -> tuple[Tensor, Frames]:
        """x (B, T, F, C_in) to (B, ⌈T / stride⌉, F', C_out) and its frames."""
        # Channels last is how x already lies in memory, so both permutes are free, and it is
        # the layout that convolution kernels are fastest in.
        x = self._convolved(self._laid_out(x.permute(0, 3, 1, 2))).permute(0, 2, 3, 1).contiguous()
        frames = frames.strided(self.conv.stride[0])
        x = self.norm(x, frames)
        return functional.hardtanh_(x, 0.0, self.ceiling), frames

    def _convolved(self, x: Tensor) -> Tensor:
        """x (B, C, T, F) to (B, C', ⌈T / stride⌉, F')."""
        (step, hop), (ahead, beside) = self.conv.stride, self.conv.padding
        if hop == 1 or self.n_bins(x.shape[3]) > 1:
            return self.conv(x)
        # Where one bin comes out, no hop is needed; with one, oneDNN (3.14) in bfloat16 on CPUs
        # with AMX adds what it finds in memory, often NaN.
        heard = functional.pad(x, (beside, beside))[..., : self.conv.kernel_size[1]]
        return functional.conv2d(heard, self.conv.weight, None, (step, 1), (ahead, 0))

    def _laid_out(self, x: Tensor) -> Tensor:
        """x (B, C, T, F), channels last, in the layout that its kernel is fast in."""
        # Of kernels wider than 14 bins, oneDNN has for some numbers of channels (32 to 96 is one)
        # no gradient with channels last but its reference, which takes 70 times as long.
        is_slow = x.device.type == "cpu" and x.shape[1] > 1 and self.conv.kernel_size[1] > 14
        return x.contiguous() if is_slow else x


class ConvStack(nn.ModuleList):
    """`ConvBlock`s over a spectrogram, one after another.

    Args:
        n_features: feature bins.
        blocks: of each, feature maps, kernel and stride (time, frequency).
        paddings: of each, zeros at both ends of the frequency axis, in bins; None keeps the edges,
            (kernel − 1) / 2.
        ceiling: largest output; infinity gives the plain ReLU.
    """

    def __init__(
        self,
        n_features: int,
        blocks: Sequence[tuple[int, tuple[int, int], tuple[int, int]]],
        paddings: Sequence[int] | None = None,
        ceiling: float = float("inf"),
    ) -> None:
        super().__init__()
        paddings = paddings or [(kernel[1] - 1) // 2 for _, kernel, _ in blocks]
        n_bins, n_in = n_features, 1
        for (n_out, kernel, stride), padding in zip(blocks, paddings, strict=True):
            self.append(ConvBlock(n_in, n_out, kernel, stride, padding, ceiling))
            n_bins, n_in = self[-1].n_bins(n_bins), n_out
        self.n_outputs = n_bins * n_in  # values of an emitted frame

    def forward(self, x: Tensor, frames: Frames) -> tuple[Tensor, Frames]:
        """x (B, T, F) to (B, T_out, n_outputs), silent in its padding as x is, and its frames."""
        x = x.unsqueeze(-1)  # (B, T, F, 1 channel)
        for block in self:
            x, frames = block(x, frames)
        return x.flatten(2), frames


class BiRecurrence(nn.Module):
    """One bidirectional recurrent layer over time, each utterance over its own frames only.

    Args:
        kind: nn.LSTM, nn.GRU, or nn.RNN with tanh.
        n_inputs: width of the input.
        width: units of each direction.
        merge: "sum" adds the two directions (D = width), "concat" sets them side by side
            (D = 2 · width).
    """

    def __init__(self, kind: type[nn.RNNBase], n_inputs: int, width: int, merge: str) -> None:
        super().__init__()
        self.rnn = kind(n_inputs, width, batch_first=True, bidirectional=True)
        self.merge = merge

    def forward(self, x: Tensor, frames: Frames) -> Tensor:
        """x (B, T, n_inputs) to (B, T, D), zeros in the padding."""
        if x.device.type == "cpu":
            return self.join(self._mirrored(x, frames))
        return self.join(self.over_all(x, frames) if frames.full else self.over_packed(x, frames))

    def join(self, y: Tensor) -> Tensor:
        """Both directions side by side, (B, T, 2 · width), to (B, T, D)."""
        if self.merge == "concat":
            return y
        forwards, backwards = y.chunk(2, dim=-1)
        return forwards + backwards

    def over_all(self, x: Tensor, frames: Frames) -> Tensor:
        """Both directions, over the padding too, from where it leaks into the utterances."""
        return self.rnn(x)[0]

    def over_packed(self, x: Tensor, frames: Frames) -> Tensor:
        """Both directions over packed utterances, which is fast on a GPU only."""
        # Packing refuses empty utterances: they are read as one silent frame, nobody looks at it.
        lengths = frames.lengths.clamp(min=1)
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        packed, _ = self.rnn(packed)
        return pad_packed_sequence(packed, batch_first=True, total_length=frames.n_frames)[0]

    def _mirrored(self, x: Tensor, frames: Frames) -> Tensor:
        # What follows an utterance's last frame can't reach the frames before it, so each direction
        # runs over the padding too, the second over mirrored utterances. On a CPU the gradient of
        # packed frames costs the square of their number: each frame fills a tensor for them all.
        forwards = one_direction(self.rnn, x)
        backwards = frames.reverse(one_direction(self.rnn, frames.reverse(x), "_reverse"))
        return frames.silence(torch.cat([forwards, backwards], dim=-1))


def one_direction(rnn: nn.RNNBase, x: Tensor, direction: str = "") -> Tensor:
    """One direction of a layer over all of x (B, T, n_inputs), to (B, T, width), on a CPU.

    Args:
        direction: "" runs forwards with the weights of `rnn`, "_reverse" with those of its other
            direction.
    """
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    weights = [getattr(rnn, name + direction) for name in names]
    learns = torch.is_grad_enabled()
    start = x.new_zeros(1, x.shape[0], rnn.hidden_size)
    if isinstance(rnn, nn.LSTM):
        exact = learns and not _learns_fast_in_bf16(len(x))
        with torch.autocast("cpu", enabled=torch.is_autocast_enabled("cpu") and not exact):
            state = (start.float(), start.float()) if exact else (start, start)
            x = x.float() if exact else x
            return torch.lstm(x, state, weights, True, 1, 0.0, learns, False, True)[0]
    if isinstance(rnn, nn.RNN):
        return torch.rnn_tanh(x, start, weights, True, 1, 0.0, learns, False, True)[0]
    if learns:
        gates = functional.linear(x.transpose(0, 1), weights[0], weights[2])
        return gru(gates, weights[1].to(gates.dtype), weights[3]).transpose(0, 1)
    return torch.gru(x, start, weights, True, 1, 0.0, False, False, True)[0]


def _learns_fast_in_bf16(n_utterances: int) -> bool:
    """Whether oneDNN's LSTM learns faster in bfloat16 than in float32 on this CPU.

    Measured for batches of 5, 32 and 64 utterances with AMX: 0.8, 2.1 and 3.1 times as fast.
    Without AMX the gradient takes three times as long.
    """
    return n_utterances >= 16 and has_amx()


def emitted(
    log_probs: Tensor, lengths: Tensor, between: Sequence[Tensor]
) -> Emissions | DeepEmissions:
    """What a model gives back; with the log-probabilities of layers in between, where asked for."""
    if between:
        return DeepEmissions(log_probs, lengths, tuple(between))
    return Emissions(log_probs, lengths)


def log_probabilities(logits: Tensor) -> Tensor:
    """Log-softmax in float32 whatever autocast does, (B, T_out, V)."""
    with torch.autocast(logits.device.type, enabled=False):
        return logits.float().log_softmax(-1)
