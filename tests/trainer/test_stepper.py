import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from src.batch import Batch, to_float
from src.datasets import collate
from src.loss import CTC
from src.trainer import Stepper, parameter_groups
from src.trainer.schedules import set_learning_rate
from src.transforms import Identity
from tests.trainer.conftest import make_normalised_recognizer, make_recognizer
from tests.trainer.tones import Tones


def make_stepper(augment: nn.Module | None = None, precision: str = "float32", **keys) -> Stepper:
    recognizer = keys.pop("recognizer", None) or make_recognizer(dropout=keys.pop("dropout", 0.0))
    lr = keys.pop("lr", 0.1)
    groups = parameter_groups(recognizer, 0.0, lr)
    optimizer = torch.optim.SGD(groups, lr=lr)
    if keys.pop("fused", False):
        optimizer = torch.optim.AdamW(groups, lr=lr, fused=True)
    return Stepper(
        recognizer,
        augment or Identity(),
        CTC(),
        optimizer,
        max_grad_norm=keys.pop("max_grad_norm", 1e9),
        precision=precision,
        seed=1,
    )


def weights(stepper: Stepper) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in stepper.recognizer.parameters()]).clone()


UTTERANCES = [Tones(16)[i] for i in range(16)]


@pytest.mark.parametrize("sizes", [(8, 8), (4, 4, 8), (1, 15)])
def test_micro_batches_step_like_one_large_batch(sizes):
    whole, parts = make_stepper(), make_stepper()
    cuts = [0, *np.cumsum(sizes).tolist()]
    one = whole.step([collate(UTTERANCES)], 0)
    groups = [UTTERANCES[a:b] for a, b in itertools.pairwise(cuts)]
    several = parts.step([collate(group) for group in groups], 0)
    assert several.loss == pytest.approx(one.loss, rel=1e-5)
    assert several.grad_norm == pytest.approx(one.grad_norm, rel=1e-4)
    assert several.n_utterances == 16 and several.audio_s == pytest.approx(one.audio_s)
    torch.testing.assert_close(weights(parts), weights(whole), atol=1e-6, rtol=1e-5)


def test_clipping_scales_the_gradient_to_its_norm():
    free, clipped = make_stepper(), make_stepper(max_grad_norm=0.01)
    before = weights(free)
    report = free.step([collate(UTTERANCES)], 0)
    clipped.step([collate(UTTERANCES)], 0)
    assert report.grad_norm > 0.01
    shrink = 0.01 / report.grad_norm
    torch.testing.assert_close(
        weights(clipped) - before, (weights(free) - before) * shrink, atol=1e-6, rtol=1e-3
    )


def broken(kind: str) -> Batch:
    """Six utterances of which the third can't be learnt from."""
    batch = collate([*UTTERANCES[:2], replace(UTTERANCES[2], id="bad-one"), *UTTERANCES[3:6]])
    waveforms = to_float(batch.waveforms)  # int16 has no word for it
    waveforms[2, 1000] = {"nan": np.nan, "inf": np.inf}[kind]
    return replace(batch, waveforms=waveforms)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("kind", ["nan", "inf"])
def test_a_step_that_is_not_finite_changes_nothing_and_names_its_utterances(kind, fused):
    stepper = make_stepper(fused=fused)
    before = weights(stepper)
    buffers = [b.clone() for b in stepper.recognizer.buffers()]
    report = stepper.step([broken(kind)], 0)
    assert report.skipped == "non-finite"
    assert "bad-one" in report.ids and len(report.ids) == 6
    assert torch.equal(weights(stepper), before)
    for now, then in zip(stepper.recognizer.buffers(), buffers, strict=True):
        assert torch.equal(now, then)
    assert stepper.step([collate(UTTERANCES)], 1).skipped is None  # and learning goes on
    assert not torch.equal(weights(stepper), before)


def running_statistics(stepper: Stepper) -> list[torch.Tensor]:
    found = [buffer.clone() for buffer in stepper.recognizer.model.buffers()]
    assert len(found) == 15  # mean, variance and count of five BatchNorms
    return found


@pytest.mark.parametrize("fused", [False, True])
def test_a_step_that_is_not_finite_leaves_no_nan_in_running_statistics(fused):
    stepper = make_stepper(recognizer=make_normalised_recognizer(), fused=fused)
    stepper.step([collate(UTTERANCES)], 0)
    before = running_statistics(stepper)
    assert stepper.step([collate(UTTERANCES), broken("nan")], 1).skipped == "non-finite"
    assert all(map(torch.equal, running_statistics(stepper), before))
    assert stepper.step([collate(UTTERANCES)], 2).skipped is None
    assert not any(map(torch.equal, running_statistics(stepper), before))


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, KeyboardInterrupt])
def test_running_statistics_of_a_step_that_broke_off_are_those_of_the_step_before(error):
    stepper = make_stepper(recognizer=make_normalised_recognizer())
    stepper.step([collate(UTTERANCES)], 0)
    stepper.is_updating = False  # the step is counted
    before, loss = running_statistics(stepper), stepper.loss

    def breaks_off(*arguments):
        raise error

    stepper.loss = breaks_off  # behind the model, whose statistics have moved by then
    if error is KeyboardInterrupt:
        with pytest.raises(error):
            stepper.step([collate(UTTERANCES)], 1)
    else:
        assert stepper.step([collate(UTTERANCES)], 1).skipped == "out of memory"
    assert all(map(torch.equal, running_statistics(stepper), before))
    stepper.loss = loss
    assert stepper.step([collate(UTTERANCES)], 2).skipped is None


def test_a_skipped_first_step_leaves_fused_adam_as_if_it_had_never_been():
    skipped, fresh = make_stepper(fused=True), make_stepper(fused=True)
    skipped.step([broken("nan")], 0)
    for stepper in (skipped, fresh):
        stepper.step([collate(UTTERANCES)], 1)
    assert torch.equal(weights(skipped), weights(fresh))


def test_a_batch_that_nothing_could_be_read_of_teaches_nothing():
    stepper = make_stepper()
    before = weights(stepper)
    report = stepper.step([collate([])], 0)
    assert report.n_utterances == 0 and report.skipped is None and report.loss == 0
    assert torch.equal(weights(stepper), before)


class Greedy(nn.Module):
    """An augmentation that once asks for more memory than any machine has."""

    def __init__(self) -> None:
        super().__init__()
        self.full = True

    def forward(self, features, lengths, generator=None):
        if self.full:
            torch.empty(2**58, dtype=torch.uint8)
        return features


def test_running_out_of_memory_is_reported_and_survived():
    augment = Greedy()
    stepper = make_stepper(augment)
    before = weights(stepper)
    report = stepper.step([collate(UTTERANCES[:4])], 0)
    assert report.skipped == "out of memory"
    assert report.ids == [u.id for u in UTTERANCES[:4]]
    assert torch.equal(weights(stepper), before)
    augment.full = False
    assert stepper.step([collate(UTTERANCES[:4])], 1).skipped is None


def test_bad_recordings_are_reported_in_fp16_and_cost_the_scale_one_halving_each():
    stepper = make_stepper(precision="fp16")
    before = weights(stepper)
    assert stepper.scaler.get_scale() == 2.0**16
    for step in range(3):
        assert stepper.step([broken("nan")], step).skipped == "non-finite"
    assert stepper.scaler.get_scale() == 2.0**13
    assert torch.equal(weights(stepper), before)


class SteepSlope(nn.Module):
    """Finite values with an infinite gradient, whatever the scale."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + (x * 0).sqrt().nan_to_num(0)


@pytest.mark.parametrize("scale", [2.0**16, 1.0])
def test_an_overflow_in_fp16_lowers_the_scale_until_there_is_none_left_to_blame(scale):
    stepper = make_stepper(precision="fp16")
    stepper.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    model = stepper.recognizer.model
    forward = model.forward
    slope = SteepSlope()
    model.forward = lambda x, n: (lambda e: e._replace(log_probs=slope(e.log_probs)))(forward(x, n))
    before = weights(stepper)
    report = stepper.step([collate(UTTERANCES[:4])], 0)
    assert math.isfinite(report.loss) and not math.isfinite(report.grad_norm)
    assert torch.equal(weights(stepper), before)
    if scale > 1:
        assert report.skipped is None and stepper.scaler.get_scale() == scale / 2
    else:
        assert report.skipped == "non-finite"


def test_a_bug_is_not_mistaken_for_a_lack_of_memory():
    class Bug(nn.Module):
        def forward(self, features, lengths, generator=None):
            return features @ features  # shapes that don't fit

    with pytest.raises(RuntimeError):
        make_stepper(Bug()).step([collate(UTTERANCES[:2])], 0)


def test_an_utterance_with_more_tokens_than_frames_is_counted():
    short = type(UTTERANCES[0])(
        id="short",
        waveform=np.zeros(1600, dtype=np.float32),
        tokens=(1, 1, 1, 1, 1, 1, 1, 1),
    )
    report = make_stepper().step([collate([*UTTERANCES[:3], short])], 0)
    assert report.n_impossible == 1
    assert math.isfinite(report.loss) and report.skipped is None


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precision_learns_about_the_same(precision):
    exact, rounded = make_stepper(), make_stepper(precision=precision)
    before = weights(exact)
    a = exact.step([collate(UTTERANCES)], 0)
    b = rounded.step([collate(UTTERANCES)], 0)
    for _ in range(9):  # fp16 skips steps until its loss scale fits
        if torch.equal(weights(rounded), before):
            b = rounded.step([collate(UTTERANCES)], 0)
    assert b.loss == pytest.approx(a.loss, rel=0.02)
    moved = torch.nn.functional.cosine_similarity(
        weights(exact) - before, weights(rounded) - before, dim=0
    )
    assert moved > 0.98


def test_weight_decay_spares_biases_and_normalisation():
    module = nn.Sequential(nn.Conv1d(2, 3, 3), nn.LayerNorm(3), nn.Linear(3, 4))
    decayed, spared = parameter_groups(module, 0.5, 0.1)
    assert [p.ndim for p in decayed["params"]] == [3, 2] and decayed["weight_decay"] == 0.5
    assert all(p.ndim == 1 for p in spared["params"]) and spared["weight_decay"] == 0.0
    assert len(spared["params"]) == 4


def test_pretrained_weights_learn_at_a_share_of_the_rate_and_every_weight_is_in_one_group():
    module = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    for parameter in module[0].parameters():
        parameter.lr_factor = 0.1
    groups = parameter_groups(module, 0.5, 0.2)
    assert [(g["lr"], g["weight_decay"]) for g in groups] == [
        *((0.2, 0.5), (0.2, 0.0)),
        *(pytest.approx((0.02, 0.5)), pytest.approx((0.02, 0.0))),
    ]
    grouped = [id(p) for g in groups for p in g["params"]]
    assert sorted(grouped) == sorted(id(p) for p in module.parameters())
    optimizer = torch.optim.SGD(groups, lr=0.2)
    set_learning_rate(optimizer, 0.5)
    assert [g["lr"] for g in optimizer.param_groups] == pytest.approx([0.1, 0.1, 0.01, 0.01])
