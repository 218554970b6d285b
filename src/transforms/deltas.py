"""Features of a frame → the same and how fast they change."""

import torch
from torch import Tensor, nn

from src.transforms.checks import check_whole

REACH = 2  # frames on each side that the regression sees


class Deltas(nn.Module):
    """Appends regression slopes (Δ) and slopes of slopes (ΔΔ) to each frame.

    Δ_t = Σ_k k · (x_{t+k} − x_{t−k}) / (2 · Σ_k k²), k = 1 … 2 (the HTK book, section 5.9),
    where frames beyond an utterance's ends repeat its first and last frame.
    """

    def __init__(self, order: int) -> None:
        super().__init__()
        check_whole("deltas", order, 0, 2)
        self.order = order

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Features (B, T, F) and their lengths (B,) to (B, T, F · (1 + order))."""
        parts = [features]
        for _ in range(self.order):
            parts.append(_slopes(parts[-1], lengths))
        return torch.cat(parts, dim=-1)


def _slopes(x: Tensor, lengths: Tensor) -> Tensor:
    frames = torch.arange(x.shape[1], device=x.device)
    last = (lengths.to(x.device, non_blocking=True) - 1).clamp(min=0)[:, None]

    def neighbour(offset: int) -> Tensor:
        index = (frames + offset).clamp(min=0).minimum(last)  # (B, T)
        return x.gather(1, index[:, :, None].expand_as(x))

    norm = 2 * sum(k * k for k in range(1, REACH + 1))
    return sum(k * (neighbour(k) - neighbour(-k)) for k in range(1, REACH + 1)) / norm
