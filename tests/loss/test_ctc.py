"""CTC against the sum over all paths, finite differences and hand-worked cases."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from src.batch import Emissions
from src.loss import CTC

N_TOKENS = 3  # blank and two symbols


def probability(log_probs: Tensor, target: tuple[int, ...]) -> float:
    """Σ p(path) over all paths that say `target`: Graves et al. 2006, equation 3."""
    p = log_probs.double().exp().tolist()
    paths = itertools.product(range(log_probs.shape[1]), repeat=len(p))
    return sum(
        math.prod(frame[token] for frame, token in zip(p, path, strict=True))
        for path in paths
        if tuple(token for token, _ in itertools.groupby(path) if token) == target
    )


def emissions_of(*lengths: int, n_tokens: int = N_TOKENS, seed: int = 0) -> Emissions:
    """Random emissions; the padding holds NaN, since nobody may read it."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(len(lengths), max(lengths), n_tokens, generator=generator)
    frames = torch.tensor(lengths)
    padding = torch.arange(max(lengths)) >= frames[:, None]
    return Emissions(logits.log_softmax(-1).masked_fill(padding[..., None], math.nan), frames)


def padded(targets: list[tuple[int, ...]]) -> tuple[Tensor, Tensor]:
    """Targets as (B, S) with 1 in the padding, where a symbol would be misread, and lengths."""
    lengths = torch.tensor([len(t) for t in targets])
    tokens = torch.ones(len(targets), int(lengths.max()), dtype=torch.int64)
    for row, target in zip(tokens, targets, strict=True):
        row[: len(target)] = torch.tensor(target, dtype=torch.int64)
    return tokens, lengths


targets = st.lists(st.integers(1, N_TOKENS - 1), max_size=4).map(tuple)


@settings(max_examples=60, deadline=None)
@given(
    utterances=st.lists(st.tuples(st.integers(0, 5), targets), min_size=1, max_size=4),
    seed=st.integers(0, 2**32),
    deterministic=st.booleans(),
)
def test_loss_is_the_brute_force_sum_over_all_paths(utterances, seed, deterministic):
    emissions = emissions_of(*(n for n, _ in utterances), seed=seed)
    loss = CTC(deterministic)(emissions, *padded([t for _, t in utterances]))
    total, n_tokens = 0.0, 0
    for i, (n, target) in enumerate(utterances):
        p = probability(emissions.log_probs[i, :n], target)
        assert loss.impossible[i] == (p == 0)
        expected = -math.log(p) if p else 0.0
        assert loss.per_utterance[i].item() == pytest.approx(expected, rel=1e-4, abs=1e-4)
        total, n_tokens = total + expected, n_tokens + len(target) * (p > 0)
    assert loss.total.item() == pytest.approx(total, rel=1e-4, abs=1e-4)
    assert loss.n_tokens.item() == n_tokens


@settings(max_examples=60, deadline=None)
@given(target=targets.filter(bool), missing=st.integers(0, 2))
def test_an_alignment_is_impossible_below_tokens_plus_repeats(target, missing):
    needed = len(target) + sum(a == b for a, b in itertools.pairwise(target))
    n_frames = max(0, needed - missing)
    loss = CTC()(emissions_of(n_frames), *padded([target]))
    assert loss.impossible.tolist() == [n_frames < needed]
    assert loss.n_tokens == (len(target) if n_frames == needed else 0)


def test_three_equal_tokens_in_five_frames_have_one_single_path():
    emissions = emissions_of(5)
    loss = CTC()(emissions, *padded([(1, 1, 1)]))
    path = emissions.log_probs[0, range(5), [1, 0, 1, 0, 1]]
    torch.testing.assert_close(loss.total, -path.sum())


def test_an_equal_pair_is_counted_within_the_target_only():
    """The padding repeats the last token: (2, 1 | 1) still fits into two frames."""
    loss = CTC()(emissions_of(2, 5), *padded([(2, 1), (1, 1, 2)]))
    assert not loss.impossible.any()


def test_an_empty_target_is_blank_in_every_frame():
    emissions = emissions_of(4, 2)
    loss = CTC()(emissions, *padded([(), ()]))
    assert loss.n_tokens == 0 and not loss.impossible.any()
    expected = torch.stack(
        [-emissions.log_probs[0, :4, 0].sum(), -emissions.log_probs[1, :2, 0].sum()]
    )
    torch.testing.assert_close(loss.per_utterance, expected)


@pytest.mark.parametrize("n_frames", [0, 3])
def test_without_frames_only_the_empty_target_can_be_said(n_frames):
    """Alone in its batch and beside others."""
    loss = CTC()(emissions_of(0, 0, n_frames), *padded([(), (1,), ()]))
    assert loss.impossible.tolist() == [False, True, False]
    assert loss.per_utterance[:2].tolist() == [0, 0]


@pytest.mark.parametrize("deterministic", [False, True])
def test_gradient_agrees_with_finite_differences(deterministic):
    torch.manual_seed(3)
    logits = torch.randn(4, 5, 3, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([5, 4, 3, 1])  # the last can't be aligned
    tokens, token_lengths = padded([(1, 1, 2), (2,), (), (1, 2)])

    def total(logits: Tensor) -> Tensor:
        emissions = Emissions(logits.log_softmax(-1), lengths)
        return CTC(deterministic)(emissions, tokens, token_lengths).total

    assert torch.autograd.gradcheck(total, logits)


def test_impossible_utterances_and_padding_send_no_gradient():
    log_probs = torch.randn(3, 6, 3).log_softmax(-1).requires_grad_()
    emissions = Emissions(log_probs, torch.tensor([6, 2, 3]))
    loss = CTC()(emissions, *padded([(1, 2), (1, 2, 1), (2,)]))
    loss.total.backward()
    assert loss.impossible.tolist() == [False, True, False]
    assert log_probs.grad[0].any() and log_probs.grad[2, :3].any()
    assert not log_probs.grad[1].any() and not log_probs.grad[2, 3:].any()


def test_a_batch_in_which_nothing_can_be_aligned_is_zero_and_has_a_gradient_of_zero():
    log_probs = torch.randn(2, 1, 3).log_softmax(-1).requires_grad_()
    loss = CTC()(Emissions(log_probs, torch.tensor([1, 1])), *padded([(1, 2), (2, 2)]))
    loss.total.backward()
    assert loss.total == 0 and loss.n_tokens == 0 and loss.impossible.all()
    assert not log_probs.grad.any()


@pytest.mark.parametrize("target", [(1, 2), (1, 2, 1, 2, 1)])
def test_nan_in_the_emissions_is_never_hidden(target):
    """Not even in an utterance that can't be aligned: the model is broken all the same."""
    emissions = emissions_of(4, 4)
    emissions.log_probs[1, 2] = math.nan
    loss = CTC()(emissions, *padded([(1,), target]))
    assert loss.per_utterance[0].isfinite()
    assert loss.per_utterance[1].isnan() and loss.total.isnan()


def test_a_symbol_of_probability_zero_gives_infinity_and_no_flag():
    emissions = emissions_of(4)
    emissions.log_probs[..., 2] = -math.inf
    loss = CTC()(emissions, *padded([(2,)]))
    assert loss.total == math.inf and not loss.impossible.any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_loss_is_float32_for_half_precision_emissions_and_under_autocast(dtype):
    emissions = Emissions(emissions_of(6).log_probs.to(dtype), torch.tensor([6]))
    exact = Emissions(emissions.log_probs.float(), emissions.lengths)
    with torch.autocast("cpu", torch.bfloat16):
        loss = CTC()(emissions, *padded([(1, 2)]))
    assert loss.total.dtype == loss.per_utterance.dtype == torch.float32
    torch.testing.assert_close(loss.total, CTC()(exact, *padded([(1, 2)])).total)


def test_total_over_a_batch_is_the_sum_of_its_utterances_alone():
    lengths, spoken = (7, 3, 5), [(1, 2, 2), (1,), (2, 1)]
    emissions = emissions_of(*lengths)
    together = CTC()(emissions, *padded(spoken))
    alone = [
        CTC()(Emissions(emissions.log_probs[i : i + 1, :n], torch.tensor([n])), *padded([target]))
        for i, (n, target) in enumerate(zip(lengths, spoken, strict=True))
    ]
    torch.testing.assert_close(together.total, torch.stack([a.total for a in alone]).sum())
    assert together.n_tokens == sum(a.n_tokens for a in alone) == 6
