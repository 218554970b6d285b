"""Consistency of two views against loops over frames, and gradients worked out by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from src.batch import Emissions
from src.loss import CTC, Consistent, FrameCrossEntropy
from src.loss.consistency import consistency
from tests.loss.test_ctc import emissions_of, padded, targets


def two_views(*lengths: int, seed: int = 0) -> tuple[Emissions, Emissions]:
    """Random emissions of the same speech twice, NaN in the padding."""
    return emissions_of(*lengths, seed=2 * seed), emissions_of(*lengths, seed=2 * seed + 1)


def doubled(a: Emissions, b: Emissions) -> Emissions:
    return Emissions(torch.cat([a.log_probs, b.log_probs]), torch.cat([a.lengths, b.lengths]))


def divergence(p: list[float], q: list[float]) -> float:
    """KL(p ‖ q) of two distributions."""
    return sum(x * math.log(x / y) for x, y in zip(p, q, strict=True))


def apart(a: Tensor, b: Tensor, length: int) -> float:
    """½ Σ_t [KL(b_t ‖ a_t) + KL(a_t ‖ b_t)] of one utterance, (T, V) each."""
    total = 0.0
    for t in range(length):
        p, q = a[t].double().exp().tolist(), b[t].double().exp().tolist()
        total += (divergence(q, p) + divergence(p, q)) / 2
    return total


@settings(max_examples=60, deadline=None)
@given(
    utterances=st.lists(st.tuples(st.integers(0, 5), targets), min_size=1, max_size=4),
    seed=st.integers(0, 2**30),
)
def test_both_parts_are_those_of_the_utterances_one_by_one(utterances, seed):
    """Whatever their company and padding; those without an alignment count nothing, once."""
    lengths, spoken = [n for n, _ in utterances], [t for _, t in utterances]
    views = two_views(*lengths, seed=seed)
    found = Consistent(CTC())(doubled(*views), *padded(spoken))
    losses = [CTC()(view, *padded(spoken)) for view in views]
    expected = 0.0
    for i, n in enumerate(lengths):
        nats = sum(loss.per_utterance[i].item() for loss in losses) / 2
        assert found.per_utterance[i].item() == pytest.approx(nats, rel=1e-5, abs=1e-5)
        if not losses[0].impossible[i]:
            expected += apart(views[0].log_probs[i], views[1].log_probs[i], n)
    assert found.consistency.item() == pytest.approx(expected, rel=1e-4, abs=1e-4)
    assert found.total.item() == pytest.approx(found.per_utterance.sum().item(), rel=1e-5)
    assert torch.equal(found.impossible, losses[0].impossible)
    assert found.n_tokens == losses[0].n_tokens


def test_two_coins_by_hand():
    """Fair, and 3 to 1: ½ (KL(fair ‖ biased) + KL(biased ‖ fair)) = ⅛ ln 3."""
    fair, biased = torch.tensor([[[0.5, 0.5]]]).log(), torch.tensor([[[0.75, 0.25]]]).log()
    found = consistency(fair, biased, torch.tensor([1]))
    assert found.item() == pytest.approx(math.log(3) / 8, rel=1e-6)


@pytest.mark.parametrize("n_frames", [0, 1, 7])
def test_equal_views_are_exactly_consistent_and_lose_what_one_loses(n_frames):
    emissions, spoken = emissions_of(n_frames, 5), padded([(1,), (2, 1)])
    found = Consistent(CTC())(doubled(emissions, emissions), *spoken)
    one = CTC()(emissions, *spoken)
    assert found.consistency == 0
    assert torch.equal(found.total, one.total) and found.n_tokens == one.n_tokens


def test_each_view_is_drawn_to_the_other_and_pushes_it_nowhere():
    """∂/∂log p_a = −½ p_b, where a is found and b the target; through a softmax ½ (p_a − p_b)."""
    generator = torch.Generator().manual_seed(4)
    logits = torch.randn(2, 3, 5, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    log_probs = logits.log_softmax(-1)
    log_probs.retain_grad()
    lengths = torch.tensor([5, 0, 3])
    consistency(log_probs[0], log_probs[1], lengths).backward()
    p = log_probs.detach().exp()
    valid = (torch.arange(5) < lengths[:, None])[None, :, :, None]
    torch.testing.assert_close(log_probs.grad, -p.flip(0) / 2 * valid)
    torch.testing.assert_close(logits.grad, (p - p.flip(0)) / 2 * valid)


def test_gradient_agrees_with_finite_differences_where_the_targets_stand_still():
    torch.manual_seed(3)
    target = torch.randn(2, 4, 3, dtype=torch.float64).log_softmax(-1)
    logits = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([4, 2])

    def drawn_to_target(logits: Tensor) -> Tensor:
        """What of the value moves with one view while the other is a target: Σ KL(target ‖ ·)/2."""
        p = target.exp()
        valid = (torch.arange(4) < lengths[:, None])[..., None]
        return (p * (target - logits.log_softmax(-1)) * valid).sum() / 2

    assert torch.autograd.gradcheck(drawn_to_target, logits)
    (expected,) = torch.autograd.grad(drawn_to_target(logits), logits)
    (found,) = torch.autograd.grad(consistency(logits.log_softmax(-1), target, lengths), logits)
    torch.testing.assert_close(found, expected)


def test_impossible_utterances_and_padding_send_no_gradient():
    log_probs = torch.randn(6, 6, 3).log_softmax(-1).requires_grad_()
    emissions = Emissions(log_probs, torch.tensor([6, 2, 3] * 2))
    found = Consistent(CTC())(emissions, *padded([(1, 2), (1, 2, 1), (2,)]))
    (found.total + found.consistency).backward()
    assert found.impossible.tolist() == [False, True, False]
    for view in log_probs.grad.chunk(2):
        assert view[0].any() and view[2, :3].any()
        assert not view[1].any() and not view[2, 3:].any()


@pytest.mark.parametrize("view", [0, 1])
def test_nan_in_either_view_is_never_hidden(view):
    views = two_views(4, 4)
    views[view].log_probs[1, 2] = math.nan
    found = Consistent(CTC())(doubled(*views), *padded([(1,), (1, 2)]))
    assert found.total.isnan() and found.consistency.isnan()


def test_half_precision_is_summed_in_float32():
    views = [view.log_probs.bfloat16() for view in two_views(6)]
    with torch.autocast("cpu", torch.bfloat16):
        found = consistency(*views, torch.tensor([6]))
    assert found.dtype == torch.float32
    exact = consistency(*(view.float() for view in views), torch.tensor([6]))
    torch.testing.assert_close(found, exact)


def test_frames_with_labels_may_be_seen_in_two_views_too():
    views, labels = two_views(4, 2), torch.tensor([[1, 1, -1, 2], [2, 1, 0, 0]])
    n_labels = torch.tensor([4, 2])
    found = Consistent(FrameCrossEntropy())(doubled(*views), labels, n_labels)
    losses = [FrameCrossEntropy()(view, labels, n_labels) for view in views]
    torch.testing.assert_close(found.total, (losses[0].total + losses[1].total) / 2)
    assert found.n_tokens == 5
    a, b = (view.log_probs for view in views)
    expected = apart(a[0], b[0], 4) + apart(a[1], b[1], 2)
    assert found.consistency.item() == pytest.approx(expected, rel=1e-5)
