"""The moving average of the weights: its arithmetic, and who uses it."""

import pytest
import torch
from torch import nn

from src.trainer import load_checkpoint
from src.trainer.moving_average import MovingAverage
from src.utils.errors import UserError
from tests.trainer.conftest import weights


def test_the_average_by_hand():
    """Decays of the warm-up 1/10, 2/11, 3/12 …, then at most `decay`."""
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, 8.0)
    average = MovingAverage(layer, decay=0.2)
    for step, value in enumerate([4.0, 2.0, 1.0]):
        nn.init.constant_(layer.weight, value)
        average.update(step)
    expected = 0.1 * 8 + 0.9 * 4
    expected = 2 / 11 * expected + 9 / 11 * 2
    expected = 0.2 * expected + 0.8 * 1
    assert average.state_dict()["weight"].item() == pytest.approx(expected, rel=1e-6)
    assert layer.weight.item() == 1.0


def test_running_statistics_are_averaged_and_whole_numbers_taken_over():
    norm = nn.BatchNorm1d(1)
    average = MovingAverage(norm, decay=0.5)
    norm.running_mean += 3.0
    norm.num_batches_tracked += 7
    average.update(step=100)
    found = average.state_dict()
    assert found["running_mean"].item() == pytest.approx(1.5)
    assert found["num_batches_tracked"].item() == 7


def test_inside_applied_the_module_carries_the_average_and_outside_its_own_weights():
    layer = nn.Linear(3, 2)
    average = MovingAverage(layer, decay=0.9)
    own = layer.weight.detach().clone() + 1
    with torch.no_grad():
        layer.weight += 1
    with pytest.raises(ZeroDivisionError), average.applied():
        torch.testing.assert_close(layer.weight, own - 1)
        raise ZeroDivisionError
    assert torch.equal(layer.weight, own)


def test_checkpoints_hold_the_average_to_read_with_and_the_weights_to_train_on(trainer_of):
    trainer = trainer_of(n_epochs=2, ema_decay=0.9)
    trainer.train()
    state = load_checkpoint(trainer.checkpoints.last)
    own = trainer.stepper.recognizer.state_dict()
    average = trainer.stepper.moving_average.state_dict()
    for name, value in own.items():
        assert torch.equal(state["trained"][name], value)
        assert torch.equal(state["recognizer"][name], average[name])
    assert any(not torch.equal(own[name], average[name]) for name in own)


def test_validation_judges_the_average(trainer_of):
    trainer = trainer_of(n_epochs=1, ema_decay=0.99)
    judged = []
    run = trainer.validation.run

    def note(step):
        judged.append(weights(trainer).clone())
        return run(step)

    trainer.validation.run = note
    trainer.train()
    average = trainer.stepper.moving_average.state_dict()
    flat = torch.cat([average[name].flatten() for name, _ in named(trainer)])
    assert torch.equal(judged[-1], flat) and not torch.equal(judged[-1], weights(trainer))


def named(trainer) -> list:
    return list(trainer.stepper.recognizer.named_parameters())


def test_a_resumed_run_ends_in_the_same_weights_and_the_same_average(trainer_of, tmp_path):
    settings = {"n_epochs": 4, "ema_decay": 0.9}
    whole = trainer_of(**settings)
    whole.train()
    first = trainer_of(**settings)
    first.total_steps = 6  # leaves in the middle, as if told to
    first.train()
    second = trainer_of(**settings)
    second.restore(first.checkpoints.last)
    second.train()
    assert torch.equal(weights(second), weights(whole))
    for name, value in whole.stepper.moving_average.state_dict().items():
        assert torch.equal(second.stepper.moving_average.state_dict()[name], value)


def test_an_average_begun_with_a_resumed_run_begins_with_its_weights(trainer_of):
    first = trainer_of(n_epochs=1)
    first.train()
    second = trainer_of(n_epochs=2, ema_decay=0.9)
    second.restore(first.checkpoints.last)
    for name, value in second.stepper.recognizer.state_dict().items():
        assert torch.equal(second.stepper.moving_average.state_dict()[name], value)


@pytest.mark.parametrize("decay", [0, 1, 1.5, -0.1])
def test_a_decay_outside_0_to_1_is_refused(trainer_of, decay):
    with pytest.raises(UserError, match=r"trainer\.ema_decay.*between 0 and 1"):
        trainer_of(ema_decay=decay)
