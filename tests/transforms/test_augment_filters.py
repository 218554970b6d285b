"""Filters pass and stop the tones that their cutoffs say; μ-law is torchaudio's."""

import pytest
import torch
from torchaudio.functional import fftconvolve, mu_law_decoding, mu_law_encoding

from src.transforms import BandPass, HighPass, LowPass, MuLaw
from src.transforms.waveform.convolution import _fast_size, convolve
from src.utils.errors import UserError
from tests.transforms.sounds import RATE, generator, level_db, noise, ready, tone, whole

LOW = LowPass(probability=1, min_cutoff_hz=2_000, max_cutoff_hz=2_000)
HIGH = HighPass(probability=1, min_cutoff_hz=500, max_cutoff_hz=500)
BAND = BandPass(probability=1, min_low_hz=300, max_low_hz=300, min_high_hz=3_400, max_high_hz=3_400)
# What is left of a tone: passed, halved in amplitude at the cutoff, stopped.
LEFT_DB = [
    (LOW, {100: 0, 1_900: 0, 2_000: -6.02, 2_100: -40, 7_000: -40}),
    (HIGH, {7_000: 0, 600: 0, 500: -6.02, 400: -40, 50: -40}),
    (BAND, {100: -40, 300: -6.02, 400: 0, 1_000: 0, 3_300: 0, 3_400: -6.02, 3_500: -40}),
]
TONES = [
    pytest.param(step, hz, left_db, id=f"{type(step).__name__} {hz} Hz")
    for step, expected in LEFT_DB
    for hz, left_db in expected.items()
]


@pytest.mark.parametrize(("step", "hz", "left_db"), TONES)
def test_what_is_left_of_a_tone(step, hz, left_db):
    filtered, _ = ready(step)(tone(hz), whole(tone(hz)), generator())
    middle = slice(2_000, -2_000)  # away from the ends, where a tone is no tone
    change_db = level_db(filtered[:, middle]) - level_db(tone(hz)[:, middle])
    if left_db == -40:
        assert change_db < -40
    else:
        assert change_db == pytest.approx(left_db, abs=0.1)


@pytest.mark.parametrize("step", [LOW, HIGH, BAND])
def test_sounds_keep_their_place(step):
    click = torch.zeros(1, 4_000)
    click[0, 1_234] = 1
    filtered, _ = ready(step)(click, torch.tensor([4_000]), generator())
    assert int(filtered.abs().argmax()) == 1_234
    torch.testing.assert_close(filtered[0, 1_234 - 256 : 1_234], filtered[0, 1_235:1_491].flip(0))


def test_cutoffs_are_uniform_over_octaves():
    step = LowPass(probability=1, min_cutoff_hz=500, max_cutoff_hz=4_000, n_taps=1_025)
    ready(step)
    seen = []
    step.kernels = lambda cutoff_hz: seen.append(cutoff_hz) or torch.ones(len(cutoff_hz), 1)
    step.change(torch.zeros(6_000, 1), torch.ones(6_000), torch.rand(6_000, 1).double())
    octaves = torch.histc((seen[0] / 500).log2(), bins=3, min=0, max=3) / 6_000
    torch.testing.assert_close(octaves, torch.full((3,), 1 / 3), atol=0.03, rtol=0)


@pytest.mark.parametrize("n_samples", [1, 7, 997, 8_191])
def test_convolution_is_torchaudios(n_samples):
    waveforms, kernels = noise(2)[: 2 * n_samples].view(2, -1), noise(0.1, 1)[:202].view(2, 101)
    expected = fftconvolve(waveforms, kernels)[:, 50 : 50 + n_samples]
    torch.testing.assert_close(convolve(waveforms, kernels, delay=50), expected)


def test_sizes_of_transforms_are_fast_and_little_larger():
    for size in [*range(1, 3_000), 16_512, 240_512, 999_983]:
        fast = _fast_size(size)
        odd = fast >> ((fast & -fast).bit_length() - 1)
        assert size <= fast <= max(size + 1, size * 9 / 8) and odd <= 16


@pytest.mark.parametrize("n_levels", [16, 255, 256])
def test_mu_law_is_torchaudios(n_levels):
    clips = 1.3 * tone(440, amplitude=1.0)
    result, _ = ready(MuLaw(probability=1, n_levels=n_levels))(clips, whole(clips), generator())
    expected = mu_law_decoding(mu_law_encoding(clips.clamp(-1, 1), n_levels), n_levels)
    assert torch.equal(result, expected)
    assert len(result.unique()) <= n_levels and result.abs().max() <= 1 + 1e-6


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: LowPass(n_taps=512), "n_taps=512: expected an odd number"),
        (lambda: HighPass(min_cutoff_hz=0), "min_cutoff_hz=0: expected a number from 1 to"),
        (lambda: BandPass(max_low_hz=4_000), "max_low_hz=4000: expected at most min_high_hz=3000"),
        (
            lambda: ready(LowPass(), rate=8_000),
            "max_cutoff_hz=7500.0: expected at most 4000, half of the sample rate",
        ),
        (lambda: MuLaw(n_levels=1), "n_levels=1: expected a whole number from 2"),
    ],
)
def test_impossible_filters_are_refused(make, told):
    with pytest.raises(UserError, match=told):
        make()


def test_a_filter_at_the_highest_frequency_passes_everything():
    step = LowPass(probability=1, min_cutoff_hz=RATE / 2, max_cutoff_hz=RATE / 2)
    clips = noise(0.3)[None]
    torch.testing.assert_close(
        ready(step)(clips, whole(clips), generator())[0], clips, rtol=0, atol=1e-5
    )
