import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from src.datasets import collate
from src.loss import CTC
from src.trainer import Stepper, parameter_groups
from src.transforms import Identity
from tests.trainer.conftest import make_recognizer
from tests.trainer.tones import Tones


def make_stepper(augment: nn.Module | None = None, precision: str = "float32", **keys) -> Stepper:
    recognizer = make_recognizer(dropout=keys.pop("dropout", 0.0))
    optimizer = torch.optim.SGD(parameter_groups(recognizer, 0.0), lr=keys.pop("lr", 0.1))
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


def broken(kind: str) -> list:
    """Utterances of which the third can't be learnt from."""
    bad = UTTERANCES[2]
    value = {"nan": np.nan, "inf": np.inf}[kind]
    waveform = bad.waveform.copy()
    waveform[1000] = value
    fields = {"id": "bad-one", "waveform": waveform, "tokens": bad.tokens}
    return [*UTTERANCES[:2], type(bad)(**fields), *UTTERANCES[3:6]]


@pytest.mark.parametrize("kind", ["nan", "inf"])
def test_a_step_that_is_not_finite_changes_nothing_and_names_its_utterances(kind):
    stepper = make_stepper()
    before = weights(stepper)
    buffers = [b.clone() for b in stepper.recognizer.buffers()]
    report = stepper.step([collate(broken(kind))], 0)
    assert report.skipped == "non-finite"
    assert "bad-one" in report.ids and len(report.ids) == 6
    assert torch.equal(weights(stepper), before)
    for now, then in zip(stepper.recognizer.buffers(), buffers, strict=True):
        assert torch.equal(now, then)
    assert stepper.step([collate(UTTERANCES)], 1).skipped is None  # and learning goes on
    assert not torch.equal(weights(stepper), before)


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


def test_bad_recordings_leave_the_scale_of_fp16_alone():
    stepper = make_stepper(precision="fp16")
    before = stepper.scaler.state_dict()
    assert before["scale"] == 2.0**16
    for step in range(3):
        assert stepper.step([collate(broken("nan"))], step).skipped == "non-finite"
    assert stepper.scaler.state_dict() == before


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
    decayed, spared = parameter_groups(module, 0.5)
    assert [p.ndim for p in decayed["params"]] == [3, 2] and decayed["weight_decay"] == 0.5
    assert all(p.ndim == 1 for p in spared["params"]) and spared["weight_decay"] == 0.0
    assert len(spared["params"]) == 4
