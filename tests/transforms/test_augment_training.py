"""Augmented training: repeated, resumed and read by workers it is the same; validation is not."""

import pytest
import torch
from torch import Tensor, nn

from src.build import build, build_augment, build_trainer
from src.datasets import make_loader
from src.logger import Several
from src.transforms import ColouredNoise, Identity, Speed, WaveformSteps
from src.utils.errors import UserError
from tests.build.configs import tiny
from tests.cli.in_process import call
from tests.datasets.commands.tiny_commands import pack_corpus
from tests.trainer.conftest import log_lines, make_trainer, weights
from tests.trainer.test_no_hidden_waiting import (
    MODELS,
    Asked,
    DeviceTensors,
    make_stepper,
    two_batches,
)
from tests.transforms.chosen import augmentation
from tests.transforms.sounds import RATE, recordings


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("corpus")
    return f"dataset.path={pack_corpus(folder, n_each=2, lengths=(4000, 9000, 16000))[1]}"


def trainer_with(run_dir, waveform: nn.Module | None, features: nn.Module | None = None, **keys):
    trainer = make_trainer(run_dir, augment=features, **keys)
    trainer.stepper.augment_waveforms = waveform
    return trainer


def test_a_resumed_run_hears_what_an_uninterrupted_one_hears(tmp_path):
    keys = {"n_epochs": 1, "batch_size": 6}
    whole = trainer_with(tmp_path / "whole", *augmentation("everything"), **keys)
    whole.train()
    first = trainer_with(tmp_path / "halves", *augmentation("everything"), **keys)
    for batches in first.micro_batches():
        first.train_step(batches)
        if first.progress.step == 2:
            break
    first.save()
    torch.manual_seed(12345)
    second = trainer_with(tmp_path / "halves", *augmentation("everything"), **keys)
    second.restore(first.checkpoints.last)
    second.train()
    assert torch.equal(weights(second), weights(whole))


def test_the_number_of_workers_changes_nothing(tmp_path):
    ends = []
    for n_workers in (0, 2):
        trainer = trainer_with(tmp_path / str(n_workers), *augmentation("noisy"), n_epochs=1)
        old = trainer.train_loader
        trainer.train_loader = make_loader(old.dataset, old.batch_sampler, n_workers=n_workers)
        trainer.train()
        ends.append(weights(trainer))
    assert torch.equal(*ends)


class Recording(nn.Module):
    """Remembers what it is asked to change."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[Tensor, Tensor]] = []

    def forward(self, x: Tensor, lengths: Tensor, generator: torch.Generator):
        self.asked.append((torch.rand(3, generator=generator), lengths))
        return x, lengths


class RecordingFeatures(Recording):
    def forward(self, x: Tensor, lengths: Tensor, generator: torch.Generator) -> Tensor:
        return super().forward(x, lengths, generator)[0]


def test_each_step_and_each_part_draws_numbers_of_its_own(tmp_path):
    parts = [Recording(), RecordingFeatures()]
    trainer_with(tmp_path, *parts, n_epochs=2, accumulate=3).train()  # one step an epoch
    drawn = {tuple(numbers.tolist()) for part in parts for numbers, _ in part.asked}
    assert len(drawn) == 2 * 2 * 3
    again = [Recording(), RecordingFeatures()]
    trainer_with(tmp_path / "again", *again, n_epochs=2, accumulate=3).train()
    assert drawn == {tuple(numbers.tolist()) for part in again for numbers, _ in part.asked}


def test_features_and_model_get_the_lengths_that_speed_leaves(tmp_path):
    twice = WaveformSteps(speed=Speed(min_factor=2, max_factor=2, n_factors=1))
    twice.prepare(RATE)
    frames = []
    for waveform in (None, twice):
        features = RecordingFeatures()
        trainer_with(tmp_path / str(len(frames)), waveform, features, n_epochs=1).train()
        frames.append(torch.cat([lengths for _, lengths in features.asked]))
    assert ((frames[1] - frames[0] / 2).abs() <= 2).all() and (frames[0] > 20).all()


def test_held_out_speech_is_left_as_it_is(tmp_path):
    loud = WaveformSteps(noise=ColouredNoise(probability=1, min_snr_db=-20, max_snr_db=-20))
    loud.prepare(RATE)
    losses = {}
    for name, waveform in (("plain", None), ("noisy", loud)):
        trainer = trainer_with(
            tmp_path / name,
            waveform,
            n_epochs=1,
            lr=0.0,  # the weights stay, so validation differs only if its sound does
        )
        trainer.train()
        events = log_lines(tmp_path / name)
        for key in ("train/loss", "validation/loss"):
            losses[name, key] = [event[key] for event in events if key in event]
    assert losses["plain", "validation/loss"] == losses["noisy", "validation/loss"]
    assert losses["plain", "train/loss"] != losses["noisy", "train/loss"]


def test_a_whole_step_waits_for_nothing():
    stepper = make_stepper(MODELS[0], "logmel80", "specaugment")
    stepper.augment_waveforms, stepper.augment = augmentation("everything")
    batches = two_batches()
    parts = (stepper.recognizer, stepper.augment_waveforms)
    tensors = [t for part in parts for t in (*part.parameters(), *part.buffers())]
    device = DeviceTensors(*tensors, *(batch.waveforms for batch in batches))
    with Asked(device), device:
        report = stepper.launch(batches, 0)
    assert report.read().loss > 0 and device.n_operators > 100


def test_a_batch_of_nothing_passes(tmp_path):
    trainer = trainer_with(tmp_path, *augmentation("everything"))
    empty = next(iter(trainer.micro_batches()))[0]
    empty.ids.clear()
    assert trainer.stepper.step([empty], 0).loss == 0


def test_single_values_are_changed_from_the_command_line(corpus, tmp_path):
    folder = recordings(tmp_path / "sounds")
    overrides = [
        "augment=everything", "augment.waveform.gain.probability=0.25",
        f"augment.waveform.recorded_noise.folder={folder}", "~augment.waveform.tempo",
        "+augment.waveform.louder={_target_: src.transforms.Gain, probability: 1}",
        "augment.features.time_warp.max_warp_frames=7",
    ]  # fmt: skip
    stepper = build_trainer(tiny(corpus, *overrides), tmp_path / "run", Several([])).stepper
    steps = stepper.augment_waveforms.steps
    assert steps["gain"].probability == 0.25 and steps["gain"].sample_rate == RATE
    assert len(steps["recorded_noise"].stored) > 5_000
    assert "tempo" not in steps and list(steps)[-1] == "louder"
    assert stepper.augment.steps["time_warp"].max_warp_frames == 7


def augments(config: dict) -> tuple[nn.Module | None, nn.Module]:
    """What a config does to waveforms and features."""
    return build_augment(config, build(config["transform"], "transform"))


def test_what_only_changes_features_needs_no_waveform(corpus):
    for name in ("none", "specaugment"):
        config = tiny(corpus, f"augment={name}")
        of_waveforms, of_features = augments(config)
        assert of_waveforms is None
        assert type(of_features) is type(build(config["augment"], "augment"))
    assert isinstance(augments(tiny(corpus, "augment=waveform"))[1], Identity)


def test_a_frequency_warp_is_told_where_the_bands_lie(corpus, tmp_path):
    config = tiny(corpus, "augment=specaugment_speed_warp", "transform=logmel40")
    steps = build_trainer(config, tmp_path, Several([])).stepper.augment.steps
    assert list(steps) == ["frequency_warp", "masks"] and len(steps["frequency_warp"].centres) == 40
    with pytest.raises(UserError, match=r"leave it out with ~augment\.features\.frequency_warp"):
        augments(tiny(corpus, "augment=specaugment_speed_warp", "transform=mfcc"))


WRONG = {
    "augment.waveform.gain.probability=2": "probability=2: expected a number from 0 to 1",
    "augment.waveform.gain.max_gain=2": "max_gain; did you mean|no such key",
    "augment.waveform.gain=5": r"augment\.waveform\.gain=5: expected an augmentation of waveforms",
    "augment.waveform=null": r"augment\.waveform=None: expected keys with a _target_ among them",
    "augment.waveform.low_pass.max_cutoff_hz=9000": "max_cutoff_hz=9000: expected at most 8000",
    "augment.waveform.recorded_noise.folder=nowhere": "folder=nowhere: holds no recordings",
    "augment.waveform.gain._target_=src.transforms.SpecAugment": "SpecAugment",
}


@pytest.mark.parametrize("override", WRONG)
def test_a_value_that_cannot_be_used_is_named(override, corpus, tmp_path):
    prefix = "+" if "max_gain=" in override else ""
    config = tiny(corpus, "augment=everything", prefix + override)
    with pytest.raises(UserError, match=WRONG[override]):
        build_trainer(config, tmp_path, Several([]))


@pytest.mark.parametrize(
    "augment",
    [
        ("augment=everything", "augment.waveform.noise.probability=1"),
        ("augment=specaugment_speed_warp",),
    ],
)
def test_train_py_learns_from_augmented_speech(augment, corpus, tmp_path):
    arguments = (
        "-cn=convnet", "model=convnet_small", "device=cpu", "model.channels=[4,4,4,4]",
        "model.rnn_width=8", "loader.n_workers=0", "loader.batch_size=4", "trainer.n_examples=0",
        corpus, f"run_dir={tmp_path / 'run'}", "trainer.n_epochs=1", "trainer.log_every=1",
        *augment,
    )  # fmt: skip
    outcome = call("train", *arguments)
    assert outcome.status == 0, outcome.stderr
    losses = [e["train/loss"] for e in log_lines(tmp_path / "run") if "train/loss" in e]
    assert len(losses) >= 3 and all(0 < loss < 1e3 for loss in losses)
