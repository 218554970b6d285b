"""Two views of the same speech, from which different parts are hidden."""

import torch
from torch import Tensor, nn

from src.transforms.augmentation import FeatureSteps
from src.transforms.time_warp import TimeWarp


class TwoViews(nn.Module):
    """An augmentation of features, for batches that hold each utterance twice.

    What moves frames, `TimeWarp`, moves them alike in both views, so that frame t of one is the
    same moment as frame t of the other. All else is drawn for each view.

    Args:
        augment: `(features, lengths, generator) -> features`.
    """

    def __init__(self, augment: nn.Module) -> None:
        super().__init__()
        self.augment = augment

    def forward(
        self, features: Tensor, lengths: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Features (2B, T, F), all first views before all second, and lengths (2B,) to the same."""
        return _changed(self.augment, features, lengths, generator)


def _changed(
    augment: nn.Module, features: Tensor, lengths: Tensor, generator: torch.Generator | None
) -> Tensor:
    if isinstance(augment, FeatureSteps):
        for step in augment.steps.values():
            features = _changed(step, features, lengths, generator)
        return features
    if not isinstance(augment, TimeWarp):
        return augment(features, lengths, generator)
    # Both views as one utterance of twice the bins: one draw moves both.
    side_by_side = torch.cat(features.chunk(2), dim=2)
    warped = augment(side_by_side, lengths[: len(lengths) // 2], generator)
    return torch.cat(warped.chunk(2, dim=2))
