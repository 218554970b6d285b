"""A Transformer that writes words from what another model heard of them."""

from torch import Tensor, nn
from torch.nn import functional

from src.models.parts.checks import check_share, check_whole
from src.models.parts.frames import Frames, enter
from src.models.parts.layers import log_probabilities
from src.models.parts.time_conv import TimeConv
from src.models.parts.tuned import Attention, attention_mask, check_heads
from src.utils.errors import UserError

GROUPS = 16  # of the first convolution, as in wav2vec 2.0


class Speller(nn.Module):
    """Posteriors of segments to log-probabilities of what to write for each.

    A linear layer, a convolution that tells where each segment stands among its neighbours, and
    blocks of convolution, attention and MLP. No absolute positions, so that a text may be longer
    than any it learnt from.

    Args:
        n_heard: tokens of the model that hears, with the blank.
        n_tokens: tokens to write, with the blank, which here means: nothing for this segment.
        width: an even multiple of `n_heads` and of 16. n_layers: blocks, 1 … 32.
        kernel_size: segments that a convolution sees, odd.
        dropout: share of each block's changes set to zero in training.

    Raises:
        UserError: a value outside these ranges.
    """

    def __init__(
        self,
        n_heard: int,
        n_tokens: int,
        width: int = 256,
        n_layers: int = 4,
        n_heads: int = 4,
        kernel_size: int = 7,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_whole("model.n_heard", n_heard, 2, 100_000)
        check_whole("model.n_layers", n_layers, 1, 32)
        check_whole("model.kernel_size", kernel_size, 1, 255)
        check_share("model.dropout", dropout)
        check_heads(width, n_heads)
        if width % GROUPS or kernel_size % 2 == 0:
            raise UserError(
                f"model.width={width}, model.kernel_size={kernel_size}: expected a multiple of "
                f"{GROUPS} and an odd number, such as 256 and 7."
            )
        self.enter = nn.Linear(n_heard, width)
        self.places = TimeConv(width, width, kernel_size, groups=GROUPS)
        self.blocks = nn.ModuleList(
            Block(width, n_heads, kernel_size, dropout) for _ in range(n_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, n_tokens)

    def forward(self, posteriors: Tensor, lengths: Tensor) -> Tensor:
        """Posteriors (B, S, V_heard) and their lengths (B,) to log-probabilities (B, S, V)."""
        x, frames = enter(posteriors, lengths)
        x = frames.silence(self.enter(x))
        x = x + functional.gelu(self.places(x, frames)[0])
        mask = attention_mask(frames)
        for block in self.blocks:
            x = block(x, frames, mask)
        return log_probabilities(self.head(self.norm(x)))


class Block(nn.Module):
    """Each channel over its neighbours, attention over all, then an MLP; LayerNorm before each."""

    def __init__(self, width: int, n_heads: int, kernel_size: int, dropout: float) -> None:
        super().__init__()
        self.conv_norm = nn.LayerNorm(width)
        self.conv = TimeConv(width, width, kernel_size, groups=width)
        self.attn_norm = nn.LayerNorm(width)
        self.attn = Attention(width, n_heads)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, frames: Frames, mask: Tensor | None) -> Tensor:
        """x (B, S, D) to the same shape; `mask` (B, 1, 1, S) is True where x may be heard."""
        x = x + self.conv(frames.silence(self.conv_norm(x)), frames)[0]
        x = x + self.dropout(self.attn(self.attn_norm(x), mask))
        return x + self.dropout(self.mlp(self.mlp_norm(x)))
