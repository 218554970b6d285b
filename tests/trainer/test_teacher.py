"""Training beside a teacher."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from src.batch import Batch, Emissions, to_float
from src.datasets import collate
from src.loss import CTC
from src.recognizer import Recognizer
from src.trainer import Settings, Stepper, Teacher, parameter_groups
from src.transforms import Identity, SpecAugment
from src.transforms.views import TwoViews
from src.utils.errors import UserError
from tests.cli.conftest import run
from tests.models.zoo import CONFIGS as MODELS
from tests.trainer.conftest import DEFAULTS, log_lines, make_recognizer, weights
from tests.trainer.test_consistency import UTTERANCES, Halves, flat, learnt_alike
from tests.trainer.test_no_hidden_waiting import (
    Asked,
    DeviceTensors,
    make_stepper,
    two_batches,
)


def other_recognizer() -> Recognizer:
    """The student's twin with other weights."""
    twin = make_recognizer().requires_grad_(False)
    generator = torch.Generator().manual_seed(3)
    for parameter in twin.model.parameters():
        parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return twin.eval()


def stepper_of(
    share: float | None,
    augment: nn.Module | None = None,
    precision: str = "float32",
    consistency: float | None = None,
) -> Stepper:
    recognizer = make_recognizer(dropout=0.0)
    optimizer = torch.optim.SGD(parameter_groups(recognizer, 0.0, 0.1), lr=0.1)
    augment = augment or Identity()
    return Stepper(
        recognizer, TwoViews(augment) if consistency else augment, CTC(), optimizer,
        max_grad_norm=1e9, precision=precision, seed=1, consistency=consistency,
        teacher=share and Teacher(other_recognizer(), share, precision=precision),
    )  # fmt: skip


def step_by_hand(batch: Batch, share: float) -> tuple[float, float, torch.Tensor]:
    """Loss, distillation and weights after one step of SGD, with no part of the trainer."""
    recognizer = make_recognizer(dropout=0.0).train()
    log_probs, lengths = recognizer(batch.waveforms, batch.waveform_lengths)
    says = other_recognizer()(batch.waveforms, batch.waveform_lengths).log_probs
    nats = functional.ctc_loss(
        log_probs.transpose(0, 1), batch.tokens, lengths, batch.token_lengths, reduction="sum"
    )
    apart = torch.zeros(())
    for i, n in enumerate(lengths):
        apart = apart + functional.kl_div(log_probs[i, :n], says[i, :n].exp(), reduction="sum")
    n_tokens = int(batch.token_lengths.sum())
    (((1 - share) * nats + share * apart) / n_tokens).backward()
    torch.optim.SGD(recognizer.parameters(), lr=0.1).step()
    return nats.item() / n_tokens, apart.item() / n_tokens, flat(recognizer)


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_a_step_beside_a_teacher_is_the_one_by_hand(share):
    batch, stepper = collate(UTTERANCES[:6]), stepper_of(share)
    report = stepper.step([batch], 0)
    loss, apart, after = step_by_hand(batch, share)
    assert report.loss == pytest.approx(loss, rel=1e-5)
    assert report.distillation == pytest.approx(apart, rel=1e-4) and apart > 0.1
    assert report.consistency is None
    torch.testing.assert_close(flat(stepper), after, rtol=1e-5, atol=1e-6)


def test_masks_are_the_student_s_alone_and_changed_waveforms_are_heard_by_both():
    class Twice(nn.Module):
        def forward(self, waveforms, lengths, generator):
            return to_float(waveforms) * 2, lengths

    heard = []

    def listen(module, arguments, result):
        heard.append((module, arguments[0]))

    stepper = stepper_of(0.5, SpecAugment())
    stepper.augment_waveforms = Twice()
    stepper.teacher.recognizer.register_forward_hook(listen)
    stepper.recognizer.model.register_forward_hook(listen)
    batch = collate(UTTERANCES[:2])
    stepper.step([batch], 0)
    (_, by_teacher), (_, by_student) = heard
    assert torch.equal(by_teacher, to_float(batch.waveforms) * 2)
    unmasked, _ = stepper.recognizer.features(by_teacher, batch.waveform_lengths)
    assert not torch.equal(by_student, unmasked)


def test_the_teacher_stays_as_it_is_and_no_checkpoint_holds_it():
    stepper = stepper_of(0.5)
    for step in range(3):
        stepper.step([collate(UTTERANCES)], step)
    teacher = stepper.teacher.recognizer
    assert torch.equal(flat(teacher), flat(other_recognizer())) and not teacher.training
    expected = make_recognizer().state_dict()
    assert stepper.recognizer.state_dict().keys() == expected.keys()


@pytest.mark.parametrize("consistency", [None, 0.2])
def test_micro_batches_step_like_one_large_batch(consistency):
    """So company and padding change nothing either: each group is padded to its own longest."""
    augment = Halves() if consistency else None
    whole, parts = (stepper_of(0.5, augment, consistency=consistency) for _ in range(2))
    one = whole.step([collate(UTTERANCES)], 0)
    several = parts.step([collate(UTTERANCES[:5]), collate(UTTERANCES[5:])], 0)
    for name in ("loss", "distillation", "grad_norm", *(["consistency"] if consistency else [])):
        assert getattr(several, name) == pytest.approx(getattr(one, name), rel=1e-4), name
    torch.testing.assert_close(flat(parts), flat(whole), atol=1e-6, rtol=1e-5)


def test_the_share_leaves_the_consistency_of_views_alone():
    """(1 − s) CTC + s KL + α · consistency, so with s = 1 there is still something to agree on."""
    weak, strong = (stepper_of(1.0, Halves(), consistency=weight) for weight in (0.2, 50.0))
    for stepper in (weak, strong):
        stepper.step([collate(UTTERANCES[:6])], 0)
    assert not torch.allclose(flat(weak), flat(strong), atol=1e-4)


def test_two_equal_views_are_taught_what_one_is_taught():
    one, two = stepper_of(0.5), stepper_of(0.5, consistency=0.2)
    reports = [stepper.step([collate(UTTERANCES)], 0) for stepper in (one, two)]
    assert reports[1].consistency == pytest.approx(0, abs=1e-6)
    assert reports[1].distillation == pytest.approx(reports[0].distillation, rel=1e-5)
    torch.testing.assert_close(flat(two), flat(one), rtol=1e-5, atol=1e-6)


def test_two_processes_step_like_one(tmp_path):
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    result = run(*torchrun, "-m", "tests.trainer.half_a_step", tmp_path / "after.pt", "teacher")
    assert result.returncode == 0, result.stderr[-3000:]
    found = torch.load(tmp_path / "after.pt", weights_only=True)
    whole = stepper_of(0.5)
    report = whole.step([collate(UTTERANCES)], 0)
    for name in ("loss", "distillation", "grad_norm"):
        assert found[name] == pytest.approx(getattr(report, name), rel=1e-4), name
    torch.testing.assert_close(found["weights"], flat(whole), atol=1e-6, rtol=1e-5)


def test_an_utterance_without_an_alignment_teaches_nothing():
    short = replace(UTTERANCES[0], waveform=UTTERANCES[0].waveform[:1600], tokens=(1,) * 8)
    found = stepper_of(0.5).step([collate([*UTTERANCES[:3], short])], 0)
    expected = stepper_of(0.5).step([collate(UTTERANCES[:3])], 0)
    assert found.n_impossible == 1
    assert found.distillation == pytest.approx(expected.distillation, rel=1e-5)


def test_a_batch_that_nothing_could_be_read_of_teaches_nothing():
    stepper = stepper_of(0.5)
    before = flat(stepper)
    report = stepper.step([collate([])], 0)
    assert report.loss == report.distillation == 0 and report.skipped is None
    assert torch.equal(flat(stepper), before)


def test_a_teacher_that_is_not_finite_changes_nothing():
    stepper = stepper_of(0.5)
    next(stepper.teacher.recognizer.parameters()).fill_(math.nan)
    before = flat(stepper)
    assert stepper.step([collate(UTTERANCES[:3])], 0).skipped == "non-finite"
    assert torch.equal(flat(stepper), before)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precision_learns_about_the_same(precision):
    a, b = learnt_alike(stepper_of(0.5), stepper_of(0.5, precision=precision))
    assert b.distillation == pytest.approx(a.distillation, rel=0.1)


def test_a_resumed_run_ends_with_the_weights_and_the_log_of_an_uninterrupted_one(trainer_of):
    def fresh(name: str):
        keys = {"n_epochs": 2, "ema_decay": 0.9, "batch_size": 4, "log_every": 2}
        trainer = trainer_of(name, augment=SpecAugment(), **keys)
        trainer.stepper.teacher = Teacher(other_recognizer(), 0.5)
        return trainer

    (whole := fresh("whole")).train()
    first = fresh("halves")
    for batches in first.micro_batches():
        first.train_step(batches)
        if first.progress.step == 3:  # one report is not logged yet
            break
    first.save()
    second = fresh("halves")
    second.restore(first.checkpoints.last)
    second.train()
    assert torch.equal(weights(second), weights(whole))
    name = "train/distillation"
    logged = [
        [line[name] for line in log_lines(t.run_dir) if name in line] for t in (whole, second)
    ]
    assert logged[0] == logged[1] and len(logged[0]) >= 3 and min(logged[0]) > 0


@pytest.mark.parametrize("model", MODELS, ids=lambda path: path.stem)
def test_every_model_learns_of_its_twin_and_waits_for_nothing(model):
    stepper, twin = (make_stepper(model, "logmel80", "none") for _ in range(2))
    batches = two_batches()
    stepper.teacher = Teacher(twin.recognizer.requires_grad_(False).eval(), 0.5, precision="bf16")
    parts = (stepper.recognizer, twin.recognizer)
    tensors = [t for part in parts for t in (*part.parameters(), *part.buffers())]
    device = DeviceTensors(*tensors, *(batch.waveforms for batch in batches))
    with Asked(device), device:
        pending = stepper.launch(batches, 0)
    report = pending.read()
    assert report.loss > 0 and report.distillation >= 0 and report.n_utterances == 4


@pytest.mark.parametrize("share", [0, -0.5, 1.01, math.inf, math.nan])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(UserError, match=r"trainer\.teacher_share=.*: expected a number above 0"):
        Settings(**(DEFAULTS | {"teacher_share": share}))


def test_a_teacher_hears_in_its_precision():
    sound = _sound(UTTERANCES[:2])
    exact, rounded = (Teacher(other_recognizer(), 0.5, precision=p) for p in ("float32", "bf16"))
    expected = other_recognizer()(*sound).log_probs
    torch.testing.assert_close(exact(*sound).log_probs, expected, atol=1e-6, rtol=1e-5)
    assert 1e-4 < (rounded(*sound).log_probs - expected).abs().max() < 0.1


def test_views_of_several_utterances_stand_beside_what_was_heard_of_them():
    """All first views, then all second ones, as `Consistent` has them."""
    heard = other_recognizer()(*_sound(UTTERANCES[:3]))
    twice = Emissions(heard.log_probs.repeat(2, 1, 1), heard.lengths.repeat(2))
    teacher, none = Teacher(other_recognizer(), 0.5), torch.zeros(3, dtype=torch.bool)
    assert teacher.distillation(twice, heard, none).item() == pytest.approx(0, abs=1e-5)
    turned = Emissions(heard.log_probs.flip(0), heard.lengths.flip(0))
    assert teacher.distillation(turned, heard, none) > 0.1


def _sound(utterances: list) -> tuple[torch.Tensor, torch.Tensor]:
    batch = collate(utterances)
    return batch.waveforms, batch.waveform_lengths
