"""Chunks put together again."""

import numpy as np
import pytest
import torch

from src.alignment import emissions_in_chunks
from src.batch import Emissions, to_float

SAMPLES = 4  # of a frame


class Echo:
    """Says the mean of each frame's samples, and keeps the lengths that it heard.

    A frame needs its samples and two more, as a window longer than its hop does.
    """

    def __init__(self) -> None:
        self.heard: list[int] = []

    def __call__(self, waveforms, lengths) -> Emissions:
        self.heard.append(int(lengths[0]))
        frames = to_float(waveforms)[0].unfold(0, SAMPLES + 2, SAMPLES)[:, :SAMPLES]
        said = frames.mean(1)[None, :, None]
        return Emissions(said, torch.tensor([said.shape[1]]))


@pytest.mark.parametrize("n_samples", [6, 50, 66, 67, 100, 101, 102, 103, 104, 105, 106, 999])
@pytest.mark.parametrize(("chunk", "context"), [(10, 3), (7, 1), (1, 5), (1000, 2)])
def test_no_frame_is_lost_doubled_or_moved(n_samples, chunk, context):
    waveform = np.random.default_rng(0).uniform(-1, 1, n_samples).astype(np.float32)
    echo = Echo()
    whole = emissions_in_chunks(Echo(), waveform, SAMPLES, chunk=10**6, context=1)
    parts = emissions_in_chunks(echo, waveform, SAMPLES, chunk=chunk, context=context)
    np.testing.assert_array_equal(whole, parts)
    assert whole.shape == (1 + (n_samples - 6) // SAMPLES, 1)
    assert max(echo.heard) <= (chunk + 2 * context) * SAMPLES
