"""What WavLM's attention has besides: scores for distances, gated by the frame that listens.

Chen et al. 2022, "WavLM: Large-Scale Self-Supervised Pre-Training for Full Stack Speech
Processing", section III.B.
"""

import math

import torch
from torch import Tensor, nn

N_BUCKETS = 320  # of distances, half of them for what lies behind
FARTHEST = 800  # emitted frames from which on all distances are one
N_GATE_INPUTS = 4  # sums that each of the two gates is the sigmoid of


class Distances(nn.Module):
    """A learned score for each head and distance between two frames; all blocks share it."""

    def __init__(self, n_heads: int) -> None:
        super().__init__()
        self.scores = nn.Embedding(N_BUCKETS, n_heads)
        nn.init.normal_(self.scores.weight, std=0.02)  # says next to nothing until it has learnt

    def forward(self, n_frames: int) -> Tensor:
        """Scores (n_heads, T, T) of the frames that listen and those that are heard."""
        times = torch.arange(n_frames, device=self.scores.weight.device)
        return self.scores(buckets(times[None, :] - times[:, None])).permute(2, 0, 1)


def buckets(distances: Tensor) -> Tensor:
    """The bucket of each distance in frames, 0 … 319; positive distances are those ahead.

    A bucket for each distance below 80, then logarithmically wider ones up to 800 frames.
    """
    half = N_BUCKETS // 2
    single = half // 2
    far = distances.abs()
    scale = (half - single) / math.log(FARTHEST / single)
    wider = single + ((far.clamp(min=1).float() / single).log() * scale).long()
    return torch.where(far < single, far, wider.clamp(max=half - 1)) + half * (distances > 0)


class DistanceGate(nn.Module):
    """How much of the distances' scores a frame lets in, by what it is; of one block."""

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.gates = nn.Linear(width // n_heads, 2 * N_GATE_INPUTS)
        self.scale = nn.Parameter(torch.ones(1, n_heads, 1, 1))

    def forward(self, x: Tensor, distances: Tensor, mask: Tensor | None) -> Tensor:
        """What attention adds to its scores, (B, n_heads, T, T).

        Args:
            x: input of the attention, (B, T, D).
            distances: (n_heads, T, T). mask: (B, 1, 1, T), True where x may be heard.
        """
        gates = self.gates(x.unflatten(2, (self.n_heads, -1)).transpose(1, 2))
        gates = gates.unflatten(3, (2, N_GATE_INPUTS)).sum(4).sigmoid()  # (B, n_heads, T, 2)
        update, reset = gates.split(1, dim=3)
        scores = (2 + update * (reset * self.scale - 1)) * distances
        return scores if mask is None else scores.masked_fill(~mask, -torch.inf)
