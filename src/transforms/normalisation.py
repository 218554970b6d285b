"""Features → features of mean 0 and standard deviation 1.

Padding is never counted; what stands in padded frames afterwards is the front end's to clear.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from src.batch import padding_mask
from src.transforms.checks import check_number
from src.transforms.statistics import read_statistics
from src.utils.errors import UserError


class NoNormalisation(nn.Module):
    """Leaves features as they are."""

    def prepare(self, n_features: int) -> None:
        """Nothing to prepare."""

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Features (B, T, F) as they came."""
        return features


class UtteranceNormalisation(nn.Module):
    """Mean and variance of each utterance over its own frames.

    Takes loudness and microphone out, and needs nothing but the utterance; it must be heard
    to its end first, though, so it is not for streams.
    """

    def __init__(self, *, per_bin: bool = True, min_std: float = 1e-3) -> None:
        """
        Args:
            per_bin: each feature bin by itself; False takes all bins together.
            min_std: divides instead of smaller deviations, lest silence become noise.
        """
        super().__init__()
        check_number("min_std", min_std, 1e-12, 1e3)
        self.dims = (1,) if per_bin else (1, 2)
        self.min_std = min_std

    def prepare(self, n_features: int) -> None:
        """Nothing to prepare."""

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Features (B, T, F) and their lengths (B,) to features normalised an utterance."""
        lengths = lengths.to(features.device, non_blocking=True)
        padding = padding_mask(lengths, features.shape[1])[:, :, None]
        count = lengths.clamp(min=1)[:, None, None]
        if len(self.dims) == 2:
            count = count * features.shape[2]
        # In two passes: the difference of squares loses all digits on a loud constant.
        mean = features.masked_fill(padding, 0).sum(self.dims, keepdim=True) / count
        centred = (features - mean).masked_fill(padding, 0)
        variance = centred.square().sum(self.dims, keepdim=True) / count
        return centred / variance.sqrt().clamp(min=self.min_std)


class StoredNormalisation(nn.Module):
    """Mean and standard deviation of each feature bin over a whole corpus.

    They travel with the weights in the state dict, so a checkpoint never asks for the file
    again: a missing file, or `statistics: null`, matters only if no weights were loaded
    before the first utterance.
    """

    mean: Tensor  # (F,)
    std: Tensor  # (F,)

    def __init__(self, *, statistics: str | Path | None, min_std: float = 1e-3) -> None:
        """
        Args:
            statistics: JSON file written by `FeatureStatistics.save`, or None.
            min_std: divides instead of smaller deviations.

        Raises:
            UserError: the file is there but damaged.
        """
        super().__init__()
        check_number("min_std", min_std, 1e-12, 1e3)
        self.statistics = statistics
        self.min_std = min_std
        self.known = False
        self.register_buffer("mean", None)
        self.register_buffer("std", None)

    def prepare(self, n_features: int) -> None:
        """Make room for the statistics of `n_features` bins, and read them if they are there.

        Raises:
            UserError: the file is damaged or made with another front end.
        """
        if self.statistics is None or not Path(self.statistics).exists():
            self.mean = torch.full((n_features,), torch.nan)
            self.std = torch.full((n_features,), torch.nan)
            return
        mean, std = read_statistics(self.statistics)
        if len(mean) != n_features:
            raise UserError(
                f"{self.statistics}: holds statistics of {len(mean)} features, but this front end "
                f"gives {n_features}. Compute them again: python -m scripts.compute_stats --help"
            )
        self.mean = torch.tensor(mean, dtype=torch.float32)
        self.std = torch.tensor(std, dtype=torch.float32)

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Features (B, T, F) to normalised features.

        Raises:
            UserError: neither a file nor a checkpoint gave the statistics.
        """
        if not self.known:  # asked once: a look at a CUDA tensor makes the CPU wait
            self.refuse_unknown()
            self.known = True
        return (features - self.mean) / self.std.clamp(min=self.min_std)

    def refuse_unknown(self, composed_with: str = "") -> None:
        """Ask for the statistics where there are none.

        Args:
            composed_with: config and overrides of the command line, if they are known.

        Raises:
            UserError: neither a file nor a checkpoint gave the statistics.
        """
        if not self.mean.isnan().any():
            return
        where = "is null" if self.statistics is None else f"={self.statistics}: no such file"
        composed_with = composed_with or "-cn=CONFIG transform=logmel80_stored"
        raise UserError(
            f"transform.normalise.statistics {where}, and no checkpoint brought the statistics. "
            f"Compute them with python -m scripts.compute_stats {composed_with} --out FILE, and "
            "add transform.normalise.statistics=FILE to the command."
        )
