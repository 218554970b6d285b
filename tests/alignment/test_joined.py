"""A recording of minutes made of real utterances: each word stays where it was."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from src import audio
from src.alignment import align, n_frames_needed, timing_of
from src.text import Characters

FRAME_S = 0.02
TEXT = Characters()
SPACE = TEXT.vocabulary.encode(" ")[0]


@pytest.fixture
def utterances(shared_data) -> list[tuple[str, float]]:
    """Transcript and seconds of real utterances of one speaker, five minutes and more."""
    part = shared_data / "LibriSpeech" / "train-clean-100"
    if not part.is_dir():
        pytest.skip(f"no train-clean-100 in {part.parent}")
    found: list[tuple[str, float]] = []
    for listed in sorted(part.rglob("*.trans.txt")):
        for line in listed.read_text(encoding="utf-8").splitlines():
            name, _, words = line.partition(" ")
            found.append((TEXT.normalise(words), audio.duration_s(recording(listed.parent, name))))
            if sum(seconds for _, seconds in found) > 300:
                return found
    return found


def recording(folder: Path, name: str) -> Path:
    return next(path for path in folder.glob(f"{name}.*") if path.suffix in audio.EXTENSIONS)


def spoken(tokens: tuple[int, ...], seconds: float, rng) -> np.ndarray:
    """Emissions of a model that hears these tokens at random times, and errs in 1 frame of 10."""
    n_frames = int(seconds / FRAME_S)
    states = [0]
    for token, following in itertools.pairwise((*tokens, 0)):
        states += [token] + [0] * (token == following or rng.random() < 0.3)
    held = rng.multinomial(n_frames - len(states), np.full(len(states), 1 / len(states))) + 1
    path = np.repeat(states, held)
    wrong = rng.random(n_frames) < 0.1
    path[wrong] = rng.integers(0, len(TEXT.vocabulary), wrong.sum())
    logits = rng.normal(size=(n_frames, len(TEXT.vocabulary))).astype(np.float32)
    logits[np.arange(n_frames), path] += 6
    return logits - np.log(np.exp(logits).sum(1, keepdims=True))


def words_of(log_probs: np.ndarray, text: str, stretch: int):
    tokens = TEXT.encode(text)
    seconds = len(log_probs) * FRAME_S
    found = align(log_probs, tokens, stretch)
    return timing_of(found, text, text.split(), " ", FRAME_S, seconds).words


def test_words_of_a_joined_recording_are_where_they_were(utterances):
    """Pauses between utterances are a space that somebody has to place: a few frames' freedom."""
    rng = np.random.default_rng(0)
    parts, alone, frames = [], [], 0
    for text, seconds in utterances:
        tokens = TEXT.encode(text)
        assert n_frames_needed(tokens) < seconds / FRAME_S
        log_probs = spoken(tokens, seconds, rng)
        alone += [
            (word.label, frames * FRAME_S + word.start_s, frames * FRAME_S + word.end_s)
            for word in words_of(log_probs, text, 2048)
        ]
        pause = spoken((SPACE,), 0.3, rng)
        parts += [log_probs, pause]
        frames += len(log_probs) + len(pause)
    together = words_of(
        np.concatenate(parts[:-1]), " ".join(text for text, _ in utterances), stretch=512
    )
    assert len(together) == len(alone) > 500
    assert [word.label for word in together] == [label for label, *_ in alone]
    moved = np.array(
        [
            (word.start_s - start_s, word.end_s - end_s)
            for word, (_, start_s, end_s) in zip(together, alone, strict=True)
        ]
    )
    assert (abs(moved) < 0.5 * FRAME_S).mean() > 0.98  # in the very same frame
    assert (abs(moved) < 5.5 * FRAME_S).mean() > 0.995
