"""What every augmentation of waveforms promises, and every file in configs/augment."""

import copy

import pytest
import torch

import src.transforms
from src.batch import to_float, to_int16
from src.transforms import Augmentation, FeatureSteps, Gain, Identity, TimeShift, WaveformSteps
from src.transforms.waveform.step import WaveformStep
from src.utils.errors import UserError
from tests.trainer.test_no_hidden_waiting import Asked, DeviceTensors
from tests.transforms.chosen import AUGMENTS, CONFIGS, augmentation, instantiate, read_config
from tests.transforms.sounds import (
    RATE,
    STEPS,
    generator,
    named,
    noise,
    ready,
    side_by_side,
    tone,
    whole,
)  # fmt: skip

CLIPS = [noise(0.5, 1), noise(0.31, 2), noise(0.02, 3), noise(0.4, 4), torch.zeros(0)]
OTHERS = [noise(0.1, 5), noise(0.9, 6), noise(0.3, 7), noise(0.05, 8), noise(0.2, 9)]


@pytest.fixture(params=[*STEPS, *(f"augment={name}" for name in AUGMENTS)])
def steps(request, tmp_path) -> WaveformSteps:
    """Each step for itself, then what each config does to waveforms."""
    if "=" not in request.param:
        return named(request.param, tmp_path)
    return augmentation(request.param.split("=")[1])[0]


def test_all_steps_and_configs_are_tested_here():
    exported = [getattr(src.transforms, name) for name in src.transforms.__all__]
    of_waveforms = [e for e in exported if isinstance(e, type) and issubclass(e, WaveformStep)]
    assert sorted(step.__name__ for step in of_waveforms) == STEPS
    assert len(AUGMENTS) == len(list((CONFIGS / "augment").iterdir())) >= 8
    everything = read_config("augment", "everything")["waveform"].values()
    there = {step["_target_"].split(".")[-1] for step in everything if isinstance(step, dict)}
    assert there == set(STEPS)


@pytest.mark.parametrize("padding", [0.0, float("nan")])
def test_neither_padding_nor_neighbours_change_an_utterance(steps, padding):
    expected, lengths = steps(*side_by_side(CLIPS), generator())
    for row in range(len(CLIPS)):
        clips = [CLIPS[i] if i == row else other for i, other in enumerate(OTHERS)]
        batch, its_lengths = side_by_side(clips, padding, spare=1_234)
        result, its_lengths = steps(batch, its_lengths, generator())
        n = int(lengths[row])
        assert int(its_lengths[row]) == n
        torch.testing.assert_close(result[row, :n], expected[row, :n], rtol=1e-3, atol=1e-4)


def test_what_comes_out_is_float32_with_zeros_in_the_padding(steps):
    batch, lengths = side_by_side(CLIPS, float("nan"), spare=77)
    before = batch.clone()
    result, new_lengths = steps(batch, lengths, generator())
    assert result.dtype == torch.float32 and new_lengths.dtype == torch.int64
    assert result.shape[0] == len(CLIPS) and result.shape[1] >= int(new_lengths.max())
    for row, length in zip(result, new_lengths, strict=True):
        assert row[:length].isfinite().all() and not row[length:].any()
    assert new_lengths[-1] == 0 and (new_lengths[:-1] > 0).all()
    torch.testing.assert_close(batch, before, equal_nan=True)


def test_the_seed_decides_everything(steps):
    batch, lengths = side_by_side(CLIPS[:4])
    results = [steps(batch, lengths, generator(seed)) for seed in (5, 5, 6)]
    assert torch.equal(results[0][0], results[1][0]) and torch.equal(results[0][1], results[1][1])
    if steps.steps and list(steps.steps) != ["step"]:
        assert not torch.equal(results[0][0], results[2][0])


def test_int16_is_taken_at_full_scale(steps):
    batch, lengths = side_by_side([to_int16(clip).float() for clip in CLIPS])
    batch = batch.to(torch.int16)
    expected = steps(to_float(batch), lengths, generator())
    result = steps(batch, lengths, generator())
    assert torch.equal(result[0], expected[0]) and torch.equal(result[1], expected[1])


def test_silence_and_batches_without_samples_pass(steps):
    silent, lengths = steps(torch.zeros(2, 3_000), torch.tensor([3_000, 50]), generator())
    assert silent.abs().max() < 1e-4 and (lengths > 0).all()  # μ-law has no 0
    empty, lengths = steps(torch.zeros(1, 0, dtype=torch.int16), torch.tensor([0]), generator())
    assert empty.shape == (1, 0) and lengths.tolist() == [0]


def test_nothing_waits_for_the_device(steps):
    batch, lengths = side_by_side(CLIPS)
    device = DeviceTensors(batch, *steps.buffers())
    with Asked(device), device:
        steps(batch, lengths, generator())
    assert device.n_operators >= 1 + len(steps.steps) * (list(steps.steps) == ["step"])


def test_autocast_does_not_reach_into_it(steps):
    batch = side_by_side(CLIPS)
    plain, _ = steps(*batch, generator())
    with torch.autocast("cpu", torch.bfloat16):
        automatic, _ = steps(*batch, generator())
    assert torch.equal(automatic, plain)


def test_nothing_of_it_goes_into_a_checkpoint_and_a_copy_does_the_same(steps):
    assert not list(steps.parameters()) and not steps.state_dict()
    batch = side_by_side(CLIPS)
    assert torch.equal(copy.deepcopy(steps)(*batch, generator())[0], steps(*batch, generator())[0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_does_the_same(steps):
    batch, lengths = side_by_side(CLIPS)
    expected, expected_lengths = steps(batch, lengths, generator())
    result, new_lengths = steps.cuda()(batch.cuda(), lengths, generator())
    assert torch.equal(new_lengths, expected_lengths)
    torch.testing.assert_close(result.cpu(), expected, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("name", STEPS)
def test_probability_0_changes_nothing_and_1_everything(name, tmp_path):
    clips, lengths = side_by_side(CLIPS[:2])
    kept, same_lengths = named(name, tmp_path, probability=0)(clips, lengths, generator())
    assert torch.equal(kept, clips) and torch.equal(same_lengths, lengths)
    changed, _ = named(name, tmp_path)(clips.repeat(50, 1), lengths.repeat(50), generator())
    size = min(changed.shape[1], clips.shape[1])
    assert (changed[:, :size] != clips.repeat(50, 1)[:, :size]).any(1).all()


@pytest.mark.parametrize("name", STEPS)
def test_the_share_that_is_changed_is_the_probability(name, tmp_path):
    clips = noise(400 * 400 / RATE, seed=3).view(400, 400)
    steps = named(name, tmp_path, probability=0.3)
    changed, lengths = steps(clips, whole(clips), generator())
    same = lengths == 400
    same[same.clone()] &= (changed[same, :400] == clips[same]).all(1)
    deviation = (400 * 0.3 * 0.7) ** 0.5
    assert abs(int((~same).sum()) - 400 * 0.3) < 4 * deviation


def test_steps_follow_each_other_in_the_order_of_their_names():
    steps = WaveformSteps(
        louder=Gain(probability=1, min_gain_db=20, max_gain_db=20),
        softer=Gain(probability=1, min_gain_db=-20, max_gain_db=-20),
    )
    steps.prepare(RATE)
    assert list(steps.steps) == ["louder", "softer"]
    torch.testing.assert_close(steps(tone(440), torch.tensor([RATE]), generator())[0], tone(440))


def test_gain_is_uniform_in_decibels():
    clips = torch.ones(4_000, 1)
    steps = ready(Gain(probability=1, min_gain_db=-12, max_gain_db=6))
    gains_db = 20 * steps(clips, whole(clips), generator())[0].log10().flatten()
    places = torch.histc(gains_db, bins=6, min=-12, max=6) / 4_000
    assert gains_db.min() >= -12 - 1e-4 and gains_db.max() <= 6 + 1e-4
    torch.testing.assert_close(places, torch.full((6,), 1 / 6), atol=0.03, rtol=0)


def test_each_is_changed_by_its_own_numbers_whoever_else_is():
    clips = torch.ones(40, 1)
    everyone, some = (
        ready(Gain(probability=share, min_gain_db=-12, max_gain_db=6))(
            clips, whole(clips), generator()
        )[0]
        for share in (1, 0.5)
    )
    chosen = some != 1
    assert 8 < chosen.sum() < 32
    torch.testing.assert_close(some[chosen], everyone[chosen])


def test_a_shift_moves_samples_and_fills_with_zeros():
    clips = torch.arange(1.0, 11).repeat(2_000, 1)
    shifted, _ = ready(TimeShift(probability=1, max_shift_ms=3), rate=1_000)(
        clips, whole(clips), generator()
    )
    by_hand = {
        -3: [4, 5, 6, 7, 8, 9, 10, 0, 0, 0],
        -1: [2, 3, 4, 5, 6, 7, 8, 9, 10, 0],
        0: list(range(1, 11)),
        2: [0, 0, 1, 2, 3, 4, 5, 6, 7, 8],
        3: [0, 0, 0, 1, 2, 3, 4, 5, 6, 7],
    }
    seen = {tuple(map(int, row)) for row in shifted.tolist()}
    assert len(seen) == 7 and {tuple(row) for row in by_hand.values()} <= seen


def test_no_shift_takes_more_than_half_of_an_utterance():
    clips = torch.ones(500, 20)
    lengths = torch.full((500,), 8)
    steps = ready(TimeShift(probability=1, max_shift_ms=500))
    n_left = steps(clips, lengths, generator())[0].sum(1)
    assert n_left.min() == 4 and n_left.max() == 8


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Gain(probability=1.5), "probability=1.5: expected a number from 0 to 1"),
        (lambda: Gain(min_gain_db=3, max_gain_db=-3), "min_gain_db=3: expected no more than max"),
        (lambda: TimeShift(max_shift_ms="x"), "max_shift_ms=x: expected a number"),
        (lambda: WaveformSteps(gain=5), "augment.waveform.gain=5: expected an augmentation of"),
        (lambda: WaveformSteps(masks=Identity()), "augment.waveform.masks=.*expected an"),
        (lambda: FeatureSteps(warp=None), "augment.features.warp=None: expected an augmentation"),
        (lambda: FeatureSteps(all=WaveformSteps()), "augment.features.all=.*: expected an"),
        (
            lambda: Augmentation(waveform=Identity(), features=Identity()),
            "augment.waveform: expected _target_=src.transforms.WaveformSteps",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(make, told):
    with pytest.raises(UserError, match=told):
        make()


def test_features_are_changed_step_by_step():
    built = instantiate(read_config("augment", "everything"))
    assert list(built.features.steps) == ["time_warp", "masks"]
    features, lengths = torch.randn(4, 300, 80, generator=generator()), torch.full((4,), 300)
    step_by_step = generator(3)
    expected = features
    for step in built.features.steps.values():
        expected = step(expected, lengths, step_by_step)
    assert torch.equal(built.features(features, lengths, generator(3)), expected)
