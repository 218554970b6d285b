"""A frequency warp makes a voice higher or lower, never faster, never its padding."""

import pytest
import torch

from src.transforms import FrequencyWarp, FrontEnd, LogMel, NoNormalisation
from src.utils.errors import UserError
from tests.transforms.chosen import instantiate, read_config
from tests.transforms.sounds import generator

FACTORS = (0.9, 0.95, 1.07, 1.1)


def bands(**keys) -> FrontEnd:
    return FrontEnd(features=LogMel(**keys), normalise=NoNormalisation())


def warp(front_end: FrontEnd, **keys) -> FrequencyWarp:
    step = FrequencyWarp(**keys)
    step.prepare(front_end)
    return step


def tone(hz: float) -> torch.Tensor:
    return 0.3 * torch.sin(2 * torch.pi * hz * torch.arange(8000) / 16_000)[None]


def loudest_hz(features: torch.Tensor, centres: torch.Tensor) -> float:
    """The frequency of the maximum, by a parabola through the three bands around it."""
    mean = features[0].mean(0)
    top = int(mean[1:-1].argmax()) + 1
    a, b, c = mean[top - 1 : top + 2].tolist()
    place = 0.5 * (a - c) / (a - 2 * b + c)
    width = centres[top + 1] - centres[top] if place > 0 else centres[top] - centres[top - 1]
    return float(centres[top] + place * width)


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("name", ["logmel80", "spectrogram", "whisper"])
def test_a_tone_sounds_as_one_of_a_higher_or_lower_pitch(name, factor):
    front_end = instantiate(read_config("transform", name))
    step = warp(front_end, min_factor=factor, max_factor=factor)
    n = torch.tensor([8000])
    for hz in (700.0, 1500.0, 3100.0, 4000.0):
        features, lengths = front_end.unnormalised(tone(hz), n)
        expected, _ = front_end.unnormalised(tone(hz * factor), n)
        found = loudest_hz(step(features, lengths), step.centres)
        assert found == pytest.approx(loudest_hz(expected, step.centres), rel=0.015)


def ramps(n: int, n_frames: int, front_end: FrontEnd) -> torch.Tensor:
    """(n, n_frames, F): features that are the frequency of their own band."""
    return front_end.features.centres_hz.repeat(n, n_frames, 1)


def test_a_warp_worked_out_by_hand():
    # Bins of 1 kHz up to 8. By 0.5, bend at 4: up to 2 kHz everything comes from twice as high;
    # from there 6 bins show 4 kHz in equal steps.
    spectrum = instantiate(read_config("transform", "spectrogram") | {"deltas": 0})
    step = warp(spectrum, min_factor=0.5, max_factor=0.5, bend_hz=4000)
    step.centres = torch.arange(9.0) * 1000
    found = step(step.centres.repeat(1, 1, 1), torch.tensor([1]))[0, 0] / 1000
    steps = [4 + 4 / 6 * i for i in range(1, 7)]
    torch.testing.assert_close(found, torch.tensor([0.0, 2.0, 4.0, *steps]))
    # By 2: half as high up to the bend, which shows 2 kHz; the upper 4 bins have 6 kHz.
    step.min_factor = step.max_factor = 2.0
    found = step(step.centres.repeat(1, 1, 1), torch.tensor([1]))[0, 0] / 1000
    torch.testing.assert_close(found, torch.tensor([0, 0.5, 1, 1.5, 2, 3.5, 5, 6.5, 8]))


@pytest.mark.parametrize("factor", [0.5, *FACTORS, 2.0])
def test_frequencies_keep_their_order_and_the_highest_band_stays(factor):
    front_end = bands()
    step = warp(front_end, min_factor=factor, max_factor=factor, bend_hz=3500)
    shown = step(ramps(1, 3, front_end), torch.tensor([3]))[0, 0]
    assert (shown.diff() >= 0).all() and shown[-1] == step.centres[-1]
    below = (step.centres < 3500 * min(1, factor)) & (shown > step.centres[0])
    torch.testing.assert_close(shown[below], (step.centres / factor)[below])
    assert below.sum() > 20


def test_every_utterance_has_its_own_factor_for_all_of_its_frames():
    front_end = bands()
    step = warp(front_end, probability=0.7)
    shown = step(ramps(1000, 4, front_end), torch.full((1000,), 4), generator(3))
    assert torch.equal(shown, shown[:, :1].expand_as(shown))
    where = int((step.centres - 1000).abs().argmin())
    factors = step.centres[where] / shown[:, 0, where]
    changed = (shown[:, 0] != step.centres).any(1)
    assert abs(int(changed.sum()) - 700) < 4 * 14.5
    assert torch.equal(shown[~changed], ramps(int((~changed).sum()), 4, front_end))
    assert 0.9 <= factors.min() < 0.905 and 1.095 < factors.max() <= 1.1 + 1e-6
    assert factors[changed].mean() == pytest.approx(1.0, abs=0.01)


def test_padding_beside_an_utterance_changes_nothing_and_stays_empty():
    features = torch.randn(2, 30, 80, generator=generator())
    features[1, 20:] = 0
    step, lengths = warp(bands()), torch.tensor([30, 20])
    short = step(features, lengths, generator(7))
    wide = torch.cat([features, torch.zeros(2, 9, 80)], dim=1)
    assert torch.equal(step(wide, lengths, generator(7))[:, :30], short)
    assert not short[1, 20:].any() and not torch.equal(short, features)


def test_half_precision_features_stay_so():
    features = torch.randn(2, 30, 80, generator=generator()).bfloat16()
    assert warp(bands())(features, torch.tensor([30, 20])).dtype == torch.bfloat16


@pytest.mark.parametrize("name", ["mfcc", "logmel80_deltas", "logmel80_stacked", "raw"])
def test_what_is_no_bands_is_refused_with_a_way_out(name):
    front_end = instantiate(read_config("transform", name))
    with pytest.raises(UserError, match=r"choose transform=logmel80, or leave it out with ~augm"):
        FrequencyWarp().prepare(front_end)


def test_bands_that_end_below_the_bend_are_refused():
    telephone = bands(sample_rate=8000, n_fft=256, n_mels=40)
    with pytest.raises(UserError, match=r"bend_hz=4800: expected less than the 3\d\d\d Hz of the"):
        FrequencyWarp().prepare(telephone)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"probability": 2}, "probability=2: expected a number from 0 to 1"),
        ({"min_factor": 0.1}, "min_factor=0.1: expected a number from 0.5 to 2"),
        ({"min_factor": 1.2}, "min_factor=1.2: expected no more than max_factor=1.1"),
        ({"bend_hz": 0}, "bend_hz=0: expected a number from 1"),
    ],
)
def test_impossible_numbers_are_refused(keys, told):
    with pytest.raises(UserError, match=told):
        FrequencyWarp(**keys)
