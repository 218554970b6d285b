"""The best path against all paths, against torchaudio's, and by hand."""

import itertools

import numpy as np
import pytest
import torch
from torchaudio.functional import forced_align

from src.alignment import align, n_frames_needed
from src.utils.errors import UserError
from tests.decoders.brute_force import best_path


def random_log_probs(seed: int, n_frames: int, n_tokens: int) -> np.ndarray:
    rng = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(n_frames, n_tokens, generator=rng)).log_softmax(-1).numpy()


def path_of(alignment, tokens, n_frames: int) -> tuple[int, ...]:
    """Token of each frame."""
    path = [0] * n_frames
    for token, first, end in zip(tokens, alignment.first, alignment.end, strict=True):
        path[first:end] = [token] * (end - first)
    return tuple(path)


def test_every_short_text_over_every_path():
    for seed, n_frames in itertools.product(range(3), (1, 2, 3, 4, 6)):
        log_probs = random_log_probs(seed, n_frames, 3)
        for length in (1, 2, 3):
            for tokens in itertools.product((1, 2), repeat=length):
                if n_frames_needed(tokens) > n_frames:
                    with pytest.raises(UserError, match="need at least"):
                        align(log_probs, tokens)
                    continue
                found = align(log_probs, tokens)
                path = best_path(log_probs, tokens)
                assert path_of(found, tokens, n_frames) == path
                score = sum(log_probs[t, token] for t, token in enumerate(path))
                assert found.score == pytest.approx(float(score), abs=1e-5)


@pytest.mark.parametrize("stretch", [1, 2, 7, 50, 1000])
@pytest.mark.parametrize("length", [1, 20, 80])
def test_torchaudio_finds_the_same_path_however_few_scores_are_kept(stretch, length):
    log_probs = random_log_probs(length, 200, 6)
    tokens = np.random.default_rng(length).integers(1, 6, length)
    path, scores = forced_align(torch.from_numpy(log_probs)[None], torch.from_numpy(tokens)[None])
    found = align(log_probs, tokens, stretch)
    assert path_of(found, tokens, 200) == tuple(path[0].tolist())
    assert found.score == pytest.approx(float(scores.double().sum()), abs=1e-3)


def test_a_text_that_just_fits_has_no_choice():
    tokens = (1, 1, 2, 3, 3)  # 5 and two blanks
    found = align(random_log_probs(0, 7, 4), tokens, stretch=3)
    assert path_of(found, tokens, 7) == (1, 0, 1, 2, 3, 0, 3)


def test_a_case_by_hand():
    """Frames that say: blank, a, a, blank, b; a's frames are 1 and 2, b's is 4."""
    sure, other = np.log(0.8), np.log(0.1)
    log_probs = np.full((5, 3), other, np.float32)
    for frame, token in enumerate((0, 1, 1, 0, 2)):
        log_probs[frame, token] = sure
    log_probs[2, 1] = np.log(0.5)
    found = align(log_probs, (1, 2))
    assert found.first.tolist() == [1, 4]
    assert found.end.tolist() == [3, 5]
    assert found.confidences == pytest.approx([0.8, 0.8])
    assert found.score == pytest.approx(4 * sure + np.log(0.5))


def test_too_long_a_text_is_one_sentence():
    with pytest.raises(UserError, match=r"3 tokens need at least 5 frames, but there are 4"):
        align(random_log_probs(0, 4, 3), (1, 1, 1))


def test_an_impossible_path_and_nan_are_refused():
    log_probs = random_log_probs(0, 4, 3)
    log_probs[:, 1] = -np.inf
    with pytest.raises(UserError, match="probability above 0"):
        align(log_probs, (1,))
    with pytest.raises(UserError, match="or it says NaN"):
        align(np.full((4, 3), np.nan, np.float32), (1,))


def test_a_long_recording_needs_little_memory():
    """20,000 frames and 6,000 tokens: one pointer a frame and state would be 240 MB."""
    import tracemalloc

    log_probs = random_log_probs(0, 20_000, 5)
    tokens = np.random.default_rng(0).integers(1, 5, 6_000)
    tracemalloc.start()
    found = align(log_probs, tokens)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (np.diff(found.first) > 0).all()
    assert peak < 20e6
