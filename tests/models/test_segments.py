"""Segments against a plain loop over frames, and against best-path decoding."""

import pytest
import torch

from src.batch import Emissions
from src.decoders import Greedy
from src.models.parts.segments import segments
from src.text import Vocabulary

VOCABULARY = Vocabulary(("_", "a", "b", "c"))


def emissions(*lengths: int, seed: int = 0, scale: float = 3.0) -> Emissions:
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(len(lengths), max(lengths), 4, generator=generator)
    logits[:, :, 0] += scale / 2  # mostly blank, as CTC models are
    return Emissions(logits.log_softmax(-1), torch.tensor(lengths))


def one_by_one(log_probs: torch.Tensor, threshold: float) -> list[int]:
    """Frames of the segments of one utterance (T, V)."""
    frames, before = [], None
    for t, row in enumerate(log_probs.exp().tolist()):
        best = max(range(1, 4), key=lambda token: row[token])
        token = best if row[best] >= threshold else None
        if token is not None and token == before:
            if row[token] > log_probs[frames[-1], token].exp():
                frames[-1] = t
        elif token is not None:
            frames.append(t)
        before = token
    return frames


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("threshold", [0.02, 0.1, 0.5])
def test_they_are_what_a_loop_over_frames_finds(seed, threshold):
    heard = emissions(25, 0, 13, 1, seed=seed)
    found = segments(heard.log_probs, heard.lengths, threshold)
    n_found = 0
    for i, n in enumerate(heard.lengths.tolist()):
        expected = one_by_one(heard.log_probs[i, :n], threshold)
        assert found.frames[i, : found.lengths[i]].tolist() == expected
        assert torch.equal(found.posteriors[i, : len(expected)], heard.log_probs[i, expected].exp())
        assert not found.posteriors[i, len(expected) :].any()
        n_found += len(expected)
    assert n_found > 5


def test_where_everything_surer_than_a_half_counts_they_are_those_of_best_path_decoding():
    heard = emissions(40, 31, seed=3, scale=6.0)
    greedy = Greedy(VOCABULARY)(heard)
    found = segments(heard.log_probs, heard.lengths, 0.5)
    for i, [hypothesis] in enumerate(greedy):
        tokens = found.posteriors[i, : found.lengths[i]].argmax(1).tolist()
        sure = [c >= 0.5 for c in hypothesis.confidences]
        assert tokens == [t for t, s in zip(hypothesis.tokens, sure, strict=True) if s]
        assert len(tokens) > 5


def test_what_lies_in_the_padding_is_never_heard():
    heard = emissions(20, 12, seed=5)
    log_probs = torch.full((2, 30, 4), float("nan"))
    for i, n in enumerate(heard.lengths.tolist()):
        log_probs[i, :n] = heard.log_probs[i, :n]
    bare, padded = (segments(x, heard.lengths, 0.1) for x in (heard.log_probs, log_probs))
    assert torch.equal(bare.lengths, padded.lengths)
    assert torch.equal(bare.posteriors, padded.posteriors)


def test_of_equally_sure_frames_the_first_stands_for_the_run():
    log_probs = torch.tensor([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]).log()
    found = segments(log_probs[None], torch.tensor([3]), 0.1)
    assert found.frames.tolist() == [[0]] and found.lengths.tolist() == [1]
