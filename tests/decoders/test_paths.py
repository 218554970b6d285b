"""Alignment paths: the best one, and what it spells."""

import itertools
import math
from unittest import mock

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from src.batch import Emissions, Hypothesis
from src.decoders import PrefixBeam, paths
from src.decoders.paths import best_alignment, collapse, with_times
from src.text import Vocabulary
from tests.decoders.brute_force import best_path, random_emissions, spell


def test_best_alignment_is_the_best_of_all_paths():
    log_probs = random_emissions(0, [5], n_tokens=3).log_probs[0]
    for tokens in {spell(path) for path in itertools.product(range(3), repeat=5)}:
        expected = best_path(log_probs.double().numpy(), tokens)
        assert tuple(best_alignment(log_probs, tokens).tolist()) == expected


def test_log_probs_may_lie_in_memory_in_any_order():
    log_probs = random_emissions(1, [6], n_tokens=4).log_probs[0]
    turned = log_probs.T.contiguous().T
    assert not turned.is_contiguous()
    expected = best_alignment(log_probs, (1, 3))
    assert best_alignment(turned, (1, 3)).tolist() == expected.tolist()


def test_best_alignment_survives_impossible_tokens():
    log_probs = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]).log()
    assert best_alignment(log_probs, (1, 2)).tolist() == [1, 0, 2]


def test_no_frame_of_the_padding_is_read():
    paths = torch.tensor([[1, 1, 1, 2], [0, 2, 2, 2]])
    log_probs = torch.tensor([[-1.0, -2.0, 0.0, 0.0], [-1.0, -2.0, -3.0, torch.nan]])
    first, second = collapse(paths, log_probs, torch.tensor([2, 3]))
    assert first == ((1,), (0,), (2,), (torch.tensor(-1.0).exp().item(),))
    assert second == ((2,), (1,), (3,), (torch.tensor(-2.0).exp().item(),))


def test_an_hour_is_aligned_in_pieces_as_it_is_as_a_whole(monkeypatch):
    generator = torch.Generator().manual_seed(4)
    tokens, frames, path = [], [], torch.zeros(600, dtype=torch.int64)
    at = 3
    while at < 580:
        tokens.append(int(torch.randint(1, 4, (), generator=generator)))
        frames.append(at)
        path[at : at + 2] = tokens[-1]
        at += 3 + int(torch.randint(0, 20, (), generator=generator))
    log_probs = torch.randn(600, 4, generator=generator)
    log_probs[range(600), path] += 6.0
    log_probs = log_probs.log_softmax(-1)
    rough = Hypothesis(text="", tokens=tuple(tokens), frames=tuple(frames), score=0.0)
    [whole] = with_times([rough], log_probs[None], torch.tensor([600]))
    monkeypatch.setattr(paths, "PIECE", 50)
    assert len(list(paths._pieces(rough, 600))) > 6
    [pieces] = with_times([rough], log_probs[None], torch.tensor([600]))
    assert pieces == whole


def each_run_spells_its_token(h: Hypothesis) -> bool:
    """Whether the runs of all tokens lie one behind the other, with a blank between equals."""
    path = [0] * max(h.ends, default=0)
    for token, start, end in zip(h.tokens, h.frames, h.ends, strict=True):
        assert start < end and not any(path[start:])
        path[start:end] = [token] * (end - start)
    return spell(path) == h.tokens and len(h.confidences) == len(h.tokens)


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    n_frames=st.integers(1, 40),
    forbidden=st.sampled_from([0.0, 0.1, 0.5]),
    piece=st.integers(1, 9),
    pause=st.integers(1, 4),
)
def test_each_token_keeps_its_frames_wherever_pieces_are_cut(
    seed, n_frames, forbidden, piece, pause
):
    log_probs = random_emissions(seed, [n_frames], n_tokens=3).log_probs
    at_random = torch.rand(log_probs.shape, generator=torch.Generator().manual_seed(seed))
    at_random[log_probs == log_probs.amax(-1, keepdim=True)] = 1.0  # something is possible
    log_probs[at_random < forbidden] = -torch.inf
    decoder = PrefixBeam(Vocabulary(("_", "a", "b")))
    with mock.patch.multiple(paths, PIECE=piece, PAUSE=pause):
        [[best, *_]] = decoder(Emissions(log_probs, torch.tensor([n_frames])))
    assert each_run_spells_its_token(best)
    assert 0.0 not in best.confidences  # nothing impossible while something is possible


def test_no_cut_lies_between_equal_tokens(monkeypatch):
    # Cut in the middle, both pieces would end, or begin, with the same token beside the cut.
    log_probs = torch.tensor([[0.1, 0.9], [0.1, 0.9], [0.2, 0.8], [0.1, 0.9]]).log()
    rough = Hypothesis(text="", tokens=(1, 1), frames=(0, 3), score=0.0)
    monkeypatch.setattr(paths, "PIECE", 2)
    monkeypatch.setattr(paths, "PAUSE", 2)
    [exact] = with_times([rough], log_probs[None], torch.tensor([4]))
    assert (exact.frames, exact.ends) == ((0, 3), (2, 4))


def test_a_text_that_is_impossible_is_spelt_all_the_same():
    log_probs = torch.tensor([[0.0, -math.inf, -math.inf]] * 3)
    rough = Hypothesis(text="", tokens=(1, 1), frames=(0, 2), score=0.0)
    [exact] = with_times([rough], log_probs[None], torch.tensor([3]))
    assert (exact.frames, exact.confidences) == ((0, 2), (0.0, 0.0))
