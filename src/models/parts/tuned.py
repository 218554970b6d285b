"""Encoders that others trained under a CTC head: its layers, how much of them learns and when."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from src.batch import Emissions
from src.models.parts.checks import check_share, check_whole
from src.models.parts.frames import Frames, enter, strided_lengths
from src.models.parts.layers import BiRecurrence, log_probabilities
from src.utils import parallel
from src.utils.errors import UserError

BY_HAND = 1024  # frames up to which attention is computed by hand, where that is faster


class TunedEncoder(nn.Module):
    """An encoder of two feature frames an emitted one, GRUs if asked for, dropout, a linear head.

    Args:
        encoder: features (B, T, F), their frames and the number of uppermost blocks that learn, to
            (B, ⌈T / 2⌉, D) and its frames. `depth_of(name)` tells how many blocks must learn
            before that parameter does, counted from the top; what is below all of them has one
            more than there are.
        width: D.
        n_tokens: vocabulary size with the blank.
        n_layers: blocks of the encoder.
        dropout: share of the encoder's and each GRU's outputs set to zero in training.
        n_rnn_layers: bidirectional GRUs between the encoder and the linear layer, 0 … 10, each
            followed by LayerNorm. They learn to spell what single frames can't tell.
        rnn_width: units of a GRU in each direction.
        encoder_lr_factor: the encoder's learning rate as a share of the head's, above 0 to 1.
        n_tuned_layers: the uppermost blocks that learn; None = all, and what is below them.
            0 trains the head alone.
        unfreeze_every: training batches after which one more block learns, from the top down, until
            n_tuned_layers do; None = all those from the start.

    Raises:
        UserError: a value outside its range.
    """

    time_stride = 2

    def __init__(
        self,
        encoder: nn.Module,
        width: int,
        n_tokens: int,
        n_layers: int,
        dropout: float = 0.1,
        n_rnn_layers: int = 0,
        rnn_width: int = 256,
        encoder_lr_factor: float = 0.1,
        n_tuned_layers: int | None = None,
        unfreeze_every: int | None = None,
    ) -> None:
        super().__init__()
        check_share("model.dropout", dropout)
        check_whole("model.n_rnn_layers", n_rnn_layers, 0, 10)
        check_whole("model.rnn_width", rnn_width, 1, 8192)
        if not 0 < encoder_lr_factor <= 1:
            raise UserError(
                f"model.encoder_lr_factor={encoder_lr_factor}: expected a number above 0 and at "
                "most 1."
            )
        if n_tuned_layers is not None:
            check_whole("model.n_tuned_layers", n_tuned_layers, 0, n_layers)
        if unfreeze_every is not None:
            check_whole("model.unfreeze_every", unfreeze_every, 1, 10**9)
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        widths = [width] + [2 * rnn_width] * n_rnn_layers
        self.rnns = nn.ModuleList(
            BiRecurrence(nn.GRU, n, rnn_width, "concat") for n in widths[:n_rnn_layers]
        )
        self.norms = nn.ModuleList(nn.LayerNorm(n) for n in widths[1:])
        self.head = nn.Linear(widths[-1], n_tokens)
        self.unfreeze_every = unfreeze_every
        self.n_tuned_layers = n_layers + 1 if n_tuned_layers is None else n_tuned_layers
        self.register_buffer("n_batches", torch.zeros((), dtype=torch.int64))  # trained on so far
        for name, parameter in self.encoder.named_parameters():
            parameter.requires_grad_(self.encoder.depth_of(name) <= self.n_tuned_layers)
            parameter.lr_factor = encoder_lr_factor  # read by parameter_groups

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Frames emitted for `lengths` feature frames, (B,) int64: ⌈lengths / 2⌉."""
        return strided_lengths(lengths, self.time_stride)

    def forward(self, features: Tensor, lengths: Tensor) -> Emissions:
        """Features (B, T, F) and their lengths (B,) to log-probabilities (B, ⌈T / 2⌉, V)."""
        x, frames = enter(features, lengths)
        x, frames = self.encoder(x, frames, self._n_learning())
        x = self.dropout(x)
        for rnn, norm in zip(self.rnns, self.norms, strict=True):
            x = self.dropout(norm(rnn(x, frames)))
        return Emissions(log_probabilities(self.head(x)), frames.lengths)

    def _n_learning(self) -> int:
        """Uppermost blocks that learn now; one more than there are means what is below them too."""
        if not self.training or self.unfreeze_every is None:
            return self.n_tuned_layers
        if parallel.n_processes() > 1:
            raise UserError(
                "model.unfreeze_every: blocks that join later can't be trained by several "
                "processes; set it to null, or train with one process."
            )
        thawed = int(self.n_batches) // self.unfreeze_every
        self.n_batches += 1
        return min(thawed, self.n_tuned_layers)


class Attention(nn.Module):
    """Scaled dot-product attention over all frames.

    Keys have no bias: it would add the same to all scores of a frame, which softmax takes away.
    """

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """x (B, T, D) to the same shape.

        Args:
            mask: (B, 1, 1, T), True where x may be heard, or (B, n_heads, T, T) of floats that are
                added to the scores.
        """
        q, k, v = (
            part(x).unflatten(2, (self.n_heads, -1)).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        return self.out(attend(q, k, v, mask).transpose(1, 2).flatten(2))


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Scaled dot-product attention of (B, H, T, d); `mask` as of `Attention`.

    On a CPU in half precision the gradient of PyTorch's own kernel takes three times as long as
    matrix products and a softmax, which need B · H · T² values of memory: for short utterances.
    """
    halves = q.dtype in (torch.bfloat16, torch.float16) and q.device.type == "cpu"
    if not (halves and q.requires_grad and q.shape[2] <= BY_HAND):
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    scores = q @ k.transpose(2, 3) * q.shape[3] ** -0.5
    if mask is not None:
        hidden = mask.dtype == torch.bool
        scores = scores.masked_fill(~mask, -torch.inf) if hidden else scores + mask
    return scores.softmax(-1).to(v.dtype) @ v


def check_heads(width: int, n_heads: int) -> None:
    """Raise UserError unless the width is even and can be shared by the heads."""
    check_whole("model.n_heads", n_heads, 1, 64)
    check_whole("model.width", width, 2, 8192)
    if width % 2 or width % n_heads:
        raise UserError(
            f"model.width={width}: expected an even multiple of model.n_heads={n_heads}."
        )


def attention_mask(frames: Frames) -> Tensor | None:
    """(B, 1, 1, T), True where frames may be heard; None where there is no padding.

    Only valid frames may be; an utterance without any attends to its padding, unheard.
    """
    if frames.full:
        return None
    heard = ~frames.padding | (frames.lengths == 0).to(frames.device)[:, None]
    return heard[:, None, None, :]
