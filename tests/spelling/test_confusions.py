"""Alignments of tokens with segments against all others; texts made of what was heard."""

import functools

import numpy as np
import pytest
import torch

from src.spelling import Confusions, heard_as
from src.utils.errors import UserError


def random_posteriors(n: int, seed: int) -> np.ndarray:
    logits = 3 * np.random.default_rng(seed).standard_normal((n, 4))
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


def least_cost(posteriors: np.ndarray, tokens: tuple[int, ...]) -> float:
    """Of any alignment: a token in a segment, a token unheard, a segment that is nobody's."""

    @functools.cache
    def of(i: int, j: int) -> float:
        if i == j == 0:
            return 0.0
        ways = []
        if i and j:
            ways.append(of(i - 1, j - 1) + 1.2 * (1 - posteriors[i - 1, tokens[j - 1]]))
        if i:
            ways.append(of(i - 1, j) + 1 - posteriors[i - 1, 0])
        if j:
            ways.append(of(i, j - 1) + 1)
        return min(ways)

    return of(len(posteriors), len(tokens))


def cost_of(examples, posteriors: np.ndarray, tokens) -> float:
    """What the found alignment costs, by the same rules."""
    cost = sum(1 - posteriors[i, 0] for i in range(examples[0].start))
    for example in examples:
        rows = range(example.start, example.start + example.n)
        unheard = 1 + sum(1 - posteriors[i, 0] for i in rows)
        if rows:  # the first of them is the token's, or all are behind one that was not heard
            heard = 1.2 * (1 - posteriors[rows[0], example.token])
            unheard = min(unheard, heard + sum(1 - posteriors[i, 0] for i in rows[1:]))
        cost += unheard
    return cost


@pytest.mark.parametrize("seed", range(30))
def test_the_alignment_is_one_of_the_least_cost_and_leaves_no_segment_out(seed):
    random = np.random.default_rng(seed)
    tokens = tuple(random.integers(1, 4, size=random.integers(1, 8)).tolist())
    posteriors = random_posteriors(int(random.integers(0, 9)), seed)
    examples = heard_as(posteriors, tokens)
    assert tuple(e.token for e in examples) == tokens
    ends = [e.start + e.n for e in examples]
    assert [e.start for e in examples[1:]] == ends[:-1] and ends[-1] == len(posteriors)
    found = cost_of(examples, posteriors, tokens)
    assert found == pytest.approx(least_cost(posteriors, tokens))


def test_a_token_that_is_not_heard_and_one_too_many():
    posteriors = np.eye(4)[[1, 2, 3, 3]]  # a, b, c, c; a c b was said
    posteriors[1] = [0.9, 0.0, 0.1, 0.0]  # hardly anything in place of b
    found = heard_as(posteriors, (1, 3, 3, 2))
    assert [(e.token, e.start, e.n) for e in found] == [(1, 0, 2), (3, 2, 1), (3, 3, 1), (2, 4, 0)]


def speech(n: int = 200, seed: int = 0):
    """Utterances whose token t is heard as itself, twice, or not at all."""
    random = np.random.default_rng(seed)
    for _ in range(n):
        tokens = random.integers(1, 4, size=6).tolist()
        rows = [row for token in tokens for row in [token] * int(random.integers(0, 3))]
        yield torch.eye(4)[rows] if rows else torch.zeros(0, 4), tokens


def test_a_text_is_made_of_what_was_heard_for_its_tokens():
    confusions = Confusions.of(speech())
    assert confusions.n_tokens == 1200 and 0.1 < confusions.missed < 0.5
    random = np.random.default_rng(1)
    counts = np.zeros(4)
    for _ in range(200):
        posteriors, numbers = confusions.say(np.array([1, 1, 1, 2]), random)
        assert len(posteriors) == numbers.sum() and len(numbers) == 4
        counts += posteriors.sum(0).numpy()
    assert counts[1] > 2 * counts[2] > 0 and counts[1] > 10 * counts[0]
    same = [confusions.say(np.array([1, 2, 3]), np.random.default_rng(7))[0] for _ in range(2)]
    assert torch.equal(*same)


def test_speech_that_lacks_a_token_is_told():
    confusions = Confusions.of([(torch.eye(4)[[1, 2]], [1, 2])])
    with pytest.raises(UserError, match="The speech never holds c, which the words to learn do"):
        confusions.check({1, 3}, ("_", "a", "b", "c"))
    with pytest.raises(UserError, match="No utterance holds anything"):
        Confusions.of([(torch.zeros(0, 4), [])])


def test_what_was_heard_says_the_same_after_it_was_kept():
    confusions = Confusions.of(speech())
    again = Confusions(**confusions.state())
    random, same = np.random.default_rng(5), np.random.default_rng(5)
    for tokens in (np.array([1, 2, 3]), np.array([3, 3, 1, 2])):
        for a, b in zip(confusions.say(tokens, random), again.say(tokens, same), strict=True):
            assert np.array_equal(a, b)
    assert (again.n_tokens, again.missed, again.mistaken) == (
        confusions.n_tokens, confusions.missed, confusions.mistaken,
    )  # fmt: skip
    assert {tensor.dtype for tensor in confusions.state().values()} == {torch.float16, torch.int32}
