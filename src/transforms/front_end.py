"""Waveforms → features, on whole batches, on any device."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from src.batch import padding_mask, to_float
from src.transforms.checks import check_number
from src.transforms.deltas import Deltas


class FrontEnd(nn.Module):
    """Pre-emphasis → features → deltas → normalisation.

    An utterance gets the frames it gets alone, whatever stands beside it in the batch and
    whatever its padding holds; frames beyond its length are 0. Always float32.
    """

    def __init__(
        self,
        *,
        features: nn.Module,
        normalise: nn.Module,
        pre_emphasis: float = 0.0,
        deltas: int = 0,
    ) -> None:
        """
        Args:
            features: `Spectrogram`, `LogMel`, `MFCC` or `RawFrames`.
            normalise: `NoNormalisation`, `UtteranceNormalisation` or `StoredNormalisation`.
            pre_emphasis: a in y[n] = x[n] − a · x[n−1]; 0 = off.
            deltas: 1 appends slopes over time, 2 the slopes of slopes too.
        """
        super().__init__()
        check_number("pre_emphasis", pre_emphasis, 0, 1)
        self.pre_emphasis = pre_emphasis
        self.features = features
        self.deltas = Deltas(deltas)
        self.normalise = normalise
        self.n_features: int = features.n_features * (1 + deltas)
        self.hop_s: float = features.hop_s  # seconds from one frame to the next
        self.sample_rate: int = features.sample_rate
        normalise.prepare(self.n_features)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Frames of waveforms of `lengths` samples, (B,) int64."""
        return self.features.output_lengths(lengths)

    def forward(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Waveforms (B, N) and lengths (B,) in samples to features (B, T, F) and lengths (B,).

        int16 waveforms are taken at full scale 32768. Lengths belong on the CPU, and stay there.
        """
        features, lengths = self.unnormalised(waveforms, lengths)
        with _full_precision(features):
            features = self.normalise(features, lengths)
        padding = padding_mask(lengths, features.shape[1], features.device)
        return features.masked_fill(padding[:, :, None], 0), lengths

    def unnormalised(self, waveforms: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward`, before normalisation: what corpus statistics are taken of.

        Frames beyond an utterance's length hold anything.
        """
        with _full_precision(waveforms):
            waveforms = to_float(waveforms)
            if self.pre_emphasis:
                waveforms = self._emphasise(waveforms)
            # Only a frame of a clip shorter than a window reaches into padding; it hears zeros.
            padding = padding_mask(lengths, waveforms.shape[1], waveforms.device)
            waveforms = waveforms.masked_fill(padding, 0)
            features = self.features(waveforms)
            lengths = self.output_lengths(lengths)
            return self.deltas(features, lengths), lengths

    def _emphasise(self, waveforms: Tensor) -> Tensor:
        later = waveforms[:, 1:] - self.pre_emphasis * waveforms[:, :-1]
        return torch.cat([waveforms[:, :1], later], dim=1)


def _full_precision(x: Tensor) -> AbstractContextManager:
    """The dynamic range of a power spectrum does not fit into 16 bits."""
    # Where nothing would be cast there is nothing to forbid: torch.export fails on a context with
    # no operator within, which is what NoNormalisation leaves.
    casts = torch.is_autocast_enabled(x.device.type)
    return torch.autocast(x.device.type, enabled=False) if casts else nullcontext()
