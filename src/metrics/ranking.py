"""How well confidences rank what is wrong below what is right: the area under the ROC curve."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from rapidfuzz.distance import Levenshtein

from src.metrics.errors import phonemes
from src.metrics.predictions import TextPair


class Judged(NamedTuple):
    """The units (words, phonemes) of one hypothesis."""

    confidences: tuple[float, ...]  # 0 … 1
    right: tuple[bool, ...]


class Ranking(NamedTuple):
    """Area under the ROC curve over a corpus."""

    auc: float  # 1 where every right unit is surer than every wrong one, 0.5 as by chance
    low: float  # ends of the bootstrap interval
    high: float
    n_right: int
    n_wrong: int


def matched(reference: Sequence[str], hypothesis: Sequence[str]) -> list[bool]:
    """Of each unit of the hypothesis, whether an alignment with the fewest errors matches it.

    What is deleted has no unit here, so no confidence can tell of it.
    """
    right = [True] * len(hypothesis)
    for kind, _, place in Levenshtein.editops(reference, hypothesis).as_list():
        if kind != "delete":
            right[place] = False
    return right


def area_under_roc(
    confidences: Sequence[float], right: Sequence[bool], weights: Sequence[float] | None = None
) -> float | None:
    """Probability that a right unit, drawn at random, is surer than a wrong one; ties count half.

    The Mann–Whitney statistic over n_right · n_wrong (Hanley and McNeil 1982, "The meaning and use
    of the area under a receiver operating characteristic (ROC) curve").

    Args:
        confidences, right: of each unit, (n,).
        weights: how often each unit counts, (n,); None = once.

    Returns:
        0 … 1; None where all units are right or all are wrong.
    """
    places, begins = _in_order(np.asarray(confidences, float))
    right = np.asarray(right, bool)[places]
    weights = np.ones(len(right)) if weights is None else np.asarray(weights, float)[places]
    return _area(right, weights, begins)


def summarise_ranking(
    utterances: Sequence[Judged], n_resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> Ranking | None:
    """The corpus' area with its percentile interval when whole utterances are drawn anew.

    Words of one utterance stand or fall together, so they are drawn together; a resample in which
    all are right, or all wrong, has no area and is left out. The same for any order.

    Args:
        utterances: what each of them gave.
        n_resamples, seed, level: see bootstrap_interval.

    Returns:
        None where all units are right or all are wrong.
    """
    utterances = sorted(utterances)
    owner = np.repeat(np.arange(len(utterances)), [len(u.right) for u in utterances])
    places, begins = _in_order(np.array([c for u in utterances for c in u.confidences]))
    right = np.array([r for u in utterances for r in u.right], bool)[places]
    auc = _area(right, np.ones(len(right)), begins)
    if auc is None:
        return None
    rng, n = np.random.default_rng(seed), len(utterances)
    draws = (rng.multinomial(n, np.full(n, 1 / n)) for _ in range(n_resamples))
    areas = [_area(right, drawn[owner[places]], begins) for drawn in draws]
    known = [area for area in areas if area is not None] or [auc]
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Ranking(auc, float(low), float(high), int(right.sum()), int((~right).sum()))


def rank_all(
    pairs: Sequence[TextPair], normalise: Callable[[str], str], n_resamples: int = 1000
) -> dict[str, Ranking]:
    """ "Word" and "Phoneme" rankings over the files that carry confidences of such units.

    Words: those of the text, or the one that a closed lexicon chose, whose posterior is its
    confidence. One that can't be ranked, all right or all wrong, is left out.
    """
    judged: dict[str, list[Judged]] = {}
    for pair in pairs:
        for unit, units in _judge(pair, normalise).items():
            judged.setdefault(unit, []).append(units)
    found = {unit: summarise_ranking(units, n_resamples) for unit, units in judged.items()}
    return {unit: ranking for unit, ranking in found.items() if ranking}


def _judge(pair: TextPair, normalise: Callable[[str], str]) -> dict[str, Judged]:
    """What a file's confidences say, by unit."""
    judged = {}
    if pair.word is not None and pair.word_posterior is not None:
        right = normalise(pair.word) == normalise(pair.pred_word)
        judged["Word"] = Judged((pair.word_posterior,), (right,))
    if pair.confidences is None:
        return judged
    spell = phonemes if pair.unit == "phoneme" else lambda text: normalise(text).split()
    # A word that normalising divides lends its confidence to each part.
    units = [(unit, c) for written, c in pair.confidences for unit in spell(written)]
    names, confidences = zip(*units, strict=True) if units else ((), ())
    if list(names) == spell(pair.hypothesis):  # else they are another text's
        right = matched(spell(pair.reference), names)
        judged["Phoneme" if pair.unit == "phoneme" else "Word"] = Judged(confidences, tuple(right))
    return judged


def _in_order(confidences: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places (n,) by rising confidence, and where among them each new value begins."""
    places = np.argsort(confidences, kind="stable")
    ordered = confidences[places]
    return places, np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]][: len(ordered)])


def _area(right: np.ndarray, weights: np.ndarray, begins: np.ndarray) -> float | None:
    """See `area_under_roc`; the units in rising order, equals beginning at `begins`."""
    if not len(right):
        return None
    n_right = np.add.reduceat(weights * right, begins)  # of each value
    n_wrong = np.add.reduceat(weights * ~right, begins)
    n_pairs = n_right.sum() * n_wrong.sum()
    if n_pairs == 0:
        return None
    less_sure = n_wrong.cumsum() - n_wrong / 2
    return float(n_right @ less_sure / n_pairs)
