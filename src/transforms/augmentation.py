"""Several augmentations in a row: of waveforms before the front end, of features after it."""

import torch
from torch import Tensor, nn

from src.transforms.waveform.step import WaveformSteps
from src.utils.errors import UserError


class FeatureSteps(nn.Module):
    """Augmentations of features, in the order in which they are named."""

    def __init__(self, **steps: nn.Module) -> None:
        super().__init__()
        for name, step in steps.items():
            if not isinstance(step, nn.Module) or isinstance(step, WaveformSteps):
                raise UserError(
                    f"augment.features.{name}={step}: expected an augmentation of features, "
                    "with its _target_."
                )
        self.steps = nn.ModuleDict(steps)

    def forward(
        self, features: Tensor, lengths: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Features (B, T, F) and their lengths (B,) to features of the same lengths."""
        for step in self.steps.values():
            features = step(features, lengths, generator)
        return features


class Augmentation(nn.Module):
    """What is done to waveforms, and what to features. The trainer calls the two apart."""

    def __init__(self, *, waveform: nn.Module, features: nn.Module) -> None:
        """
        Args:
            waveform: `WaveformSteps`.
            features: `FeatureSteps`, or one augmentation of features.
        """
        super().__init__()
        if not isinstance(waveform, WaveformSteps):
            raise UserError(
                "augment.waveform: expected _target_=src.transforms.WaveformSteps, and below it "
                "the augmentations of waveforms."
            )
        self.waveform = waveform
        self.features = features
