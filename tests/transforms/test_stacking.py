"""Stacked frames against slices of the frames themselves."""

import pytest
import torch

from src.transforms import LogMel, RawFrames, Stacked
from tests.transforms.chosen import front_end


@pytest.mark.parametrize(("n_frames", "stride"), [(1, 1), (3, 3), (5, 2), (2, 7)])
def test_each_frame_is_its_inner_frames_end_to_end(n_frames, stride):
    waveform = torch.randn(2, 16_000, generator=torch.Generator().manual_seed(1))
    inner = LogMel(n_mels=20)
    stacked = Stacked(features=inner, n_frames=n_frames, stride=stride)
    frames, found = inner(waveform), stacked(waveform)
    starts = range(0, frames.shape[1] - n_frames + 1, stride)
    expected = [frames[:, s : s + n_frames].flatten(1) for s in starts]
    torch.testing.assert_close(found, torch.stack(expected, 1))
    assert found.shape[2] == stacked.n_features == 20 * n_frames
    assert stacked.hop_s == pytest.approx(0.01 * stride)
    assert stacked.output_lengths(torch.tensor([16_000])).tolist() == [len(expected)]


def test_what_is_too_short_for_a_frame_is_heard_with_silence_behind_it():
    stacked = Stacked(features=RawFrames(hop_ms=10), n_frames=4, stride=2)
    waveform = torch.ones(1, 200)
    assert stacked.output_lengths(torch.tensor([200, 0, 640, 960])).tolist() == [1, 0, 1, 2]
    assert stacked(waveform).flatten().tolist() == [1.0] * 200 + [0.0] * 440


def test_labyrinths_windows_are_250_ms_long_and_50_ms_apart():
    transform = front_end("framed_spectrogram")
    assert transform.hop_s == pytest.approx(0.05)
    lengths = torch.tensor([4_000, 4_799, 4_800, 16_000])  # 250, 299.9, 300 and 1,000 ms
    assert transform.output_lengths(lengths).tolist() == [1, 1, 2, 16]
    click = torch.zeros(1, 16_000)
    click[0, 8_000] = 1.0  # at 500 ms: seen by windows that begin at 250 … 500 ms
    features, _ = transform.unnormalised(click, torch.tensor([16_000]))
    hears = features.flatten(0, 1).std(1) > 1e-3
    assert hears.nonzero().flatten().tolist() == [6, 7, 8, 9]
