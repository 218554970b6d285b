"""Rooms ring for as long as asked, and leave the direct sound where it was."""

import pytest
import soundfile
import torch
from torchaudio.functional import fftconvolve

from src.transforms import RecordedRoom, SimulatedRoom
from src.utils.errors import UserError
from tests.transforms.sounds import (
    RATE,
    generator,
    level_db,
    noise,
    ready,
    side_by_side,
    tone,
    whole,
)


def room(rt60_s: float, direct_db: float = 0.0) -> SimulatedRoom:
    return SimulatedRoom(
        probability=1,
        min_rt60_s=rt60_s,
        max_rt60_s=rt60_s,
        min_direct_db=direct_db,
        max_direct_db=direct_db,
    )


def heard(step, n_samples: int, n: int = 8) -> torch.Tensor:
    """(n, N): what a click at the beginning becomes."""
    click = torch.zeros(n, n_samples)
    click[:, 0] = 1
    return ready(step)(click, whole(click), generator())[0]


def reverberation_time_s(response: torch.Tensor) -> float:
    """RT60 of (K,) by Schroeder's backward integration, from the fall from −5 to −25 dB."""
    energy = response.double().square().flip(0).cumsum(0).flip(0)
    level = 10 * (energy / energy[0]).clamp(min=1e-12).log10()
    inside = (level < -5) & (level > -25)
    time_s = torch.arange(len(level), dtype=torch.float64)[inside] / RATE
    fall = level[inside]
    slope = ((time_s - time_s.mean()) * (fall - fall.mean())).sum()
    slope = slope / (time_s - time_s.mean()).square().sum()
    return float(-60 / slope)


@pytest.mark.parametrize("rt60_s", [0.15, 0.4, 1.0])
def test_the_reverberation_time_is_the_one_that_was_asked_for(rt60_s):
    responses = heard(room(rt60_s), n_samples=round(1.2 * rt60_s * RATE))
    times_s = [reverberation_time_s(response[1:]) for response in responses]
    assert sum(times_s) / len(times_s) == pytest.approx(rt60_s, rel=0.05)
    assert all(time_s == pytest.approx(rt60_s, rel=0.2) for time_s in times_s)


def test_the_measurement_itself_knows_a_straight_fall():
    exact = 10 ** (-3 * torch.arange(8_000) / RATE / 0.25)
    assert reverberation_time_s(exact) == pytest.approx(0.25, rel=0.01)


@pytest.mark.parametrize("direct_db", [-5.0, 0.0, 15.0])
def test_the_share_of_direct_sound_is_the_one_that_was_asked_for(direct_db):
    for response in heard(room(0.3, direct_db), n_samples=RATE):
        energy = response.double().square()
        ratio_db = 10 * (energy[0] / energy[1:].sum()).log10()
        assert float(ratio_db) == pytest.approx(direct_db, abs=0.01)


def test_reverberation_times_reach_from_limit_to_limit():
    step = SimulatedRoom(probability=1, min_rt60_s=0.1, max_rt60_s=0.8)
    times_s = [reverberation_time_s(r[1:]) for r in heard(step, n_samples=RATE, n=60)]
    assert 0.08 < min(times_s) < 0.14 and 0.6 < max(times_s) < 1.0


def test_no_two_utterances_are_in_the_same_room():
    responses = heard(room(0.3), n_samples=2_000, n=16)
    alike = torch.corrcoef(responses[:, 1:]) - torch.eye(16)
    assert alike.abs().max() < 0.5


def test_energy_stays_that_of_the_utterance():
    clips, lengths = side_by_side([tone(300)[0], noise(0.3, 2)])
    result, _ = ready(room(0.5))(clips, lengths, generator())
    for before, after, n in zip(clips, result, lengths, strict=True):
        assert level_db(after[:n]) == pytest.approx(level_db(before[:n]), abs=0.01)


def write(folder, name: str, response: torch.Tensor, rate: int = RATE) -> None:
    soundfile.write(folder / f"{name}.wav", response.numpy(), rate, subtype="FLOAT")


def test_a_measured_response_is_convolved_from_its_direct_sound_on(tmp_path):
    response = torch.cat([torch.zeros(50), torch.tensor([0.8, -0.4, 0.2, 0.0, 0.1])])
    write(tmp_path, "room", response)
    speech = noise(0.2, 4)[None]
    result, _ = ready(RecordedRoom(folder=str(tmp_path), probability=1))(
        speech, whole(speech), generator()
    )
    expected = fftconvolve(speech, response[None, 50:])[:, : speech.shape[1]]
    expected = expected * (speech.square().sum() / expected.square().sum()).sqrt()
    torch.testing.assert_close(result, expected, atol=1e-4, rtol=1e-3)


def test_responses_of_different_lengths_are_each_used(tmp_path):
    write(tmp_path, "dry", torch.tensor([0.9]))
    write(tmp_path, "late", torch.tensor([0.9] + [0.0] * 3_000 + [0.5]))
    responses = heard(
        RecordedRoom(folder=str(tmp_path), probability=1, max_response_s=0.1), RATE, n=40
    )
    assert (responses[:, 1:].abs() < 1e-5).all()  # the echo came after 0.1 s
    responses = heard(RecordedRoom(folder=str(tmp_path), probability=1), RATE, n=40)
    echoes = (responses[:, 3_001] / responses[:, 0]).tolist()
    late = [echo for echo in echoes if echo > 0.1]
    assert 10 <= len(late) <= 30 and late == pytest.approx([5 / 9] * len(late), abs=1e-3)


def test_without_a_folder_nothing_is_changed():
    steps = ready(RecordedRoom(folder=None, probability=1))
    assert torch.equal(steps(tone(440), torch.tensor([RATE]), generator())[0], tone(440))


def test_a_silent_response_is_refused_by_name(tmp_path):
    write(tmp_path, "silence", torch.zeros(100))
    with pytest.raises(UserError, match=r"silence\.wav: an impulse response without a sound"):
        ready(RecordedRoom(folder=str(tmp_path)))
    with pytest.raises(UserError, match=r"max_rt60_s=20: expected a number from 0\.01 to 10"):
        SimulatedRoom(max_rt60_s=20)
