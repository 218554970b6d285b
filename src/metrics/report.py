"""Rates as people read them (percent, with intervals) and as programs do (fractions)."""

from collections.abc import Mapping, Sequence

from src.metrics.errors import ErrorCounts
from src.metrics.predictions import TextPair
from src.metrics.ranking import Ranking
from src.metrics.summary import RateSummary, summarise
from src.utils import tables

_UNITS = {
    "WER": "words",
    "CER": "characters, spaces included",
    "PER": "phonemes",
    "word error": "words",
}


def summarise_all(
    measures: Sequence[Mapping[str, ErrorCounts]], n_resamples: int = 1000
) -> dict[str, RateSummary]:
    """One summary a measure, over the utterances that have it.

    Args:
        measures: of each utterance, error counts by name, as `measure` gives them.
        n_resamples: see bootstrap_interval.
    """
    names = dict.fromkeys(name for measured in measures for name in measured)
    return {
        name: summarise([m[name] for m in measures if name in m], n_resamples) for name in names
    }


def table(scores: Mapping[str, RateSummary]) -> str:
    """Lines of text: a row a measure, in percent with 95 % intervals, and a word on the mean."""
    header = ("rate", "value [95 % interval]", "substituted", "deleted", "inserted", "of", "")
    means = ", ".join(f"{name} {100 * s.mean_utterance_rate:.2f} %" for name, s in scores.items())
    return "\n".join(
        [
            tables.table([_row(name, score) for name, score in scores.items()], header),
            "",
            "A rate is summed errors over summed reference length. The mean of utterance rates,",
            f"only for comparison with older reports, is {means}.",
        ]
    )


def ranking_lines(rankings: Mapping[str, Ranking]) -> str:
    """A line for each kind of unit: the area under the ROC curve with its 95 % interval."""
    return "\n".join(
        f"{unit} confidence AUC {r.auc:.2f} ({r.low:.2f}–{r.high:.2f}): so often is a right "
        f"{unit.lower()} surer than a wrong one ({r.n_right:,} right, {r.n_wrong:,} wrong)."
        for unit, r in rankings.items()
    )


def worst(
    pairs: Sequence[TextPair], measures: Sequence[Mapping[str, ErrorCounts]], n: int
) -> list[tuple[TextPair, ErrorCounts]]:
    """The n utterances of highest WER (or PER); among equals, those with more errors first."""
    leading = [next(iter(measured.values())) for measured in measures]
    scored = zip(pairs, leading, strict=True)
    return sorted(scored, key=lambda pair: (-pair[1].rate, -pair[1].errors))[:n]


def _row(name: str, score: RateSummary) -> tuple[str, ...]:
    counts = score.counts
    errors = (counts.substitutions, counts.deletions, counts.insertions)
    return (
        name,
        f"{100 * score.rate:.2f} % [{100 * score.low:.2f}, {100 * score.high:.2f}]",
        *(f"{n:,}" for n in (*errors, counts.reference_length)),
        _UNITS[name],
    )


def plain(scores: Mapping[str, RateSummary]) -> dict[str, dict[str, float | int]]:
    """The same for JSON: {"wer": {"rate": 0.1, "low": …, "substitutions": …}, …}; fractions."""
    return {name.lower().replace(" ", "_"): _plain(score) for name, score in scores.items()}


def plain_rankings(rankings: Mapping[str, Ranking]) -> dict[str, dict[str, float | int]]:
    """The same for JSON: {"word": {"auc": 0.87, "low": …, "n_right": …}, …}."""
    return {unit.lower(): ranking._asdict() for unit, ranking in rankings.items()}


def _plain(score: RateSummary) -> dict[str, float | int]:
    counts = score.counts
    return {
        "rate": score.rate,
        "low": score.low,
        "high": score.high,
        "substitutions": counts.substitutions,
        "deletions": counts.deletions,
        "insertions": counts.insertions,
        "reference_length": counts.reference_length,
        "n_utterances": score.n_utterances,
        "mean_utterance_rate": score.mean_utterance_rate,
    }
