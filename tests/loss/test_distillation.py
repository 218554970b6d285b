"""What a teacher says, against sums over paths and loops over frames."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from src.batch import Emissions
from src.loss import distillation
from src.loss.distillation import merged
from tests.loss.test_consistency import divergence
from tests.loss.test_ctc import N_TOKENS, emissions_of, probability

SILENCE = [1.0] + [0.0] * (N_TOKENS - 1)


def said_together(frames: Tensor) -> tuple[list[float], float]:
    """What frames (n, V) of log-probabilities say, a token or none, by the sum over all paths, and
    how probable it is that they say no more."""
    p = [probability(frames, target) for target in ((), *((k,) for k in range(1, N_TOKENS)))]
    return [value / sum(p) for value in p], sum(p)


def by_hand(emissions: Emissions, i: int, n: int) -> list[tuple[list[float], float]]:
    """As `said_together`, each `n` frames of utterance i; blanks after its end."""
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
    found, kept = merged(emissions, n)
    assert found.shape == (len(lengths), -(-max(lengths) // n), N_TOKENS)
    assert found.isfinite().all() and kept.shape == found.shape[:2]
    for i in range(len(lengths)):
        expected = by_hand(emissions, i, n)
        expected += [(SILENCE, 1.0)] * (found.shape[1] - len(expected))
        for frame, share, hand in zip(found[i].exp().tolist(), kept[i], expected, strict=True):
            assert frame == pytest.approx(hand[0], abs=1e-5)
            assert share.item() == pytest.approx(hand[1], abs=1e-5)


def test_a_token_a_blank_and_the_token_again_are_two_tokens():
    """So 1·0·1 has no place in one frame, while 1·1·1, 0·1·0 and their like have."""
    sure = torch.full((1, 3, N_TOKENS), math.log(1e-9))
    sure[0, [0, 1, 2], [1, 0, 1]] = 0.0
    found, kept = merged(Emissions(sure.log_softmax(-1), torch.tensor([3])), 3)
    # All that is left are paths of probability 1e-9: 1 in the first alone, in the last, in all.
    assert found[0, 0].exp().tolist() == pytest.approx([0, 1, 0], abs=1e-6)
    assert kept.item() == pytest.approx(0, abs=1e-6)
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
            says, student.log_probs[i, :n_frames].double().exp().tolist(), fillvalue=(SILENCE, 1.0)
        ):
            heard = [(x, y) for x, y in zip(target[0], frame, strict=True) if x]
            expected += target[1] * divergence(*zip(*heard, strict=True))
    found = distillation(student, teacher, n)
    assert found.item() == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_two_tokens_in_one_frame_teach_next_to_nothing():
    """Whichever of them the student says, or none: the transcript tells."""
    sure = torch.full((1, 2, N_TOKENS), math.log(1e-4))
    sure[0, [0, 1], [1, 2]] = 0.0
    teacher = Emissions(sure.log_softmax(-1), torch.tensor([2]))
    for token in range(N_TOKENS):
        said = torch.full((1, 1, N_TOKENS), math.log(1e-4))
        said[0, 0, token] = 0.0
        student = Emissions(said.log_softmax(-1), torch.tensor([1]))
        assert distillation(student, teacher, 2) < 0.01


def test_who_says_what_the_teacher_says_is_not_corrected():
    teacher = emissions_of(5, 3)
    assert distillation(teacher, teacher).item() == pytest.approx(0, abs=1e-6)
    together = Emissions(merged(teacher, 2).log_probs, torch.tensor([3, 2]))
    assert distillation(together, teacher, 2).item() == pytest.approx(0, abs=1e-6)


def test_the_gradient_is_the_difference_of_the_probabilities():
    """∂ w KL(q ‖ softmax(z)) / ∂z = w (softmax(z) − q); none in padding, none for the teacher."""
    lengths = torch.tensor([4, 2])
    logits = torch.randn(2, 4, N_TOKENS, generator=torch.Generator().manual_seed(1))
    logits.requires_grad_()
    teacher = emissions_of(8, 3, seed=5)
    teacher.log_probs.requires_grad_()
    student = Emissions(logits.log_softmax(-1), lengths)
    distillation(student, teacher, 2).backward()
    assert teacher.log_probs.grad is None
    says, kept = merged(teacher, 2)
    expected = kept[:, :, None] * (logits.detach().softmax(-1) - says.exp())
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
