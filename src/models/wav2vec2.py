"""The encoders of wav2vec 2.0, HuBERT and WavLM, trained without transcripts, under a CTC head.

Baevski et al. 2020 (arXiv:2006.11477), Hsu et al. 2021 (arXiv:2106.07447), Chen et al. 2022
(arXiv:2110.13900). The three are one architecture; WavLM's attention hears distances too.
"""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from src.models.parts.checks import check_whole
from src.models.parts.frames import Frames
from src.models.parts.pretrained import load_pretrained
from src.models.parts.sample_convs import FRAME, SampleConvs
from src.models.parts.tuned import Attention, TunedEncoder, attention_mask, check_heads
from src.models.parts.wavlm import DistanceGate, Distances
from src.utils.errors import UserError

POSITION_KERNEL, POSITION_GROUPS = 128, 16

# What torchaudio and Hugging Face call the same weights: (theirs, ours), in this order.
OTHER_NAMES = (
    ("wav2vec2.", ""),
    ("hubert.", ""),
    ("wavlm.", ""),
    ("feature_extractor.conv_layers.", "convs.stack."),
    ("feature_projection.layer_norm.", "project_norm."),
    ("feature_projection.projection.", "project."),
    ("encoder.", ""),
    ("transformer.", ""),
    ("pos_conv_embed.conv.", "positions."),
    (".parametrizations.weight.original0", ".weight_g"),
    (".parametrizations.weight.original1", ".weight_v"),
    ("layers.0.attention.rel_attn_embed.", "distances.scores."),  # no other block has one
    ("layers.", "blocks."),
    ("attention.gru_rel_pos_linear.", "gate.gates."),
    ("attention.gru_rel_pos_const", "gate.scale"),
    ("attention.attention.", "attention."),
    ("attention.", "attn."),
    ("attn.k_proj.", "attn.key."),
    ("attn.q_proj.", "attn.query."),
    ("attn.v_proj.", "attn.value."),
    ("attn.out_proj.", "attn.out."),
    ("feed_forward.intermediate_dense.", "mlp.0."),
    ("feed_forward.output_dense.", "mlp.2."),
    ("final_layer_norm.", "mlp_norm."),
    ("layer_norm.", "norm."),
)


class Wav2Vec2(TunedEncoder):
    """Convolutions over samples, positions by a convolution, Transformer blocks, linear head.

    Args:
        n_features: samples of a frame; 160 with published weights.
        n_tokens: vocabulary size with the blank.
        weights: file of a published encoder, torchaudio's .pth or Hugging Face's .safetensors or
            .bin, read once when training starts: a checkpoint brings its own. None starts from
            random ones.
        n_channels: of the convolutions over samples.
        conv_norm: "group" or "layer", how they are normalised. conv_bias: whether they have a bias.
        width: of the blocks. n_heads: of each attention. n_layers: blocks.
        norm_first: LayerNorm before attention and MLP, instead of behind them.
        distances: attention hears how far frames are apart, as in WavLM.
        tuning: dropout, the head's layers, and how the encoder learns: see `TunedEncoder`. The
            lowest block brings what lies between it and the convolutions; n_tuned_layers=None
            trains these too.

    Raises:
        UserError: a value outside its range, or weights that are absent, of another shape, or for
            other features.
    """

    def __init__(
        self,
        n_features: int,
        n_tokens: int,
        weights: str | None = None,
        n_channels: int = 512,
        conv_norm: str = "group",
        conv_bias: bool = False,
        width: int = 768,
        n_heads: int = 12,
        n_layers: int = 12,
        norm_first: bool = False,
        distances: bool = False,
        **tuning: Any,
    ) -> None:
        check_whole("model.n_layers", n_layers, 1, 64)
        check_heads(width, n_heads)
        convs = SampleConvs(n_channels, conv_norm, conv_bias)
        encoder = Encoder(convs, n_channels, width, n_heads, n_layers, norm_first, distances)
        super().__init__(encoder, width, n_tokens, n_layers, **tuning)
        if weights is not None:
            if n_features != FRAME:
                raise UserError(
                    f"model.weights={weights}: trained on samples, {FRAME} a frame, but this "
                    f"transform gives {n_features} features; take transform=raw or raw_unscaled."
                )
            load_pretrained(
                self.encoder,
                Path(weights),
                OTHER_NAMES,
                "model.weights",
                converted,
                nothing_left=("convs.", "distances.", "blocks."),
            )


class Encoder(nn.Module):
    """Everything below the head."""

    def __init__(
        self,
        convs: SampleConvs,
        n_channels: int,
        width: int,
        n_heads: int,
        n_layers: int,
        norm_first: bool,
        distances: bool,
    ) -> None:
        super().__init__()
        self.norm_first = norm_first
        self.convs = convs
        self.project_norm = nn.LayerNorm(n_channels)
        self.project = nn.Linear(n_channels, width)
        # 16 groups, or as many of them as divide a narrower width.
        groups = math.gcd(POSITION_GROUPS, width)
        half = POSITION_KERNEL // 2
        self.positions = nn.Conv1d(width, width, POSITION_KERNEL, padding=half, groups=groups)
        self.norm = nn.LayerNorm(width)
        self.distances = Distances(n_heads) if distances else None
        self.blocks = nn.ModuleList(
            Block(width, n_heads, norm_first, distances) for _ in range(n_layers)
        )

    def depth_of(self, name: str) -> int:
        """How many blocks must learn before the parameter `name` does, counted from the top."""
        n = len(self.blocks)
        if name.startswith("blocks."):
            return n - int(name.split(".")[1])
        if name.startswith("convs."):
            return n + 1
        return 1 if name.startswith("norm.") and self.norm_first else n

    def forward(self, x: Tensor, frames: Frames, n_learning: int) -> tuple[Tensor, Frames]:
        """x (B, T, F) to (B, ⌈T / 2⌉, D), of which the uppermost `n_learning` blocks learn."""
        learns, n = torch.is_grad_enabled(), len(self.blocks)
        with torch.set_grad_enabled(learns and n_learning > n):
            x, frames = self.convs(x, frames)
        with torch.set_grad_enabled(learns and n_learning >= n):
            x = self._placed(x, frames)
            distances = None if self.distances is None else self.distances(x.shape[1])
        mask = attention_mask(frames)
        for i, block in enumerate(self.blocks):
            with torch.set_grad_enabled(learns and i >= n - n_learning):
                x = block(x, mask, distances)
        with torch.set_grad_enabled(learns and n_learning > 0):
            return frames.silence(self.norm(x) if self.norm_first else x), frames

    def _placed(self, x: Tensor, frames: Frames) -> Tensor:
        """Outputs of the convolutions (B, T_out, C) to what enters the blocks, (B, T_out, D)."""
        x = frames.silence(self.project(self.project_norm(x)))
        # An even kernel gives one frame more than it gets.
        near = self.positions(x.transpose(1, 2))[:, :, : x.shape[1]].transpose(1, 2)
        x = x + functional.gelu(near)
        return x if self.norm_first else self.norm(x)


class Block(nn.Module):
    """x + attention(x), then x + MLP(x), with LayerNorm before each or behind each sum."""

    def __init__(self, width: int, n_heads: int, norm_first: bool, distances: bool) -> None:
        super().__init__()
        self.norm_first = norm_first
        self.attn = Attention(width, n_heads)
        self.gate = DistanceGate(width, n_heads) if distances else None
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.mlp_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, mask: Tensor | None, distances: Tensor | None) -> Tensor:
        """x (B, T, D) to the same shape; `mask` (B, 1, 1, T) is True where x may be heard."""
        if self.norm_first:
            x = x + self._attend(self.norm(x), mask, distances)
            return x + self.mlp(self.mlp_norm(x))
        x = self.norm(x + self._attend(x, mask, distances))
        return self.mlp_norm(x + self.mlp(x))

    def _attend(self, x: Tensor, mask: Tensor | None, distances: Tensor | None) -> Tensor:
        if self.gate is not None:
            mask = self.gate(x, distances, mask)
        return self.attn(x, mask)


def converted(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Published weights, by our names, as ours.

    The kernel over positions is stored as a length g at each of its places and a direction v,
    w = g · v / ‖v‖ (Salimans & Kingma 2016); torchaudio stores WavLM's projections as one. Keys'
    biases change nothing and are left out.
    """
    weights = dict(weights)
    length, direction = (weights.pop(f"positions.weight_{part}", None) for part in "gv")
    if length is not None and direction is not None:
        direction = direction.float()
        norm = direction.norm(dim=(0, 1), keepdim=True)
        weights["positions.weight"] = length.float() * direction / norm
    for part in ("weight", "bias"):
        for name in [name for name in weights if name.endswith(f"in_proj_{part}")]:
            stem = name.removesuffix(f"in_proj_{part}")
            names = (f"{stem}{projection}.{part}" for projection in ("query", "key", "value"))
            weights |= zip(names, weights.pop(name).chunk(3), strict=True)
    return {name: w for name, w in weights.items() if not name.endswith("attn.key.bias")}
