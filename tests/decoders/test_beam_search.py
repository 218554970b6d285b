"""The batched search against the readable one, which takes one utterance after another."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from src.batch import Emissions
from src.decoders import PrefixBeam
from src.text import Vocabulary
from tests.decoders.brute_force import random_emissions
from tests.decoders.reference_beam import ReferenceBeam

LETTERS = "abcdefghijklmnopqrstuvwxyz"
EXACT = {"token_threshold": None, "blank_threshold": None}


def vocabulary_of(n_tokens: int) -> Vocabulary:
    return Vocabulary(("_", *LETTERS[: n_tokens - 1]))


def assert_same(found, expected, tolerance=1e-3, *, with_frames=True):
    """The same n-best lists, but for the order of texts that are as good as equally probable."""
    for ours, theirs in zip(found, expected, strict=True):
        assert [h.score for h in ours] == pytest.approx([h.score for h in theirs], abs=tolerance)
        if with_frames and ours[0].tokens == theirs[0].tokens:
            assert ours[0].frames == theirs[0].frames and ours[0].ends == theirs[0].ends
        for a, b in zip(ours, theirs, strict=True):
            if a.tokens == b.tokens:
                assert a.text == b.text
            else:  # their neighbours must be as near
                near = [h.tokens for h in theirs if abs(h.score - a.score) < tolerance]
                assert a.tokens in near


@settings(max_examples=250, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    lengths=st.lists(st.integers(0, 25), min_size=1, max_size=6),
    n_tokens=st.sampled_from([2, 3, 5, 27]),
    beam_width=st.sampled_from([1, 2, 3, 7, 16, 40]),
    threshold=st.sampled_from([None, -1.0, -3.0, -8.0]),
    sharpness=st.floats(0.3, 8.0),
)
def test_a_batch_is_read_as_the_reference_reads_each_utterance(
    seed, lengths, n_tokens, beam_width, threshold, sharpness
):
    emissions = random_emissions(seed, lengths, n_tokens, sharpness)
    vocabulary = vocabulary_of(n_tokens)
    keys = {"beam_width": beam_width, "n_best": beam_width, "token_threshold": threshold}
    found = PrefixBeam(vocabulary, **keys, blank_threshold=None)(emissions)
    assert_same(found, ReferenceBeam(vocabulary, **keys)(emissions))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    lengths=st.lists(st.integers(0, 30), min_size=1, max_size=4),
    threshold=st.sampled_from([-0.5, -0.1, -0.01]),
)
def test_passing_over_blanks_is_reading_them_as_certain(seed, lengths, threshold):
    emissions = random_emissions(seed, lengths, n_tokens=5, sharpness=4.0)
    keys = {"beam_width": 12, "n_best": 12, "token_threshold": None}
    found = PrefixBeam(vocabulary_of(5), **keys, blank_threshold=threshold)(emissions)

    certain = emissions.log_probs.clone()
    certain[..., 1:].masked_fill_((certain[..., :1] > threshold), -torch.inf)
    expected = ReferenceBeam(vocabulary_of(5), **keys)(Emissions(certain, emissions.lengths))
    # Impossible texts drop out of the reference's list only.
    for ours, theirs in zip(found, expected, strict=True):
        assert_same([ours[: len(theirs)]], [theirs], with_frames=False)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), n_frames=st.integers(1, 7))
def test_passing_over_blanks_costs_all_texts_together_no_more_than_what_was_no_blank(
    seed, n_frames
):
    emissions = random_emissions(seed, [n_frames], n_tokens=3, sharpness=4.0)
    wide = {"beam_width": 500, "n_best": 500, "token_threshold": None}
    [exact] = PrefixBeam(vocabulary_of(3), **wide, blank_threshold=None)(emissions)
    [skipped] = PrefixBeam(vocabulary_of(3), **wide, blank_threshold=-0.2)(emissions)
    found = {h.tokens: np.exp(h.score) for h in skipped}
    lost = [np.exp(h.score) - found.get(h.tokens, 0.0) for h in exact]
    blank = emissions.log_probs[0, :, 0].double().exp().numpy()
    assert min(lost) > -1e-5
    assert sum(lost) <= (1 - blank[np.log(blank) > -0.2]).sum() + 1e-4


def test_only_the_likeliest_tokens_begin():
    log_probs = torch.tensor([[[0.1, 0.4, 0.3, 0.2]]]).log()
    emissions = Emissions(log_probs, torch.tensor([1]))
    [n_best] = PrefixBeam(vocabulary_of(4), n_tokens=2, **EXACT)(emissions)
    assert [h.text for h in n_best] == ["a", "b", ""]


def test_a_batch_of_nothing_is_read_too():
    nobody = Emissions(torch.empty(0, 7, 3), torch.empty(0).long())
    assert PrefixBeam(vocabulary_of(3))(nobody) == []
    nothing = Emissions(torch.empty(2, 0, 3), torch.zeros(2).long())
    assert [n_best[0].tokens for n_best in PrefixBeam(vocabulary_of(3))(nothing)] == [(), ()]


@pytest.mark.parametrize("n_tokens", [0, -1, 2.5])
def test_no_tokens_at_all_are_refused(n_tokens):
    with pytest.raises(Exception, match=r"decoder.n_tokens is .* at least 1"):
        PrefixBeam(vocabulary_of(3), n_tokens=n_tokens)
