"""Best-path decoding against itertools.groupby and cases worked by hand."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from src.batch import Emissions
from src.decoders import Greedy
from src.text import Vocabulary
from tests.decoders.brute_force import random_emissions, spell

VOCABULARY = Vocabulary(("_", *"abcd"))


def path_emissions(*paths: str, probability: float = 0.9) -> Emissions:
    """Emissions whose best path is the given one, in symbols ("_" is the blank)."""
    lengths = torch.tensor([len(path) for path in paths])
    rest = (1 - probability) / (len(VOCABULARY) - 1)
    probabilities = torch.full((len(paths), int(lengths.max()), len(VOCABULARY)), rest)
    for row, path in zip(probabilities, paths, strict=True):
        for frame, symbol in enumerate(path):
            row[frame, VOCABULARY.symbols.index(symbol)] = probability
    return Emissions(probabilities.log(), lengths)


def test_repeats_merge_and_a_blank_keeps_double_letters_apart():
    [[reading]] = Greedy(VOCABULARY)(path_emissions("_aa_ab__bb"))
    assert reading.text == "aabb"
    assert reading.tokens == (1, 1, 2, 2)
    assert reading.frames == (1, 4, 5, 8)


def test_score_is_the_log_probability_of_the_best_path():
    [[reading]] = Greedy(VOCABULARY)(path_emissions("aa_b", probability=0.5))
    assert reading.score == pytest.approx(4 * torch.tensor(0.5).log().item())


def test_confidence_is_the_largest_posterior_in_the_run_of_frames():
    emissions = path_emissions("aab", probability=0.6)
    emissions.log_probs[0, 1] = torch.tensor([0.05, 0.8, 0.05, 0.05, 0.05]).log()
    [[reading]] = Greedy(VOCABULARY)(emissions)
    assert reading.confidences == pytest.approx((0.8, 0.6))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    lengths=st.lists(st.integers(0, 12), min_size=1, max_size=4).filter(any),
)
def test_greedy_agrees_with_groupby_on_any_batch(seed, lengths):
    emissions = random_emissions(seed, lengths, n_tokens=5)
    for row, length, [reading] in zip(
        emissions.log_probs, lengths, Greedy(VOCABULARY)(emissions), strict=True
    ):
        best, path = row[:length].max(-1)
        runs = [list(run) for _, run in itertools.groupby(range(length), path.tolist().__getitem__)]
        runs = [run for run in runs if path[run[0]] != 0]
        assert reading.tokens == spell(path.tolist())
        assert reading.frames == tuple(run[0] for run in runs)
        assert reading.confidences == pytest.approx([float(best[run].max().exp()) for run in runs])
        assert reading.score == pytest.approx(float(best.sum()), abs=1e-5)


def test_without_frames_the_hypothesis_is_empty_and_certain():
    [[reading]] = Greedy(VOCABULARY)(Emissions(torch.empty(1, 0, 5), torch.tensor([0])))
    assert (reading.text, reading.tokens, reading.frames, reading.score) == ("", (), (), 0.0)


def test_an_empty_batch_gives_no_readings():
    emissions = Emissions(torch.empty(0, 7, 5), torch.empty(0, dtype=torch.int64))
    assert Greedy(VOCABULARY)(emissions) == []


def test_emissions_may_carry_gradients_and_half_precision():
    log_probs = path_emissions("a_b").log_probs.bfloat16().requires_grad_()
    [[reading]] = Greedy(VOCABULARY)(Emissions(log_probs, torch.tensor([3])))
    assert reading.text == "ab"
