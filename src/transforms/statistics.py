"""Mean and standard deviation of features over a corpus, and the file that keeps them."""

import json
import math
from pathlib import Path

import torch
from torch import Tensor

from src.batch import padding_mask
from src.utils.errors import UserError
from src.utils.files import write_json


class FeatureStatistics:
    """Accumulates the mean and standard deviation of each feature bin, in float64.

    Batches are merged by Chan, Golub & LeVeque's update (1979): unlike the difference of
    squares it keeps its digits over millions of frames.
    """

    def __init__(self, n_features: int) -> None:
        self.n_frames = 0
        self.mean = torch.zeros(n_features, dtype=torch.float64)
        self._squares = torch.zeros(n_features, dtype=torch.float64)  # Σ (x − mean)²

    def update(self, features: Tensor, lengths: Tensor) -> None:
        """Count the valid frames of features (B, T, F) of lengths (B,)."""
        valid = ~padding_mask(lengths, features.shape[1], features.device)
        frames = features[valid].to("cpu", torch.float64)  # (n, F)
        n = len(frames)
        if n == 0:
            return
        mean = frames.mean(0)
        total = self.n_frames + n
        shift = mean - self.mean
        self._squares += (frames - mean).square().sum(0)
        self._squares += shift.square() * (self.n_frames * n / total)
        self.mean += shift * (n / total)
        self.n_frames = total

    @property
    def std(self) -> Tensor:
        """(F,) float64; divided by the number of frames."""
        return (self._squares / max(1, self.n_frames)).sqrt()

    def save(self, path: str | Path) -> None:
        """Write a JSON file for `StoredNormalisation`.

        Raises:
            UserError: no frame was counted, or the file can't be written.
        """
        if self.n_frames == 0:
            raise UserError(f"{path}: not written, since no frame was counted; is the data empty?")
        mean, std = self.mean.tolist(), self.std.tolist()
        write_json(path, {"n_frames": self.n_frames, "mean": mean, "std": std})


def read_statistics(path: str | Path) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each feature bin.

    Raises:
        UserError: no such file, not JSON, or not statistics of features.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: could not be read ({error.strerror or error}).") from error
    except (ValueError, RecursionError) as error:
        raise _damaged(path, "is not JSON") from error
    if not isinstance(content, dict) or not {"mean", "std"} <= content.keys():
        raise _damaged(path, 'lacks "mean" or "std"')
    mean, std = content["mean"], content["std"]
    if not (_numbers(mean) and _numbers(std) and len(mean) == len(std)):
        raise _damaged(path, '"mean" and "std" are not two equally long lists of finite numbers')
    if min(std) < 0:
        raise _damaged(path, '"std" holds negative numbers')
    return mean, std


def _numbers(values: object) -> bool:
    return (
        isinstance(values, list)
        and len(values) > 0
        and all(type(v) in (int, float) and _is_finite(v) for v in values)
    )


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer of more than 308 digits
        return False


def _damaged(path: str | Path, how: str) -> UserError:
    return UserError(
        f"{path}: not a file of feature statistics ({how}). "
        "Compute them again: python -m scripts.compute_stats --help"
    )
