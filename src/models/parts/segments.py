"""The frames in which something is heard, of all that a CTC model emits."""

from typing import NamedTuple

import torch
from torch import Tensor

from src.batch import padding_mask

BLANK = 0


class Segments(NamedTuple):
    """One frame for each token that an utterance may hold, in the order of time."""

    frames: Tensor  # (B, S) int64; behind an utterance's own, any frames without a segment
    lengths: Tensor  # (B,) int64, on the CPU: segments of each utterance
    posteriors: Tensor  # (B, S, V), of those frames; zeros behind an utterance's own


def segments(log_probs: Tensor, lengths: Tensor, threshold: float) -> Segments:
    """Runs of frames whose likeliest token but the blank is the same, each by its surest frame.

    A frame in which no token has the posterior `threshold` is silent and ends a run. With 0.5 that
    is best-path decoding; below, tokens are seen too that the blank outdid. Frames of CTC models
    that say nothing, nine of ten, are left out (Gaido et al. 2021, "CTC-based Compression for
    Direct Speech Translation", arXiv:2102.01578, who take the mean of each run).

    Args:
        log_probs: (B, T, V), T at least 1. lengths: (B,) int64.
        threshold: 0 … 1.
    """
    posteriors = log_probs.float().exp()
    n_frames = posteriors.shape[1]
    sure, tokens = posteriors[..., BLANK + 1 :].max(-1)  # (B, T)
    padding = padding_mask(lengths, n_frames, sure.device)
    heard = (sure >= threshold) & ~padding
    tokens = torch.where(heard, tokens, -1)
    begins = torch.ones_like(heard)
    begins[:, 1:] = tokens[:, 1:] != tokens[:, :-1]
    runs = begins.long().cumsum(1) - 1
    peaks = torch.zeros_like(sure).scatter_reduce(1, runs, sure, "amax").gather(1, runs)
    place = torch.arange(n_frames, device=sure.device).expand_as(runs)
    # Saturated posteriors are often equal: the first of a run's surest frames stands for it.
    first = torch.where(sure == peaks, place, n_frames)
    first = torch.full_like(runs, n_frames).scatter_reduce(1, runs, first, "amin").gather(1, runs)
    chosen = heard & (place == first)
    found = chosen.sum(1).cpu()
    # First the frames that were chosen, in their order, then the others in theirs.
    order = torch.where(chosen, place, place + n_frames).sort(1).values[:, : _longest(found, place)]
    frames = torch.where(order < n_frames, order, order - n_frames)
    n = frames.shape[1]
    seen = posteriors.gather(1, frames[..., None].expand(-1, -1, posteriors.shape[2]))
    silent = padding_mask(found, n, sure.device)[..., None]
    return Segments(frames, found, seen.masked_fill(silent, 0.0))


def _longest(lengths: Tensor, place: Tensor) -> int:
    """The most segments of an utterance, at least one; in an exported graph all frames."""
    if torch.jit.is_tracing() or torch.compiler.is_exporting():
        return place.shape[1]
    return max(1, int(lengths.max())) if len(lengths) else 1
