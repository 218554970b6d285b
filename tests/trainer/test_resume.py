"""A run that goes on from its checkpoint."""

import pytest
import torch

from src.trainer import load_checkpoint
from src.utils.errors import UserError
from tests.trainer.conftest import make_recognizer


def weights(trainer) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in trainer.stepper.recognizer.parameters()])


def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(trainer_of, tmp_path):
    whole = trainer_of("whole", n_epochs=4)
    whole.train()
    first = trainer_of("halves", n_epochs=4)
    for batches in first.micro_batches():  # stops in the middle of the second epoch
        first.train_step(batches)
        if first.progress.step == 5:
            break
    first.save()
    torch.manual_seed(12345)  # whatever the process drew in between
    second = trainer_of("halves", n_epochs=4)
    second.restore(first.checkpoints.last)
    assert second.progress.step == 5 and second.progress.next_batch == 2
    second.train()
    assert torch.equal(weights(second), weights(whole))
    assert second.progress.best == whole.progress.best


def test_a_resumed_run_takes_its_learning_rate_from_the_config_of_now(trainer_of):
    first = trainer_of("run", n_epochs=1, lr=0.01)
    first.train()
    second = trainer_of("run", n_epochs=2, lr=0.002)
    second.restore(first.checkpoints.last)
    moments = second.stepper.optimizer.state_dict()["state"]
    assert moments and all(m["exp_avg"].abs().sum() > 0 for m in moments.values())
    second.train()
    assert second.learning_rate == pytest.approx(0.002)


def test_a_run_in_fp16_resumes_one_in_float32_and_the_other_way_round(trainer_of):
    for before, after in (("float32", "fp16"), ("fp16", "float32")):
        first = trainer_of(f"from-{before}", n_epochs=1, precision=before)
        first.train()
        second = trainer_of(f"from-{before}", n_epochs=2, precision=after)
        second.restore(first.checkpoints.last)
        assert second.train() == 0 and second.progress.step == 6


def test_another_optimizer_does_not_take_up_what_adamw_left(trainer_of):
    first = trainer_of("run", n_epochs=1)
    first.save()
    second = trainer_of("run", n_epochs=2)
    second.stepper.optimizer = torch.optim.SGD(second.stepper.recognizer.parameters(), lr=0.1)
    with pytest.raises(UserError, match=r"trained with AdamW, but this config has SGD.*init_from"):
        second.restore(first.checkpoints.last)


def tuned(*, factor: float = 0.1, frozen: bool = False):
    """A recogniser whose layers below the head learn at a share of the rate, or not at all."""
    recognizer = make_recognizer()
    for name, parameter in recognizer.model.named_parameters():
        if not name.startswith("head."):
            parameter.lr_factor = factor
            parameter.requires_grad_(not frozen)
    return recognizer


@pytest.mark.parametrize("now", [{"factor": 1.0}, {"frozen": True}], ids=str)
def test_weights_that_learn_in_other_groups_than_before_are_refused(trainer_of, now):
    first = trainer_of("run", n_epochs=1, recognizer=tuned())
    first.save()
    second = trainer_of("run", n_epochs=2, recognizer=tuned(**now))
    with pytest.raises(UserError, match=r"last.pt: .*encoder_lr_factor.*n_tuned_layers.*init_from"):
        second.restore(first.checkpoints.last)


def test_another_share_of_the_rate_takes_effect_on_resume(trainer_of):
    first = trainer_of("run", n_epochs=1, recognizer=tuned(), lr=0.01)
    first.save()
    second = trainer_of("run", n_epochs=2, recognizer=tuned(factor=0.5), lr=0.01)
    second.restore(first.checkpoints.last)
    rates = [group["lr"] for group in second.stepper.optimizer.param_groups]
    assert rates == pytest.approx([0.01, 0.01, 0.005, 0.005])


def test_a_validation_that_failed_is_made_up_for_when_the_run_resumes(trainer_of):
    first = trainer_of("run", n_epochs=1, monitor="bleu")  # fails at the very end of the run
    with pytest.raises(UserError, match="bleu"):
        first.train()
    assert not (first.run_dir / "checkpoints/best.pt").exists()
    second = trainer_of("run", n_epochs=1, monitor="wer")
    second.restore(first.checkpoints.last)
    assert second.train() == 0
    assert second.progress.step == 3 == second.progress.best_step
    assert load_checkpoint(second.run_dir / "checkpoints/best.pt")["step"] == 3


def test_a_run_that_stopped_early_stays_as_it_is_when_resumed(trainer_of):
    first = trainer_of("run", n_epochs=50, lr=0.0, patience=2)
    first.train()
    second = trainer_of("run", n_epochs=50, lr=0.0, patience=2)
    second.restore(first.checkpoints.last)
    assert second.train() == 0 and second.progress.step == 9


def test_a_checkpoint_of_another_vocabulary_or_model_is_told_apart(trainer_of):
    trainer = trainer_of("a")
    trainer.save()
    other = trainer_of("b")
    other.description["symbols"] = ["_", "x", "y"]
    with pytest.raises(UserError, match=r"vocabulary of 5 symbols.*this config has 3.*text="):
        other.restore(trainer.checkpoints.last)
    larger = trainer_of("c", recognizer=make_recognizer(n_tokens=9))
    with pytest.raises(UserError, match=r"weights of another model.*model=… and transform=…"):
        larger.restore(trainer.checkpoints.last)


def test_weights_alone_are_no_run_to_resume(trainer_of, tmp_path):
    run = trainer_of("run", n_epochs=1)
    run.train()
    state = load_checkpoint(run.checkpoints.last)
    kept = ("format", "config", "symbols", "name", "recognizer", "versions")
    torch.save({key: state[key] for key in kept if key in state}, tmp_path / "averaged.pt")
    with pytest.raises(UserError, match=r"averaged\.pt: holds weights only.*init_from="):
        trainer_of("other", n_epochs=1).restore(tmp_path / "averaged.pt")
