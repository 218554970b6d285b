"""A front end fed piece by piece: the features of the whole, as soon as they can be known."""

import torch
from torch import Tensor

from src.batch import to_float
from src.transforms.features import MFCC, LogMel, RawFrames, Spectrogram
from src.transforms.framing import Framing
from src.transforms.front_end import FrontEnd
from src.transforms.normalisation import NoNormalisation, StoredNormalisation
from src.utils.errors import UserError


class StreamingFrontEnd:
    """One stream of samples through a front end; every way of cutting it gives the same frames.

    Args:
        front_end: whose frames depend on their own samples only (those are the windows'), and are
            normalised by nothing or by a corpus.

    Raises:
        UserError: its frames depend on what is yet to come.
    """

    def __init__(self, front_end: FrontEnd) -> None:
        check_streamable(front_end)
        framing = next(m for m in front_end.modules() if isinstance(m, Framing))
        self._front_end = front_end
        self._window, self._hop = framing.window_length, framing.hop_length
        self._before = torch.zeros(1)  # the sample before, for pre-emphasis
        self._kept = torch.zeros(0)  # samples that frames to come will hear
        self._n_frames = 0

    @torch.no_grad()
    def __call__(self, waveform: Tensor) -> Tensor:
        """The next samples (N,), int16 or float in −1 … 1, to the next features (1, T, F)."""
        samples = torch.cat([self._before.to(waveform.device), to_float(waveform)])
        self._before = samples[-1:]
        emphasised = samples[1:] - self._front_end.pre_emphasis * samples[:-1]
        self._kept = torch.cat([self._kept.to(waveform.device), emphasised])
        n_frames = max(0, 1 + (len(self._kept) - self._window) // self._hop)
        features = self._features(n_frames)
        self._kept = self._kept[n_frames * self._hop :]
        return features

    @torch.no_grad()
    def end(self) -> Tensor:
        """What is left when the stream ends, (1, T, F): one frame of a clip below a window."""
        return self._features(int(self._n_frames == 0 and len(self._kept) > 0))

    def _features(self, n_frames: int) -> Tensor:
        """(1, n_frames, F) of the samples kept."""
        if n_frames == 0:
            return self._kept.new_zeros(1, 0, self._front_end.n_features)
        self._n_frames += n_frames
        # A single frame may be short of samples: the framing adds zeros to one window.
        heard = self._kept[None, : self._window + (n_frames - 1) * self._hop]
        return self._front_end.normalise(self._front_end.features(heard), torch.tensor([n_frames]))


def check_streamable(front_end: FrontEnd) -> None:
    """Refuse a front end that must hear an utterance to its end, or some frames ahead.

    Raises:
        UserError: naming what it is that looks ahead.
    """
    if not isinstance(front_end.normalise, StoredNormalisation | NoNormalisation):
        raise UserError(
            "This model's features are normalised by the whole utterance, which a stream has not "
            "heard yet. Train with transform=logmel80_stored, whose statistics are a corpus's."
        )
    if front_end.deltas.order:
        raise UserError(
            "This model's features have slopes over frames to come (deltas), which a stream has "
            "not heard yet. Train with transform.deltas=0."
        )
    framing = next((m for m in front_end.modules() if isinstance(m, Framing)), None)
    known = isinstance(front_end.features, Spectrogram | LogMel | MFCC | RawFrames)
    if not known or framing is None or framing.hop_length > framing.window_length:
        raise UserError(
            "This model's frames are not windows that follow each other, so they can't be "
            "streamed. Train with transform=logmel80_stored."
        )
