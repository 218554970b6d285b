"""What a teacher says, against sums over paths and loops over frames."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from src.batch import Emissions
from src.loss import distillation
from src.loss.distillation import merged
from tests.loss.test_consistency import divergence
from tests.loss.test_ctc import N_TOKENS, emissions_of, probability

SILENCE = [1.0] + [0.0] * (N_TOKENS - 1)


def said_together(frames: Tensor) -> list[float]:
    """What frames (n, V) of log-probabilities say, a token or none, by the sum over all paths."""
    p = [probability(frames, target) for target in ((), *((k,) for k in range(1, N_TOKENS)))]
    return [value / sum(p) for value in p]


def by_hand(emissions: Emissions, i: int, n: int) -> list[list[float]]:
    """The distributions of utterance i, each over `n` of its frames; blanks after its end."""
    length = int(emissions.lengths[i])
    valid = emissions.log_probs[i, :length]
    blank = torch.tensor(SILENCE).log()
    full = torch.cat([valid, blank.expand(-length % n, -1)])
    return [said_together(full[t : t + n]) for t in range(0, len(full), n)]


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 7), min_size=1, max_size=3),
    n=st.integers(1, 4),
    seed=st.integers(0, 2**30),
)
def test_merged_frames_are_the_sum_over_the_paths_through_them(lengths, n, seed):
    emissions = emissions_of(*lengths, seed=seed)
    found = merged(emissions, n)
    assert found.shape == (len(lengths), -(-max(lengths) // n), N_TOKENS)
    assert found.isfinite().all()
    for i in range(len(lengths)):
        expected = by_hand(emissions, i, n)
        expected += [SILENCE] * (found.shape[1] - len(expected))
        for frame, hand in zip(found[i].exp().tolist(), expected, strict=True):
            assert frame == pytest.approx(hand, abs=1e-5)


def test_a_token_a_blank_and_the_token_again_are_two_tokens():
    """So 1·0·1 has no place in one frame, while 1·1·1, 0·1·0 and their like have."""
    sure = torch.full((1, 3, N_TOKENS), math.log(1e-9))
    sure[0, [0, 1, 2], [1, 0, 1]] = 0.0
    found = merged(Emissions(sure.log_softmax(-1), torch.tensor([3])), 3).exp()
    # All that is left are paths of probability 1e-9: 1 in the first alone, in the last, in all.
    assert found[0, 0].tolist() == pytest.approx([0, 1, 0], abs=1e-6)
    assert probability(sure[0].log_softmax(-1), (1, 1)) == pytest.approx(1, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), min_size=1, max_size=3),
    n=st.integers(1, 3),
    seed=st.integers(0, 2**30),
)
def test_the_divergence_is_that_of_the_utterances_one_by_one(lengths, n, seed):
    """Whatever their company and padding, and whichever of the two has more frames."""
    student = emissions_of(*(a for a, _ in lengths), seed=2 * seed)
    teacher = emissions_of(*(b for _, b in lengths), seed=2 * seed + 1)
    expected = 0.0
    for i, (n_frames, _) in enumerate(lengths):
        says = by_hand(teacher, i, n)[:n_frames]
        for target, frame in itertools.zip_longest(
            says, student.log_probs[i, :n_frames].double().exp().tolist(), fillvalue=SILENCE
        ):
            heard = [(x, y) for x, y in zip(target, frame, strict=True) if x]
            expected += divergence(*zip(*heard, strict=True))
    found = distillation(student, teacher, n)
    assert found.item() == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_who_says_what_the_teacher_says_is_not_corrected():
    teacher = emissions_of(5, 3)
    assert distillation(teacher, teacher).item() == pytest.approx(0, abs=1e-6)
    together = Emissions(merged(teacher, 2), torch.tensor([3, 2]))
    assert distillation(together, teacher, 2).item() == pytest.approx(0, abs=1e-6)


def test_the_gradient_is_the_difference_of_the_probabilities():
    """∂KL(q ‖ softmax(z)) / ∂z = softmax(z) − q; none in padding, none for the teacher."""
    lengths = torch.tensor([4, 2])
    logits = torch.randn(2, 4, N_TOKENS, generator=torch.Generator().manual_seed(1))
    logits.requires_grad_()
    teacher = emissions_of(8, 3, seed=5)
    teacher.log_probs.requires_grad_()
    student = Emissions(logits.log_softmax(-1), lengths)
    distillation(student, teacher, 2).backward()
    assert teacher.log_probs.grad is None
    says = functional.pad(merged(teacher, 2), (0, 0, 0, 0)).exp()
    expected = logits.detach().softmax(-1) - says
    expected[1, 2:] = 0
    torch.testing.assert_close(logits.grad, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    halves = [
        Emissions(e.log_probs.to(dtype), e.lengths) for e in (emissions_of(6), emissions_of(12))
    ]
    exact = [Emissions(e.log_probs.float(), e.lengths) for e in halves]
    found = distillation(*halves, 2)
    assert found.dtype == torch.float32
    assert found.item() == distillation(*exact, 2).item()


def test_no_frames_at_all_teach_nothing():
    nothing = Emissions(torch.zeros(1, 0, N_TOKENS), torch.tensor([0]))
    assert distillation(nothing, emissions_of(4), 2) == 0
    student = emissions_of(2)
    silence = Emissions(torch.tensor(SILENCE).log().clamp(min=-1e4).expand(1, 2, -1), student[1])
    assert distillation(student, nothing, 2).item() == pytest.approx(
        distillation(student, silence).item(), rel=1e-5
    )
