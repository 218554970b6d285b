"""Whisper's audio encoder under a CTC head: a Transformer that has heard 680,000 hours of speech.

Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak Supervision", section 2.2.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from src.models.parts.checks import check_whole
from src.models.parts.frames import Frames
from src.models.parts.pretrained import load_pretrained
from src.models.parts.tuned import Attention, TunedEncoder, attention_mask, check_heads

# What other publishers call the same weights: (theirs, ours), in this order.
OTHER_NAMES = (
    ("model.encoder.", ""),
    ("encoder.", ""),
    ("layers.", "blocks."),
    ("self_attn_layer_norm.", "attn_ln."),
    ("final_layer_norm.", "mlp_ln."),
    ("layer_norm.", "ln_post."),
    ("self_attn.k_proj.", "attn.key."),
    ("self_attn.q_proj.", "attn.query."),
    ("self_attn.v_proj.", "attn.value."),
    ("self_attn.out_proj.", "attn.out."),
    (".fc1.", ".mlp.0."),
    (".fc2.", ".mlp.2."),
)


class Whisper(TunedEncoder):
    """Two convolutions over time, sinusoidal positions, pre-norm Transformer blocks, linear head.

    Args:
        n_features: feature bins; 80 with published weights.
        n_tokens: vocabulary size with the blank.
        weights: safetensors file of a published encoder, read once when training starts: a
            checkpoint brings its own. None starts from random ones.
        width: of the encoder. n_heads: of each attention. n_layers: blocks.
        tuning: dropout, the head's layers, and how the encoder learns: see `TunedEncoder`.
            n_tuned_layers=None trains the convolutions too.

    Raises:
        UserError: a value outside its range, or weights that are absent or of another shape.
    """

    def __init__(
        self,
        n_features: int,
        n_tokens: int,
        weights: str | None = None,
        width: int = 384,
        n_heads: int = 6,
        n_layers: int = 4,
        **tuning: Any,
    ) -> None:
        check_whole("model.n_layers", n_layers, 1, 64)
        check_heads(width, n_heads)
        encoder = Encoder(n_features, width, n_heads, n_layers)
        super().__init__(encoder, width, n_tokens, n_layers, **tuning)
        if weights is not None:
            load_pretrained(self.encoder, Path(weights), OTHER_NAMES, "model.weights")


class Encoder(nn.Module):
    """Whisper's encoder, its parameters named as OpenAI published them."""

    def __init__(self, n_features: int, width: int, n_heads: int, n_layers: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(n_features, width, kernel_size=3, padding=1)
        self.conv2 = nn.Conv1d(width, width, kernel_size=3, stride=2, padding=1)
        self.blocks = nn.ModuleList(Block(width, n_heads) for _ in range(n_layers))
        self.ln_post = nn.LayerNorm(width)

    def depth_of(self, name: str) -> int:
        """How many blocks must learn before the parameter `name` does, counted from the top."""
        if name.startswith("conv"):
            return len(self.blocks) + 1
        return len(self.blocks) - int(name.split(".")[1]) if name.startswith("blocks.") else 1

    def forward(self, x: Tensor, frames: Frames, n_learning: int) -> tuple[Tensor, Frames]:
        """x (B, T, F) to (B, ⌈T / 2⌉, D), of which the uppermost `n_learning` blocks learn."""
        learns = torch.is_grad_enabled()
        with torch.set_grad_enabled(learns and n_learning > len(self.blocks)):
            x = functional.gelu(self.conv1(x.transpose(1, 2)))
            # The bias leaves something in the padding, which the next convolution would hear.
            x = functional.gelu(self.conv2(frames.silence(x, time_axis=2))).transpose(1, 2)
            frames = frames.strided(2)
            x = frames.silence(x + positions(x.shape[1], x.shape[2], x.device))
        mask = attention_mask(frames)
        for i, block in enumerate(self.blocks):
            with torch.set_grad_enabled(learns and i >= len(self.blocks) - n_learning):
                x = block(x, mask)
        with torch.set_grad_enabled(learns and n_learning > 0):
            return frames.silence(self.ln_post(x)), frames


class Block(nn.Module):
    """x + attention(LayerNorm(x)), then x + MLP(LayerNorm(x))."""

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.attn = Attention(width, n_heads)
        self.attn_ln = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.mlp_ln = nn.LayerNorm(width)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """x (B, T, D) to the same shape; `mask` (B, 1, 1, T) is True where x may be heard."""
        x = x + self.attn(self.attn_ln(x), mask)
        return x + self.mlp(self.mlp_ln(x))


def positions(n_frames: int, width: int, device: torch.device) -> Tensor:
    """Sinusoids (T, D): sines, then cosines, of D / 2 frequencies from 1 down to 1 / 10,000."""
    half = width // 2
    steps = torch.arange(half, device=device) / max(1, half - 1)
    angles = torch.arange(n_frames, device=device)[:, None] * 10_000.0**-steps
    return torch.cat([angles.sin(), angles.cos()], dim=1)
