"""Prediction files → rates, confusions and the worst utterances; none is kept but the worst."""

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from rapidfuzz.distance import Levenshtein

from src.metrics import (
    ErrorCounts,
    RateSummary,
    Skipped,
    TextPair,
    compared_units,
    each_prediction,
    measure,
    phonemes,
    summarise_all,
)
from src.text import Normaliser

NOTHING = ""  # what a deleted unit was heard as, and what an inserted one was said as


@dataclass
class Confusions:
    """How often each unit was heard as which."""

    said: Counter[str] = field(default_factory=Counter)  # unit → times it was said
    errors: Counter[tuple[str, str]] = field(default_factory=Counter)  # (said, heard) → times

    def count(self, said: list[str], heard: list[str]) -> None:
        """Add an alignment with the fewest errors."""
        self.said.update(said)
        self.errors.update(pair for pair in alignment(said, heard) if pair[0] != pair[1])


@dataclass(frozen=True, order=True)
class Bad:
    """An utterance with errors. Orders by what calc_wer_cer calls worse: rate, then errors."""

    rate: float
    errors: int
    order: int  # of reading, negative: of equals the first is worse
    id: str = field(compare=False)
    pairs: list[tuple[str, str]] = field(compare=False)  # (said, heard) words or phonemes


@dataclass
class Scores:
    """What a folder of predictions comes to."""

    source: str  # where they are from
    unit: str = "character"
    n_utterances: int = 0
    rates: dict[str, RateSummary] = field(default_factory=dict)  # the first matters most
    skipped: Counter[str] = field(default_factory=Counter)  # reason → files left out
    confusions: Confusions = field(default_factory=Confusions)
    worst: list[Bad] = field(default_factory=list)  # the worst first


def read_scores(folder: Path, n_worst: int) -> Scores:
    """Score a folder of prediction files, as calc_wer_cer.py does by default.

    Raises:
        UserError: no such folder, or no JSON file in it.
    """
    return score(each_prediction(folder), str(folder), n_worst)


def score(predictions: Iterable[TextPair | Skipped], source: str, n_worst: int) -> Scores:
    """Score predictions one after another."""
    normalise = Normaliser()
    scores, measures, worst = Scores(source), [], []
    for pair in predictions:
        if isinstance(pair, Skipped):
            scores.skipped[pair.reason.split("(")[0].strip()] += 1
            continue
        measured = measure(pair, normalise)
        measures.append(measured)
        scores.unit = pair.unit
        scores.confusions.count(*_units(pair, normalise))
        keep_if_bad(worst, n_worst, pair, normalise, next(iter(measured.values())), len(measures))
    scores.n_utterances = len(measures)
    scores.rates = summarise_all(measures) if measures else {}
    scores.worst = sorted(worst, reverse=True)
    return scores


def keep_if_bad(
    worst: list[Bad], n_worst: int, pair: TextPair, normalise, counts: ErrorCounts, order: int
) -> None:
    """Put an utterance into the heap of the n worst, if it belongs there."""
    rank = (counts.rate, counts.errors, -order)
    if not counts.errors or not n_worst:
        return
    if len(worst) == n_worst and rank < (worst[0].rate, worst[0].errors, worst[0].order):
        return
    pairs = alignment(*compared_units(pair, normalise))
    bad = Bad(*rank, pair.file.removesuffix(".json"), pairs)
    (heapq.heappush if len(worst) < n_worst else heapq.heappushpop)(worst, bad)


def alignment(said: list[str], heard: list[str]) -> list[tuple[str, str]]:
    """(said, heard) side by side with the fewest errors, NOTHING where one side has one more."""
    pairs: list[tuple[str, str]] = []
    for _, i, i_end, j, j_end in Levenshtein.opcodes(said, heard):
        # A block is as long on both sides, or empty on one.
        above = said[i:i_end] or [NOTHING] * (j_end - j)
        below = heard[j:j_end] or [NOTHING] * (i_end - i)
        pairs += zip(above, below, strict=True)
    return pairs


def _units(pair: TextPair, normalise) -> tuple[list[str], list[str]]:
    """What is counted in confusions: phonemes, or characters with the spaces between words."""
    if pair.unit == "phoneme":
        return phonemes(pair.reference), phonemes(pair.hypothesis)
    texts = normalise(pair.reference), normalise(pair.hypothesis)
    return tuple(list(" ".join(text.split())) for text in texts)
