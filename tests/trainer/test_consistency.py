"""Training on two views of each utterance."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from src.batch import Batch, to_float
from src.datasets import collate
from src.loss import CTC
from src.trainer import Settings, Stepper, parameter_groups
from src.trainer.reports import StepReport
from src.transforms import Identity, SpecAugment
from src.transforms.views import TwoViews
from src.utils.errors import UserError
from tests.cli.conftest import run
from tests.models.zoo import CONFIGS as MODELS
from tests.trainer.conftest import DEFAULTS, log_lines, make_recognizer, weights
from tests.trainer.test_no_hidden_waiting import (
    Asked,
    DeviceTensors,
    make_stepper,
    two_batches,
)
from tests.trainer.tones import Tones

UTTERANCES = [Tones(16)[i] for i in range(16)]


class Halves(nn.Module):
    """Hides the low bins from first views and the high bins from second ones; draws nothing."""

    def forward(self, features, lengths, generator=None):
        first, second = features.chunk(2)
        n = features.shape[2] // 2
        return torch.cat(
            [functional.pad(first[..., n:], (n, 0)), second * (torch.arange(2 * n) < n)]
        )


def stepper_of(consistency: float | None, augment: nn.Module, precision="float32", dropout=0.0):
    recognizer = make_recognizer(dropout=dropout)
    optimizer = torch.optim.SGD(parameter_groups(recognizer, 0.0, 0.1), lr=0.1)
    augment = TwoViews(augment) if consistency else augment
    return Stepper(
        recognizer, augment, CTC(), optimizer,
        max_grad_norm=1e9, precision=precision, seed=1, consistency=consistency,
    )  # fmt: skip


def flat(module: nn.Module | Stepper) -> torch.Tensor:
    module = module.recognizer if isinstance(module, Stepper) else module
    return torch.cat([p.detach().flatten() for p in module.parameters()]).clone()


def step_by_hand(batch: Batch, consistency: float | None) -> tuple[float, float, torch.Tensor]:
    """Loss, consistency and weights after one step of SGD, with no part of the trainer."""
    recognizer = make_recognizer(dropout=0.0).train()
    features, lengths = recognizer.features(batch.waveforms, batch.waveform_lengths)
    n_tokens, n, apart = int(batch.token_lengths.sum()), len(batch), torch.zeros(())
    if consistency:
        features, lengths = Halves()(torch.cat([features, features]), None), lengths.repeat(2)
    log_probs, lengths = recognizer.model(features, lengths)
    tokens, token_lengths = (
        torch.cat([x] * (len(log_probs) // n)) for x in (batch.tokens, batch.token_lengths)
    )
    nats = functional.ctc_loss(
        log_probs.transpose(0, 1), tokens, lengths, token_lengths, reduction="none"
    )
    loss = nats.sum() / (len(nats) // n)
    for i in range(n if consistency else 0):
        views = [log_probs[row, : lengths[i]] for row in (i, n + i)]
        for found, target in (views, views[::-1]):
            apart = apart + functional.kl_div(found, target.detach().exp(), reduction="sum") / 2
    ((loss + (consistency or 0) * apart) * (1 / n_tokens)).backward()
    torch.optim.SGD(recognizer.parameters(), lr=0.1).step()
    return loss.item() / n_tokens, apart.item() / n_tokens, flat(recognizer)


def test_a_step_without_consistency_is_the_plain_one_bit_for_bit():
    batch, stepper = collate(UTTERANCES[:6]), stepper_of(None, Identity())
    report = stepper.step([batch], 0)
    loss, _, after = step_by_hand(batch, None)
    assert torch.equal(flat(stepper), after)
    assert report.loss == pytest.approx(loss, rel=1e-6) and report.consistency is None


@pytest.mark.parametrize("weight", [0.2, 3.0])
def test_a_step_with_consistency_is_the_one_by_hand(weight):
    batch, stepper = collate(UTTERANCES[:6]), stepper_of(weight, Halves())
    report = stepper.step([batch], 0)
    loss, apart, after = step_by_hand(batch, weight)
    assert report.loss == pytest.approx(loss, rel=1e-5)
    assert report.consistency == pytest.approx(apart, rel=1e-4) and apart > 1e-4
    torch.testing.assert_close(flat(stepper), after, rtol=1e-5, atol=1e-6)


def test_two_equal_views_teach_what_one_teaches():
    one, two = stepper_of(None, Identity()), stepper_of(0.2, Identity())
    reports = [stepper.step([collate(UTTERANCES)], 0) for stepper in (one, two)]
    assert reports[1].consistency == pytest.approx(0, abs=1e-6)
    assert reports[1].loss == pytest.approx(reports[0].loss, rel=1e-5)
    torch.testing.assert_close(flat(two), flat(one), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("sizes", [(8, 8), (4, 4, 8), (1, 15)])
def test_micro_batches_step_like_one_large_batch(sizes):
    """So company and padding change nothing either: each group is padded to its own longest."""
    whole, parts = stepper_of(0.2, Halves()), stepper_of(0.2, Halves())
    one = whole.step([collate(UTTERANCES)], 0)
    cuts = itertools.pairwise([0, *np.cumsum(sizes).tolist()])
    several = parts.step([collate(UTTERANCES[a:b]) for a, b in cuts], 0)
    assert several.loss == pytest.approx(one.loss, rel=1e-5)
    assert several.consistency == pytest.approx(one.consistency, rel=1e-5)
    assert several.grad_norm == pytest.approx(one.grad_norm, rel=1e-4)
    assert several.n_utterances == 16 and several.audio_s == pytest.approx(one.audio_s)
    torch.testing.assert_close(flat(parts), flat(whole), atol=1e-6, rtol=1e-5)


def test_two_processes_step_like_one(tmp_path):
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    result = run(*torchrun, "-m", "tests.trainer.half_a_step", tmp_path / "after.pt")
    assert result.returncode == 0, result.stderr[-3000:]
    found = torch.load(tmp_path / "after.pt", weights_only=True)
    whole = stepper_of(0.2, Halves())
    report = whole.step([collate(UTTERANCES)], 0)
    for name in ("loss", "consistency", "grad_norm"):
        assert found[name] == pytest.approx(getattr(report, name), rel=1e-4), name
    torch.testing.assert_close(found["weights"], flat(whole), atol=1e-6, rtol=1e-5)


def test_an_utterance_without_an_alignment_is_counted_once_and_teaches_nothing():
    short = replace(UTTERANCES[0], waveform=UTTERANCES[0].waveform[:1600], tokens=(1,) * 8)
    with_it, without = stepper_of(0.2, Halves()), stepper_of(0.2, Halves())
    found = with_it.step([collate([*UTTERANCES[:3], short])], 0)
    assert found.n_impossible == 1 and found.n_utterances == 4 and found.skipped is None
    expected = without.step([collate(UTTERANCES[:3])], 0)
    assert found.consistency == pytest.approx(expected.consistency, rel=1e-5)
    assert found.loss == pytest.approx(expected.loss, rel=1e-5)


def test_a_batch_that_nothing_could_be_read_of_teaches_nothing():
    stepper = stepper_of(0.2, SpecAugment())
    before = flat(stepper)
    report = stepper.step([collate([])], 0)
    assert report.n_utterances == 0 and report.skipped is None
    assert report.loss == report.consistency == 0
    assert torch.equal(flat(stepper), before)


def test_a_step_that_is_not_finite_changes_nothing():
    stepper = stepper_of(0.2, SpecAugment())
    before, batch = flat(stepper), collate(UTTERANCES[:3])
    waveforms = to_float(batch.waveforms)
    waveforms[1, 1000] = math.nan
    assert stepper.step([replace(batch, waveforms=waveforms)], 0).skipped == "non-finite"
    assert torch.equal(flat(stepper), before)


def learnt_alike(exact: Stepper, rounded: Stepper) -> tuple[StepReport, StepReport]:
    """The reports of a step of each, after a look at where the weights went."""
    before = flat(exact)
    a = exact.step([collate(UTTERANCES)], 0)
    for _ in range(10):  # fp16 skips steps until its loss scale fits
        if torch.equal(flat(rounded), before):
            b = rounded.step([collate(UTTERANCES)], 0)
    assert b.loss == pytest.approx(a.loss, rel=0.02)
    moved = functional.cosine_similarity(flat(exact) - before, flat(rounded) - before, dim=0)
    assert moved > 0.98
    return a, b


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precision_learns_about_the_same(precision):
    a, b = learnt_alike(stepper_of(0.2, Halves()), stepper_of(0.2, Halves(), precision))
    assert b.consistency == pytest.approx(a.consistency, rel=0.1)


def test_a_resumed_run_ends_with_the_weights_and_the_log_of_an_uninterrupted_one(trainer_of):
    keys = {"n_epochs": 2, "consistency": 0.2, "ema_decay": 0.9, "accumulate": 2}
    keys |= {"batch_size": 4, "log_every": 2}
    whole = trainer_of("whole", augment=SpecAugment(), **keys)
    whole.train()
    first = trainer_of("halves", augment=SpecAugment(), **keys)
    for batches in first.micro_batches():
        first.train_step(batches)
        if first.progress.step == 3:  # one report is not logged yet
            break
    first.save()
    torch.manual_seed(12345)
    second = trainer_of("halves", augment=SpecAugment(), **keys)
    second.restore(first.checkpoints.last)
    second.train()
    assert torch.equal(weights(second), weights(whole))
    averages = [t.stepper.moving_average.state_dict() for t in (whole, second)]
    assert all(torch.equal(averages[0][name], averages[1][name]) for name in averages[0])
    logged = [
        [line["train/consistency"] for line in log_lines(t.run_dir) if "train/consistency" in line]
        for t in (whole, second)
    ]
    assert logged[0] == logged[1] and len(logged[0]) >= 3 and min(logged[0]) > 0


@pytest.mark.parametrize("model", MODELS, ids=lambda path: path.stem)
def test_every_model_sees_two_views_and_waits_for_nothing(model):
    stepper = make_stepper(model, "logmel80", "specaugment_consistent", consistency=0.2)
    batches = two_batches()
    tensors = [*stepper.recognizer.parameters(), *stepper.recognizer.buffers()]
    device = DeviceTensors(*tensors, *(batch.waveforms for batch in batches))
    with Asked(device), device:
        pending = stepper.launch(batches, 0)
    report = pending.read()
    assert report.loss > 0 and report.consistency > 0 and report.n_utterances == 4


@pytest.mark.parametrize("weight", [0, -0.2, math.inf, math.nan])
def test_a_weight_that_is_no_number_above_0_is_refused(weight):
    with pytest.raises(UserError, match=r"trainer\.consistency=.*: expected a number above 0"):
        Settings(**(DEFAULTS | {"consistency": weight}))
