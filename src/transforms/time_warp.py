"""Features → features of another rhythm, in training only."""

import torch
from torch import Tensor, nn

from src.transforms.checks import check_number, check_whole


class TimeWarp(nn.Module):
    """Moves one moment of an utterance to earlier or later and stretches what is around it.

    SpecAugment's time warping (Park et al. 2019, section 2) along straight lines: the moment is
    uniform among those that are further than the limit from both ends, the way uniform up to the
    limit. Begin, end and number of frames stay.
    """

    def __init__(self, *, probability: float = 0.5, max_warp_frames: int = 40) -> None:
        """
        Args:
            probability: share of the utterances that are changed.
            max_warp_frames: furthest way W, in feature frames; a quarter of an utterance at most.
        """
        super().__init__()
        check_number("probability", probability, 0, 1)
        check_whole("max_warp_frames", max_warp_frames, 0, 1_000_000)
        self.probability = probability
        self.max_warp_frames = max_warp_frames

    def forward(
        self, features: Tensor, lengths: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Features (B, T, F) and their lengths (B,) to features of the same lengths.

        Args:
            generator: on the features' device; decides everything that is drawn.
        """
        n_frames = features.shape[1]
        lengths = lengths.to(features.device, non_blocking=True)
        draws = torch.rand(3, len(lengths), device=features.device, generator=generator)
        last = (lengths - 1).clamp(min=0).float()
        limit = (last / 4).clamp(max=self.max_warp_frames)
        limit = torch.where(draws[0] < self.probability, limit, 0)
        moment = limit + draws[1] * (last - 2 * limit)
        source = _warped(n_frames, moment + (2 * draws[2] - 1) * limit, moment, last)
        return _between(features, source)


def _warped(n_frames: int, to: Tensor, moment: Tensor, last: Tensor) -> Tensor:
    """(B, n_frames) float: where each frame comes from, if `moment` (B,) moves `to` (B,).

    Args:
        last: (B,) last frame of each utterance, which stays; all beyond it stay too.
    """
    frame = torch.arange(n_frames, device=last.device)
    to, moment, last = to[:, None], moment[:, None], last[:, None]
    before = frame * (moment / to.clamp(min=1e-6))
    after = moment + (frame - to) * ((last - moment) / (last - to).clamp(min=1e-6))
    source = torch.where(frame < to, before, after)
    moved = (to != moment) & (frame < last)
    return torch.where(moved, source, frame)


def _between(features: Tensor, source: Tensor) -> Tensor:
    """Features (B, T, F) at fractional frames (B, T), along straight lines between two."""
    n_frames, n_bins = features.shape[1:]
    first = source.long().clamp(0, max(0, n_frames - 1))
    share = (source - first)[:, :, None].to(features.dtype)
    following = (first + 1).clamp(max=max(0, n_frames - 1))
    here, there = (i[:, :, None].expand(-1, -1, n_bins) for i in (first, following))
    return features.gather(1, here).lerp(features.gather(1, there), share)
