"""Emissions of a recording of any length, a stretch of sound at a time."""

from collections.abc import Callable

import numpy as np
import torch

from src.batch import Emissions, to_int16

CHUNK_S = 30.0
CONTEXT_S = 3.0


def emissions_in_chunks(
    recognize: Callable[[torch.Tensor, torch.Tensor], Emissions],
    waveform: np.ndarray,
    samples_per_frame: int,
    *,
    chunk: int,
    context: int,
    device: torch.device | str = "cpu",
) -> np.ndarray:
    """Log-probabilities (T_out, V) float32, with memory for one chunk of the model's work.

    A chunk is heard with `context` frames on both sides, of which nothing is kept: what a
    model says at the edges of what it hears is worth less. A recording that fits into one chunk
    and its context is heard at once, as inference.py hears it.

    Args:
        recognize: waveforms (B, N) and their lengths (B,) to emissions.
        waveform: (N,) float in −1 … 1, N ≥ 1.
        samples_per_frame: from the start of one emitted frame to the next.
        chunk, context: emitted frames, at least 1.
    """
    kept: list[np.ndarray] = []
    start = 0
    while True:
        begin = max(0, start - context)
        stop = (start + chunk + context) * samples_per_frame
        heard = to_int16(waveform[begin * samples_per_frame : stop])
        emissions = recognize(torch.from_numpy(heard)[None].to(device), torch.tensor([len(heard)]))
        log_probs = emissions.log_probs[0, : int(emissions.lengths[0])].float().cpu().numpy()
        log_probs = log_probs[start - begin :]
        if stop >= len(waveform):
            return np.concatenate([*kept, log_probs])
        kept.append(log_probs[:chunk])
        start += chunk
