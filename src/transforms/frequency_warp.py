"""Features → features of a longer or shorter vocal tract, in training only."""

import torch
from torch import Tensor, nn

from src.transforms.checks import check_number, check_range
from src.transforms.front_end import FrontEnd
from src.utils.errors import UserError


class FrequencyWarp(nn.Module):
    """Multiplies all frequencies of an utterance by one factor, time unchanged.

    Vocal tract length perturbation (Jaitly & Hinton 2013, section 2): the factor holds up to a
    bend, and from there a straight line leads to the highest band, which stays. They warp the
    filterbank; here its bands are, normalised ones too, and lie on a line between two of them.
    """

    centres: Tensor  # (F,) Hz, of the bands

    def __init__(
        self,
        *,
        probability: float = 1.0,
        min_factor: float = 0.9,
        max_factor: float = 1.1,
        bend_hz: float = 4800.0,
    ) -> None:
        """
        Args:
            probability: share of the utterances that are changed.
            min_factor: lowest factor; below 1 is a longer vocal tract.
            max_factor: highest factor; uniform between the two.
            bend_hz: F_hi, beyond the formants that matter.
        """
        super().__init__()
        check_number("probability", probability, 0, 1)
        check_range("factor", min_factor, max_factor, 0.5, 2)
        check_number("bend_hz", bend_hz, 1, 1_000_000)
        self.probability = probability
        self.min_factor, self.max_factor = min_factor, max_factor
        self.bend_hz = bend_hz

    def prepare(self, front_end: FrontEnd) -> None:
        """Where the bands lie. Call it once, before the first batch.

        Raises:
            UserError: these features are no bands of frequency, or all lie below the bend.
        """
        centres = getattr(front_end.features, "centres_hz", None)
        if centres is None or len(centres) != front_end.n_features:
            raise UserError(
                "frequency_warp needs bands of frequency, without deltas and one frame at a time; "
                "choose transform=logmel80, or leave it out with ~augment.features.frequency_warp."
            )
        if self.bend_hz >= centres[-1]:
            raise UserError(
                f"bend_hz={self.bend_hz:g}: expected less than the {centres[-1]:.0f} Hz of the "
                "highest band."
            )
        self.register_buffer("centres", centres.clone(), persistent=False)

    def forward(
        self, features: Tensor, lengths: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Features (B, T, F) to features of the same shape.

        Args:
            generator: on the features' device; decides everything that is drawn.
        """
        draws = torch.rand(2, len(features), device=features.device, generator=generator)
        factors = self.min_factor + draws[1] * (self.max_factor - self.min_factor)
        factors = torch.where(draws[0] < self.probability, factors, 1)
        first, share = _between(self.centres, self._sources(factors))
        unchanged = (factors == 1)[:, None]
        first = first.where(~unchanged, torch.arange(len(self.centres), device=first.device))
        share = share.masked_fill(unchanged, 0)[:, None].to(features.dtype)
        following = (first + 1).clamp(max=len(self.centres) - 1)
        here, there = (i[:, None].expand_as(features) for i in (first, following))
        return features.gather(2, here).lerp(features.gather(2, there), share)

    def _sources(self, factors: Tensor) -> Tensor:
        """(B, F) Hz: which frequency each band shows, of each utterance's factor (B,)."""
        factors, top = factors[:, None], self.centres[-1]
        bend = self.bend_hz * factors.clamp(max=1)
        slope = (top - bend / factors) / (top - bend)
        beyond = top - (top - self.centres) * slope
        return torch.where(self.centres <= bend, self.centres / factors, beyond)


def _between(centres: Tensor, hz: Tensor) -> tuple[Tensor, Tensor]:
    """The band below each frequency, and how far up to the next it lies, 0 … 1; shapes of `hz`."""
    first = (torch.searchsorted(centres, hz, right=True) - 1).clamp(0, len(centres) - 2)
    below, above = centres[first], centres[first + 1]
    return first, ((hz - below) / (above - below).clamp(min=1e-6)).clamp(0, 1)
