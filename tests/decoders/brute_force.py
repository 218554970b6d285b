"""The definition of CTC, spelled out path by path: slow, short, and not our decoders' code."""

import itertools
from collections import defaultdict

import numpy as np
import torch

from src.batch import Emissions

WIDE = {  # of a decoder that leaves nothing out
    "beam_width": 1000,
    "n_best": 1000,
    "token_threshold": None,
    "blank_threshold": None,
    "n_tokens": None,
}


def spell(path) -> tuple[int, ...]:
    """Repeats merged, blanks dropped."""
    return tuple(token for token, _ in itertools.groupby(path) if token != 0)


def sequence_scores(log_probs: np.ndarray) -> dict[tuple[int, ...], float]:
    """Log of the summed probability of each token sequence, by visiting all V**T paths."""
    summed = defaultdict(float)
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        score = sum(log_probs[frame, token] for frame, token in enumerate(path))
        summed[spell(path)] += np.exp(score)
    return {tokens: float(np.log(p)) for tokens, p in summed.items() if p > 0}


def best_path(log_probs: np.ndarray, tokens: tuple[int, ...]) -> tuple[int, ...]:
    """The most probable path that spells `tokens`."""
    paths = itertools.product(range(log_probs.shape[1]), repeat=len(log_probs))
    spelling = [path for path in paths if spell(path) == tokens]
    return max(spelling, key=lambda path: sum(log_probs[f, t] for f, t in enumerate(path)))


def random_emissions(seed: int, lengths: list[int], n_tokens: int, sharpness=2.0) -> Emissions:
    """Random log-probabilities; the padding behind each utterance is NaN."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(len(lengths), max(lengths), n_tokens, generator=generator) * sharpness
    log_probs = logits.log_softmax(-1)
    for row, length in zip(log_probs, lengths, strict=True):
        row[length:] = torch.nan
    return Emissions(log_probs, torch.tensor(lengths))
