"""Speed moves pitch and length, tempo the length alone, and targets still fit."""

import itertools
from fractions import Fraction

import pytest
import torch
from torchaudio.functional import speed

from src.audio import read
from src.batch import padding_mask
from src.transforms import Speed, Tempo
from src.transforms.waveform.rates import evenly, overlapped
from src.utils.errors import UserError
from tests.transforms.chosen import augmentation, front_end
from tests.transforms.sounds import (
    RATE,
    generator,
    level_db,
    loudest_hz,
    noise,
    ready,
    side_by_side,
    tone,
    whole,
)


def at(made, factor: float):
    return ready(made(probability=1, min_factor=factor, max_factor=factor, n_factors=1))


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.1, 1.25])
@pytest.mark.parametrize("made", [Speed, Tempo])
def test_pitch_and_length_of_a_tone(made, factor):
    result, lengths = at(made, factor)(tone(400), whole(tone(400)), generator())
    assert lengths.tolist() == [-int(-RATE // Fraction(str(factor)))] == [result.shape[1]]
    pitch = 400 * factor if made is Speed else 400
    assert loudest_hz(result[0]) == pytest.approx(pitch, abs=2)
    middle = slice(1_500, -1_500)
    assert level_db(result[:, middle]) == pytest.approx(level_db(tone(400)), abs=0.2)


@pytest.mark.parametrize("factor", [0.8, 1.2])
def test_tempo_moves_each_moment_and_keeps_its_sound(factor):
    clips = torch.cat([tone(300, 0.5), tone(1_000, 0.5)], 1)
    result, _ = at(Tempo, factor)(clips, whole(clips), generator())
    change = round(RATE / 2 / factor)
    for part, hz in ((result[0, : change - 600], 300), (result[0, change + 600 :], 1_000)):
        assert loudest_hz(part) == pytest.approx(hz, abs=5)


@pytest.mark.parametrize("factor", [0.7, 0.95, 1.15])
def test_a_tone_that_sets_in_between_two_frames_loses_nothing(factor):
    clips = tone(400)
    clips[:, :5_003] = 0
    result, lengths = at(Tempo, factor)(clips, whole(clips), generator())
    inside = result[:, round(5_003 / factor) + 1_500 : int(lengths) - 1_500]
    assert level_db(inside) == pytest.approx(level_db(tone(400)), abs=0.4)


def test_a_click_stays_a_click_at_another_tempo():
    click = torch.zeros(1, RATE)
    click[0, 8_000] = 1
    result, _ = at(Tempo, 0.8)(click, torch.tensor([RATE]), generator())
    assert abs(int(result.abs().argmax()) - 10_000) < 128  # a hop
    energy = result[0].square()
    assert energy[10_000 - 512 : 10_000 + 512].sum() > 0.95 * energy.sum()


def test_tempo_gives_back_what_it_got_where_its_frames_are_not_moved():
    step = Tempo()
    step.prepare(RATE)
    same = step.at(Fraction(1), tone(400))[:, :RATE]
    torch.testing.assert_close(same[:, 400:-400], tone(400)[:, 400:-400], rtol=0, atol=1e-3)


def test_frames_are_added_up_where_they_belong():
    frames = noise(1).view(2, 8, -1)[:, :, :50]
    expected = torch.zeros(2, 8 + 49 * 2)
    for i in range(50):
        expected[:, 2 * i : 2 * i + 8] += frames[:, :, i]
    torch.testing.assert_close(overlapped(frames, hop=2), expected)


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_speed_is_torchaudios(factor):
    clips, lengths = side_by_side([noise(0.5, 1), noise(0.31, 2)])
    result, new_lengths = at(Speed, factor)(clips, lengths, generator())
    expected, expected_lengths = speed(clips, RATE, factor, lengths)
    assert torch.equal(new_lengths, expected_lengths)
    expected = expected.masked_fill(padding_mask(expected_lengths, expected.shape[1]), 0)
    torch.testing.assert_close(result, expected[:, : result.shape[1]])


def test_each_factor_comes_as_often_and_the_middle_one_changes_nothing():
    clips = noise(3_000 * 90 / RATE).view(3_000, 90)
    result, lengths = ready(Speed())(clips, whole(clips), generator())
    assert set(lengths.tolist()) == {100, 90, 82}  # at 0.9, 1 and 1.1
    for length in (100, 90, 82):
        assert int((lengths == length).sum()) == pytest.approx(1_000, abs=110)
    kept = lengths == 90
    assert torch.equal(result[kept][:, :90], clips[kept])
    assert not result[kept][:, 90:].any()


def test_factors_are_spaced_evenly():
    assert evenly(0.9, 1.1, 3) == [Fraction(9, 10), Fraction(1), Fraction(11, 10)]
    assert evenly(0.8, 1.2, 5) == [Fraction(n, 10) for n in (8, 9, 10, 11, 12)]
    assert evenly(0.8, 1.0, 1) == [Fraction(9, 10)]


def test_targets_still_fit_into_real_speech_that_is_faster(shared_data):
    lists = sorted((shared_data / "LibriSpeech" / "train-clean-100").rglob("*.trans.txt"))[:4]
    said, clips = [], []
    for file in lists:
        name, words = file.read_text(encoding="utf-8").splitlines()[0].split(" ", 1)
        said.append(words)
        clips.append(torch.from_numpy(read(next(file.parent.glob(f"{name}.*")))))
    batch, lengths = side_by_side(clips)
    faster, new_lengths = at(Speed, 1.1)(batch, lengths, generator())
    transform = front_end("logmel80")
    features, frames = transform(faster, new_lengths)
    before = transform.output_lengths(lengths)
    assert features.shape[1] == int(frames.max())
    torch.testing.assert_close(frames / before, torch.full((4,), 1 / 1.1), atol=0.01, rtol=0)
    for words, n_frames in zip(said, frames.tolist(), strict=True):
        repeats = sum(a == b for a, b in itertools.pairwise(words))
        assert n_frames // 2 >= len(words) + repeats  # a model that emits every 20 ms


def test_specaugment_speed_is_specaugment_behind_a_change_of_speed():
    waveform, features = augmentation("specaugment_speed")
    assert [type(step).__name__ for step in waveform.steps.values()] == ["Speed"]
    assert vars(features).keys() == vars(augmentation("specaugment")[1]).keys()
    for key, value in vars(augmentation("specaugment")[1]).items():
        assert key.startswith("_") or getattr(features, key) == value


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"min_factor": 0}, "min_factor=0: expected a number from 0.25 to 4"),
        ({"n_factors": 0}, "n_factors=0: expected a whole number from 1"),
        ({"min_factor": 1.2, "max_factor": 1.1}, "min_factor=1.2: expected no more than max_fac"),
    ],
)
@pytest.mark.parametrize("made", [Speed, Tempo])
def test_impossible_rates_are_refused(made, keys, told):
    with pytest.raises(UserError, match=told):
        made(**keys)
