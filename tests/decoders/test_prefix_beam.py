"""Prefix beam search against the definition of CTC, visited path by path."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from src.batch import Emissions
from src.decoders import Greedy, PrefixBeam
from src.decoders.paths import with_times
from src.text import Vocabulary
from src.utils.errors import UserError
from tests.decoders.brute_force import best_path, random_emissions, sequence_scores, spell

TINY = Vocabulary(("_", *"ab"))
LETTERS = Vocabulary(("_", *"abcdefghijklmnopqrstuvwxyz"))

# Wide enough to hold every sequence of up to 5 tokens out of 2: nothing is ever pruned.
WIDE = {"beam_width": 200, "n_best": 200, "token_threshold": None, "blank_threshold": None}


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), n_frames=st.integers(1, 5), sharpness=st.floats(0.1, 6))
def test_a_wide_beam_is_the_sum_over_all_alignments(seed, n_frames, sharpness):
    emissions = random_emissions(seed, [n_frames], n_tokens=3, sharpness=sharpness)
    truth = sequence_scores(emissions.log_probs[0].double().numpy())
    [n_best] = PrefixBeam(TINY, **WIDE)(emissions)

    assert {h.tokens for h in n_best} == set(truth)
    assert [h.score for h in n_best] == pytest.approx(sorted(truth.values())[::-1], abs=1e-5)
    for h in n_best:
        assert h.score == pytest.approx(truth[h.tokens], abs=1e-5)
        assert h.text == TINY.decode(h.tokens)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), n_frames=st.integers(1, 5), data=st.data())
def test_impossible_tokens_leave_only_the_possible_texts(seed, n_frames, data):
    log_probs = random_emissions(seed, [n_frames], n_tokens=3).log_probs
    for frame in range(n_frames):
        impossible = data.draw(st.lists(st.integers(0, 2), max_size=2))
        log_probs[0, frame, impossible] = -torch.inf
    truth = sequence_scores(log_probs[0].double().numpy())
    [n_best] = PrefixBeam(TINY, **WIDE)(Emissions(log_probs, torch.tensor([n_frames])))
    assert {h.tokens: h.score for h in n_best} == pytest.approx(truth, abs=1e-5)


def with_times_each(hypotheses, emissions):
    return [with_times([h], *emissions)[0] for h in hypotheses]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), n_frames=st.integers(1, 5))
def test_frames_and_confidences_come_from_the_best_alignment(seed, n_frames):
    emissions = random_emissions(seed, [n_frames], n_tokens=3)
    log_probs = emissions.log_probs[0].double().numpy()
    [n_best] = PrefixBeam(TINY, **WIDE)(emissions)
    assert all((h.frames, h.ends, h.confidences) == ((), (), ()) for h in n_best[1:])
    for h in [n_best[0], *with_times_each(n_best[:4], emissions)]:
        path = best_path(log_probs, h.tokens)
        starts = [f for f, t in enumerate(path) if t and (f == 0 or path[f - 1] != t)]
        assert h.frames == tuple(starts)
        for start, token, confidence in zip(starts, h.tokens, h.confidences, strict=True):
            end = start
            while end < n_frames and path[end] == token:
                end += 1
            assert end in h.ends
            assert confidence == pytest.approx(np.exp(log_probs[start:end, token].max()), rel=1e-5)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), lengths=st.lists(st.integers(1, 20), min_size=2, max_size=4))
def test_neighbours_and_padding_never_change_an_utterance(seed, lengths):
    emissions = random_emissions(seed, lengths, n_tokens=27)
    decoder = PrefixBeam(LETTERS, beam_width=8, n_best=3)
    together = decoder(emissions)
    for row, length, n_best in zip(emissions.log_probs, lengths, together, strict=True):
        alone = Emissions(row[None, :length], torch.tensor([length]))
        [single] = decoder(alone)
        assert [(h.tokens, h.frames) for h in single] == [(h.tokens, h.frames) for h in n_best]
        assert [h.score for h in single] == pytest.approx([h.score for h in n_best], abs=1e-5)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_a_wide_beam_is_at_least_as_probable_as_greedy(seed):
    emissions = random_emissions(seed, [7], n_tokens=3, sharpness=1.0)
    [[greedy]] = Greedy(TINY)(emissions)
    [[best, *_]] = PrefixBeam(
        TINY, beam_width=300, n_best=1, token_threshold=None, blank_threshold=None
    )(emissions)
    assert best.score >= sequence_scores(emissions.log_probs[0].numpy())[greedy.tokens] - 1e-5
    assert best.score >= greedy.score


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31), beam_width=st.integers(1, 6))
def test_a_narrow_beam_scores_a_lower_bound_and_ranks_distinct_texts(seed, beam_width):
    emissions = random_emissions(seed, [6], n_tokens=3, sharpness=1.0)
    truth = sequence_scores(emissions.log_probs[0].double().numpy())
    decoder = PrefixBeam(TINY, beam_width=beam_width, n_best=beam_width, token_threshold=-2.0)
    [n_best] = decoder(emissions)
    assert 1 <= len({h.tokens for h in n_best}) == len(n_best) <= beam_width
    assert [h.score for h in n_best] == sorted((h.score for h in n_best), reverse=True)
    assert all(h.score <= truth[h.tokens] + 1e-6 for h in n_best)


def test_summing_over_alignments_can_beat_the_best_path():
    # Graves' example: the best path is "_ _" (0.36), but three paths spell "a" (0.64).
    emissions = Emissions(torch.tensor([[[0.6, 0.4], [0.6, 0.4]]]).log(), torch.tensor([2]))
    vocabulary = Vocabulary(("_", "a"))
    [[greedy]] = Greedy(vocabulary)(emissions)
    [[first, second]] = PrefixBeam(vocabulary, beam_width=2, n_best=2)(emissions)
    assert (greedy.text, first.text, second.text) == ("", "a", "")
    assert np.exp([first.score, second.score]) == pytest.approx([0.64, 0.36])


def test_a_double_letter_needs_a_blank_between():
    held = torch.tensor([[[0.01, 0.99]] * 3]).log()
    apart = torch.tensor([[[0.01, 0.99], [0.98, 0.02], [0.01, 0.99]]]).log()
    decoder = PrefixBeam(Vocabulary(("_", "a")), beam_width=8)
    assert decoder(Emissions(held, torch.tensor([3])))[0][0].text == "a"
    assert decoder(Emissions(apart, torch.tensor([3])))[0][0].text == "aa"


def test_a_rare_token_begins_nowhere_below_the_threshold():
    emissions = Emissions(torch.tensor([[[0.9, 0.099, 0.001]]]).log(), torch.tensor([1]))
    [all_texts] = PrefixBeam(TINY, token_threshold=None)(emissions)
    [common] = PrefixBeam(TINY, token_threshold=-5.0)(emissions)
    assert [h.text for h in all_texts] == ["", "a", "b"]
    assert [h.text for h in common] == ["", "a"]


def test_the_best_token_of_a_frame_begins_even_below_the_threshold():
    emissions = Emissions(torch.tensor([[[0.3, 0.4, 0.3]]]).log(), torch.tensor([1]))
    [[best, *_]] = PrefixBeam(TINY, token_threshold=-0.1)(emissions)
    assert best.text == "a"


def test_long_utterances_do_not_underflow():
    emissions = random_emissions(3, [3000], n_tokens=3, sharpness=0.5)
    [[best]] = PrefixBeam(TINY, beam_width=4, n_best=1)(emissions)
    assert np.isfinite(best.score)
    path = emissions.log_probs[0].argmax(-1).tolist()
    assert 0 < len(best.tokens) <= 3000 and len(spell(path)) > 0


def test_without_frames_the_only_hypothesis_is_empty_and_certain():
    [[reading]] = PrefixBeam(TINY)(Emissions(torch.empty(1, 0, 3), torch.tensor([0])))
    assert (reading.text, reading.tokens, reading.frames, reading.score) == ("", (), (), 0.0)


def test_an_empty_utterance_beside_a_full_one_stays_empty():
    n_bests = PrefixBeam(TINY)(random_emissions(0, [0, 4], n_tokens=3))
    assert [h.text for h in n_bests[0]] == [""] and len(n_bests[1]) == 5


@pytest.mark.parametrize("beam_width", [0, -3, 2.5])
def test_a_beam_without_room_is_refused(beam_width):
    with pytest.raises(UserError, match=rf"beam_width is {beam_width}; .* at least 1"):
        PrefixBeam(TINY, beam_width=beam_width, n_best=1)


@pytest.mark.parametrize("n_best", [0, 9])
def test_more_hypotheses_than_the_beam_holds_are_refused(n_best):
    with pytest.raises(UserError, match=rf"n_best is {n_best}; a beam of 8 gives 1 to 8"):
        PrefixBeam(TINY, beam_width=8, n_best=n_best)


@pytest.mark.parametrize("threshold", [0.0, 0.001, float("nan"), "-3"])
def test_a_threshold_that_is_no_log_probability_is_refused(threshold):
    with pytest.raises(UserError, match=r"token_threshold is .* below 0"):
        PrefixBeam(TINY, token_threshold=threshold)
