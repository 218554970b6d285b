"""Noise is as loud as was asked for, and of the asked colour; it comes from the named folder."""

import math

import pytest
import soundfile
import torch
from torchaudio.functional import add_noise

from src.audio import read
from src.transforms import ColouredNoise, RecordedNoise
from src.transforms.waveform.noise import stored_noise, stretches
from src.transforms.waveform.recordings import find
from src.utils.errors import UserError
from tests.transforms.sounds import (
    RATE,
    generator,
    level_db,
    noise,
    ready,
    recordings,
    side_by_side,
    tone,
    whole,
)

COLOURS = ("white", "pink", "brown")


def of_colour(colour: str, snr_db: float = 0.0):
    shares = {name: float(name == colour) for name in COLOURS}
    return ready(ColouredNoise(probability=1, min_snr_db=snr_db, max_snr_db=snr_db, **shares))


def measured_db(before: torch.Tensor, after: torch.Tensor) -> float:
    return level_db(before) - level_db(after - before)


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("snr_db", [-5.0, 10.0, 30.0])
def test_the_snr_is_met_over_the_samples_of_each_utterance(colour, snr_db):
    clips = [noise(0.5, 1, 0.3), noise(0.1, 2, 0.01), torch.cat([noise(0.2, 3), torch.zeros(900)])]
    batch, lengths = side_by_side(clips, padding=0.7)
    noisy, _ = of_colour(colour, snr_db)(batch, lengths, generator())
    for before, after in zip(clips, noisy, strict=True):
        assert measured_db(before, after[: len(before)]) == pytest.approx(snr_db, abs=0.05)


def test_the_snr_of_real_noise_is_met(shared_data):
    clip = sorted((shared_data / "speech_commands_wav").rglob("*.wav"))[0]
    speech = torch.from_numpy(read(clip))[None]
    folder = sorted((shared_data / "noise" / "esc10").iterdir())[1]
    steps = ready(RecordedNoise(folder=str(folder), probability=1, min_snr_db=7, max_snr_db=7))
    noisy, _ = steps(speech.repeat(4, 1), whole(speech).repeat(4), generator())
    for row in noisy:
        assert measured_db(speech[0], row) == pytest.approx(7, abs=0.05)
    assert not torch.equal(noisy[0], noisy[1])


def test_the_snr_is_uniform_between_its_limits():
    clips = noise(2_000 * 500 / RATE).view(2_000, 500)
    steps = ready(ColouredNoise(probability=1, min_snr_db=10, max_snr_db=20))
    noisy, _ = steps(clips, whole(clips), generator())
    added = (noisy - clips).square().mean(1)
    snr_db = 10 * (clips.square().mean(1) / added).log10()
    assert snr_db.min() > 9.9 and snr_db.max() < 20.1
    places = torch.histc(snr_db, bins=5, min=10, max=20) / len(clips)
    torch.testing.assert_close(places, torch.full((5,), 0.2), atol=0.05, rtol=0)


def test_it_is_torchaudios_sum_where_nothing_is_silent():
    speech, lengths = side_by_side([noise(0.2, 1), noise(0.1, 2)])
    noisy, _ = of_colour("white", 3.0)(speech, lengths, generator())
    added = noisy - speech
    expected = add_noise(speech, 17 * added, torch.full((2,), 3.0), lengths)
    torch.testing.assert_close(noisy, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("colour", "slope_db"), [("white", 0), ("pink", -3.01), ("brown", -6.02)])
def test_power_falls_as_the_colour_says(colour, slope_db):
    speech = tone(440, seconds=20)
    added = of_colour(colour)(speech, whole(speech), generator())[0] - speech
    power = torch.fft.rfft(added[0].double()).abs().square()
    hz = torch.arange(len(power)) / 20
    octaves = [power[(hz >= low) & (hz < 2 * low)].mean() for low in (62.5, 4_000)]
    # Of means over an octave: both octaves weigh their frequencies alike.
    slope = 10 * math.log10(octaves[1] / octaves[0]) / 6
    assert slope == pytest.approx(slope_db, abs=0.25)


def test_colours_come_as_often_as_asked():
    step = ColouredNoise(white=1, pink=0, brown=3)
    step.stored = torch.arange(3.0).repeat_interleave(2**20)  # each colour as its number
    draws = torch.rand(4_000, 2, generator=generator(), dtype=torch.float64)
    colours = step.noise(torch.zeros(4_000, 1), draws).flatten().long()
    shares = torch.bincount(colours, minlength=3) / 4_000
    torch.testing.assert_close(shares, torch.tensor([0.25, 0, 0.75]), atol=0.03, rtol=0)


def test_stored_noise_has_no_seam_and_is_the_same_each_time():
    stored = stored_noise()
    assert stored.std(1).tolist() == pytest.approx([1, 1, 1], abs=1e-3)
    brown = stored[2]
    steps = brown.diff().abs()
    assert abs(float(brown[0] - brown[-1])) < float(steps.max())
    stored_noise.cache_clear()
    assert torch.equal(stored_noise(), stored)


def test_stretches_go_round_within_their_recording():
    stored = torch.tensor([10, 11, 12, 20, 21])
    starts, sizes = torch.tensor([0, 3, 3]), torch.tensor([3, 2, 2])
    draws = torch.tensor([0.4, 0.99, 0.0], dtype=torch.float64)
    rows = stretches(stored, starts, sizes, draws, 5)
    assert rows.tolist() == [[11, 12, 10, 11, 12], [21, 20, 21, 20, 21], [20, 21, 20, 21, 20]]


def test_all_recordings_of_a_folder_are_used_at_the_rate_of_the_model(tmp_path):
    folder = recordings(tmp_path)
    step = RecordedNoise(folder=str(folder), probability=1)
    ready(step)
    expected = [read(folder / "a.wav"), read(folder / "below" / "b.flac", RATE)]
    assert step.sizes.tolist() == [len(e) for e in expected]
    stored = step.stored.float() / 32_768
    for start, wanted in zip(step.starts.tolist(), expected, strict=True):
        part = stored[start : start + len(wanted)]
        torch.testing.assert_close(part, torch.from_numpy(wanted), atol=1 / 32_768, rtol=0)
    draws = torch.rand(200, 2, generator=generator(), dtype=torch.float64)
    rows = step.noise(torch.zeros(200, 50), draws)
    both = torch.cat(
        [torch.cat([stored[s : s + n]] * 2) for s, n in zip(step.starts, step.sizes, strict=True)]
    )
    assert all(row in both.unfold(0, 50, 1) for row in rows[:3])
    early = (draws[:, 0] < 0.5).sum()
    assert 60 < early < 140


def test_without_a_folder_nothing_is_added():
    steps = ready(RecordedNoise(folder=None, probability=1))
    assert torch.equal(steps(tone(440), torch.tensor([RATE]), generator())[0], tone(440))


def test_folders_that_cannot_be_used_are_named(tmp_path):
    def prepared(folder, **keys):
        ready(RecordedNoise(folder=str(folder), **keys))

    with pytest.raises(UserError, match=r"folder=.*nowhere: holds no recordings; give a folder"):
        prepared(tmp_path / "nowhere")
    recordings(tmp_path)
    with pytest.raises(UserError, match=r"0\.0 hours of recordings, more than max_hours=1e-05"):
        prepared(tmp_path, max_hours=1e-5)
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    with pytest.raises(UserError, match=r"broken\.wav"):
        prepared(tmp_path)


def test_linked_folders_are_read_and_hidden_files_are_not(tmp_path):
    recordings(tmp_path / "elsewhere")
    (tmp_path / "noise").mkdir()
    (tmp_path / "noise" / "esc10").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "noise" / "._a.wav").write_bytes(b"no sound, but what macOS leaves in archives")
    step = RecordedNoise(folder=str(tmp_path / "noise"), probability=1)
    ready(step)
    assert len(step.sizes) == 2


def test_recordings_come_in_the_order_of_their_names(tmp_path):
    for name in "hbfdaegc":  # a file system lists them in an order of its own
        (tmp_path / f"{name}.wav").touch()
    assert [path.stem for path in find(str(tmp_path))] == list("abcdefgh")


def test_silent_noise_adds_nothing(tmp_path):
    soundfile.write(tmp_path / "silence.wav", torch.zeros(800).numpy(), RATE)
    steps = ready(RecordedNoise(folder=str(tmp_path), probability=1))
    assert torch.equal(steps(tone(440), torch.tensor([RATE]), generator())[0], tone(440))


def test_noise_of_no_colour_is_refused():
    with pytest.raises(UserError, match="white, pink and brown are all 0"):
        ColouredNoise(white=0, pink=0, brown=0)
