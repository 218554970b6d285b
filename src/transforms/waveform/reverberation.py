"""The sound of a room: speech convolved with an impulse response.

The direct sound keeps its place, so frames keep theirs; what rings on beyond the end is cut off.
An utterance keeps its energy.
"""

import math

import torch
from torch import Tensor

from src.batch import padding_mask, to_float
from src.transforms.checks import check_number, check_range
from src.transforms.waveform.convolution import convolve
from src.transforms.waveform.noise import stored_noise, stretches
from src.transforms.waveform.recordings import find, read_folder
from src.transforms.waveform.step import (
    WaveformStep,
    decibels,
    energy,
    log_uniform,
    on_device,
    relative_level,
    resized,
    uniform,
)
from src.utils.errors import UserError

SIXTY_DB = math.log(10 ** (60 / 20))  # amplitude falls by this many nepers in the time RT60


class SimulatedRoom(WaveformStep):
    """Reverberation as exponentially decaying white noise behind the direct sound.

    Polack's model (thesis, Le Mans 1988): no single echoes, but any reverberation time and any
    share of direct sound, new for each utterance.
    """

    n_draws = 3

    def __init__(
        self,
        *,
        probability: float = 0.5,
        min_rt60_s: float = 0.1,
        max_rt60_s: float = 0.8,
        min_direct_db: float = -3.0,
        max_direct_db: float = 12.0,
    ) -> None:
        """
        Args:
            probability: share of the utterances that are changed.
            min_rt60_s, max_rt60_s: limits of the time in which the sound falls by 60 dB.
            min_direct_db, max_direct_db: limits of the direct sound's energy over that of the
                reverberation; less = further from the microphone.
        """
        super().__init__(probability)
        check_range("rt60_s", min_rt60_s, max_rt60_s, 0.01, 10)
        check_range("direct_db", min_direct_db, max_direct_db, -40, 60)
        self.rt60_s = min_rt60_s, max_rt60_s
        self.direct_db = min_direct_db, max_direct_db
        self.register_buffer("stored", stored_noise()[0], persistent=False)

    def change(self, waveforms: Tensor, lengths: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
        """As `WaveformStep.change`."""
        return reverberated(waveforms, lengths, self.responses(draws)), lengths

    def responses(self, draws: Tensor) -> Tensor:
        """Impulse responses (B, K), as long as the longest reverberation, for (B, 3) draws."""
        n_taps = max(2, round(self.rt60_s[1] * self.sample_rate))
        size = torch.full((len(draws),), len(self.stored))
        tail = stretches(self.stored, torch.zeros_like(size), size, draws[:, 0], n_taps)
        rt60_s = on_device(log_uniform(draws[:, 1:2], *self.rt60_s), tail)
        time_s = torch.arange(n_taps, device=tail.device) / self.sample_rate
        tail = tail * (-SIXTY_DB * time_s / rt60_s).exp()
        tail[:, 0] = 0
        softer = on_device(decibels(-uniform(draws[:, 2:3], *self.direct_db)), tail)
        responses = tail * softer / energy(tail).sqrt()
        responses[:, 0] = 1
        return responses


class RecordedRoom(WaveformStep):
    """Impulse responses from a folder of recordings, each as likely."""

    def __init__(
        self, *, folder: str | None, probability: float = 0.5, max_response_s: float = 1.0
    ) -> None:
        """
        Args:
            folder: searched with its subfolders; null = this step does nothing.
            probability: share of the utterances that are changed.
            max_response_s: what comes later in a response is left out.
        """
        super().__init__(probability if folder is not None else 0)
        check_number("probability", probability, 0, 1)
        check_number("max_response_s", max_response_s, 0.01, 10)
        self.folder = folder
        self.max_response_s = max_response_s
        self.register_buffer("stored", torch.zeros(0, 0), persistent=False)

    def prepare(self, sample_rate: int) -> None:
        """Reads the responses; raises UserError where there are none, or one is unreadable."""
        super().prepare(sample_rate)
        if self.folder is None or not self.probability:
            return
        n_taps = round(self.max_response_s * sample_rate)
        recordings = read_folder(self.folder, sample_rate, max_hours=5.0)
        responses = [from_its_peak(to_float(recording), n_taps) for recording in recordings]
        for path, response in zip(find(self.folder), responses, strict=True):
            if not response.any():
                raise UserError(f"{path}: an impulse response without a sound; remove it.")
        longest = max(map(len, responses))
        stored = torch.cat([resized(response[None], longest) for response in responses])
        self.stored = stored.to(self.stored.device)

    def change(self, waveforms: Tensor, lengths: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
        """As `WaveformStep.change`."""
        response = on_device((draws[:, 0] * len(self.stored)).long(), waveforms)
        return reverberated(waveforms, lengths, self.stored[response]), lengths


def from_its_peak(response: Tensor, n_taps: int) -> Tensor:
    """A measured response (K,) from the direct sound on, the loudest sample; `n_taps` at most."""
    peak = int(response.abs().argmax())
    return response[peak : peak + n_taps]


def reverberated(waveforms: Tensor, lengths: Tensor, responses: Tensor) -> Tensor:
    """Waveforms (B, N), zeros in the padding, in the rooms of (B, K), of the same energy."""
    padding = padding_mask(lengths, waveforms.shape[1], waveforms.device)
    wet = convolve(waveforms, responses).masked_fill(padding, 0)
    return wet * relative_level(waveforms, wet)
