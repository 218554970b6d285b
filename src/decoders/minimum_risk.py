"""Minimum Bayes risk: of the n-best, the reading with the fewest errors to be expected.

Source: Stolcke, König and Weintraub 1997, "Explicit word error minimization in N-best list
rescoring" (Eurospeech).
"""

import math
from collections.abc import Hashable, Sequence

from rapidfuzz.distance import Levenshtein

from src.batch import Hypothesis
from src.utils.errors import UserError


def check_scale(mbr_scale: object) -> None:
    """Refuse what is neither None nor a number that scores can be scaled by.

    Raises:
        UserError: it is.
    """
    if mbr_scale is None or (isinstance(mbr_scale, int | float) and 0 < mbr_scale < math.inf):
        return
    raise UserError(
        f"decoder.mbr_scale is {mbr_scale}; expected a number above 0 (1 takes the scores as they "
        "are), or null for the best score."
    )


def least_risk_first(n_best: Sequence[Hypothesis], scale: float, words: bool) -> list[Hypothesis]:
    """The hypothesis of least risk, then the others in their order of score.

    Args:
        n_best: at least one, best score first; their scores are natural logs.
        scale: of the scores: above 1 the better ones weigh more, near 0 all alike.
        words: errors are counted in words, else in tokens.
    """
    units = [h.text.split() if words else h.tokens for h in n_best]
    risks = expected_errors(units, posteriors([h.score for h in n_best], scale))
    chosen = risks.index(min(risks))  # of equals the one with the best score
    return [n_best[chosen], *n_best[:chosen], *n_best[chosen + 1 :]]


def posteriors(scores: Sequence[float], scale: float) -> list[float]:
    """Probabilities ∝ exp(scale · score): that each hypothesis is what was said, if one is."""
    best = max(scores)
    if best == -math.inf:  # nothing is possible, so nothing is more probable
        return [1 / len(scores)] * len(scores)
    weights = [math.exp(scale * (score - best)) for score in scores]
    total = sum(weights)
    return [weight / total for weight in weights]


def expected_errors(
    units: Sequence[Sequence[Hashable]], probabilities: Sequence[float]
) -> list[float]:
    """Of each hypothesis: its edit distance to all of them, each weighed by its probability."""
    risks = [0.0] * len(units)
    for i in range(len(units)):
        for j in range(i):
            distance = Levenshtein.distance(units[i], units[j])
            risks[i] += probabilities[j] * distance
            risks[j] += probabilities[i] * distance
    return risks
