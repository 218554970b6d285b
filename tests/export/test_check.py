"""What the comparison of an exported file with its checkpoint sees, and what it tells of speed."""

import argparse
import time

import numpy as np
import pytest
import torch

from scripts.export import report
from src.batch import Emissions
from src.export import Comparison, compare, time_both
from src.export.check import batches
from src.export.speed import Seconds
from src.utils.errors import UserError

RATE = 1000
CLIPS = [np.full(n, level, np.float32) for n, level in ((300, 0.1), (500, 0.2), (400, 0.3))]


def listen(waveforms: torch.Tensor, lengths: torch.Tensor) -> Emissions:
    """A frame for each 100 samples, whose first sample says how likely token 1 is."""
    x = waveforms[:, ::100]
    frames = (lengths + 99) // 100
    return Emissions(torch.stack([1 - x, x, 0 * x], 2).log_softmax(-1), frames)


def changed(change):
    """`listen`, its log-probabilities passed through `change` with the lengths of the batch."""

    def run(waveforms, lengths):
        log_probs, frames = listen(waveforms, lengths)
        return Emissions(change(log_probs.clone(), frames), frames)

    return run


def test_what_says_the_same_differs_by_nothing_whatever_lies_behind_an_utterance():
    def garbage_behind(log_probs, frames):
        for row, n in zip(log_probs, frames.tolist(), strict=True):
            row[n:] = torch.nan
        return log_probs

    found = compare(changed(garbage_behind), listen, CLIPS, RATE)
    assert (found.worst, found.errors, found.most) == (0.0, 0, 4)


def test_the_largest_difference_and_every_token_that_differs_are_told():
    def louder(log_probs, frames):
        log_probs[:, 0, 1] += 0.25
        return log_probs

    assert compare(changed(louder), listen, CLIPS, RATE).worst == pytest.approx(0.25, abs=1e-6)

    def token_1_first(log_probs, frames):
        log_probs[:, 0, 1] = 9.0
        return log_probs

    found = compare(changed(token_1_first), listen, CLIPS, RATE)
    n_utterances = sum(len(lengths) for _, lengths in batches(CLIPS, RATE))
    assert (found.errors, found.tokens) == (n_utterances, 0)


def test_a_value_that_is_no_number_is_a_difference_without_bound():
    def broken(log_probs, frames):
        log_probs[-1, 0, 2] = torch.nan
        return log_probs

    assert compare(changed(broken), listen, CLIPS, RATE).worst == float("inf")


def test_another_number_of_frames_is_refused():
    def longer(waveforms, lengths):
        log_probs, frames = listen(waveforms, lengths)
        return Emissions(log_probs, frames - 1)

    with pytest.raises(UserError, match=r"clips of \[300\] samples: .* emits \[2\] .*\[3\]"):
        compare(longer, listen, CLIPS, RATE)


def test_clips_are_heard_alone_in_company_and_very_short():
    shapes = [tuple(waveforms.shape) for waveforms, _ in batches(CLIPS, RATE)]
    assert shapes == [(1, 300), (1, 500), (1, 400), (2, 500), (3, 500), (1, 10), (4, 800)]
    for waveforms, lengths in batches(CLIPS, RATE):
        for row, n in zip(waveforms, lengths.tolist(), strict=True):
            assert row[:n].all() and not row[n:].any()


def test_the_slower_of_two_is_told_by_its_own_times():
    def slow(*batch):
        time.sleep(0.02)

    def quick(*batch):
        pass

    of_slow, of_quick = time_both(slow, quick, (torch.zeros(1), torch.zeros(1)), n=5)
    assert of_slow.least >= 0.02 > of_quick.least
    assert of_slow.least <= of_slow.median <= of_slow.most


def test_times_as_fast_is_the_checkpoints_time_over_the_files(tmp_path):
    path = tmp_path / "a.pt"
    path.write_bytes(bytes(2_000_000))
    options = argparse.Namespace(out=path, format="onnx", input=None, n_timed=3)
    times = Seconds(0.01, 0.009, 0.03), Seconds(0.04, 0.03, 0.05)
    told = report(options, Comparison(6, 4, 1e-6, 1, 50), CLIPS, RATE, times, path)
    assert "PyTorch 40.0 ms [30.0, 50.0], onnx 10.0 ms [9.0, 30.0]: 4.00 times as fast" in told
    assert "2.0 MB" in told and "98.00 % alike (1 error in 50)" in told
    assert "3 clips of generated sounds, 1.2 s, in 6 batches of 1 to 4" in told
