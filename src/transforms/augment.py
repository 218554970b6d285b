"""Features → features made harder, in training only."""

import torch
from torch import Tensor, nn

from src.transforms.checks import check_number, check_whole


class Identity(nn.Module):
    """No augmentation."""

    def forward(
        self, features: Tensor, lengths: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Features (B, T, F) as they came."""
        return features


class SpecAugment(nn.Module):
    """Hides bands of frequency and spans of time (Park et al. 2019, without time warping).

    Hidden values become 0, which is the mean of normalised features. The widths are uniform
    from 0 to their limit, the places uniform wherever the mask fits into the utterance.
    """

    def __init__(
        self,
        *,
        n_frequency_masks: int = 2,
        max_frequency_bins: int = 27,
        n_time_masks: int = 2,
        max_time_frames: int = 100,
        max_time_fraction: float = 0.2,
    ) -> None:
        """
        Args:
            n_frequency_masks: bands hidden in each utterance, m_F.
            max_frequency_bins: widest band, F, in feature bins.
            n_time_masks: spans hidden in each utterance, m_T.
            max_time_frames: longest span, T, in feature frames.
            max_time_fraction: longest span as a share p of the utterance's own length.
        """
        super().__init__()
        check_whole("n_frequency_masks", n_frequency_masks, 0, 100)
        check_whole("max_frequency_bins", max_frequency_bins, 0, 10_000)
        check_whole("n_time_masks", n_time_masks, 0, 100)
        check_whole("max_time_frames", max_time_frames, 0, 1_000_000)
        check_number("max_time_fraction", max_time_fraction, 0, 1)
        self.n_frequency_masks = n_frequency_masks
        self.max_frequency_bins = max_frequency_bins
        self.n_time_masks = n_time_masks
        self.max_time_frames = max_time_frames
        self.max_time_fraction = max_time_fraction

    def forward(
        self, features: Tensor, lengths: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Features (B, T, F) and their lengths (B,) to features with each utterance's own holes.

        Args:
            generator: on the features' device; decides everything that is drawn.
        """
        n_frames, n_bins = features.shape[1:]
        lengths = lengths.to(features.device, non_blocking=True)
        bins = torch.full_like(lengths, n_bins)
        widest = bins.clamp(max=self.max_frequency_bins)
        longest = (lengths * self.max_time_fraction).long().clamp(max=self.max_time_frames)
        in_frequency = _masks(self.n_frequency_masks, bins, widest, n_bins, generator)
        in_time = _masks(self.n_time_masks, lengths, longest, n_frames, generator)
        return features.masked_fill(in_time[:, :, None] | in_frequency[:, None, :], 0)


def _masks(
    n_masks: int, lengths: Tensor, widest: Tensor, size: int, generator: torch.Generator | None
) -> Tensor:
    """(B, size) bool, True in any of `n_masks` spans drawn for each utterance.

    Args:
        lengths: (B,) positions of each utterance that a span may cover.
        widest: (B,) limit of the width, at most `lengths`.
    """
    draws = torch.rand(2, len(lengths), n_masks, device=lengths.device, generator=generator)
    width = _whole(draws[0], widest[:, None])
    start = _whole(draws[1], lengths[:, None] - width)
    position = torch.arange(size, device=lengths.device)
    after_start = position >= start[:, :, None]  # (B, n_masks, size)
    return (after_start & (position < (start + width)[:, :, None])).any(1)


def _whole(draws: Tensor, highest: Tensor) -> Tensor:
    """Uniform draws in [0, 1) to uniform whole numbers from 0 to `highest`."""
    # The product may round up to highest + 1.
    return (draws * (highest + 1)).long().minimum(highest)
