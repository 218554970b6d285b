"""Rates as people read them (percent, with intervals) and as programs do (fractions)."""

from collections.abc import Mapping, Sequence

from src.metrics.errors import ErrorCounts
from src.metrics.summary import RateSummary, summarise

_UNITS = {"WER": "words", "CER": "characters", "PER": "phonemes", "word error": "words"}


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
    means = ", ".join(f"{name} {100 * s.mean_utterance_rate:.2f} %" for name, s in scores.items())
    header = (
        f"{'':10} {'rate %':>7}  {'95 % interval':>15}  {'subst.':>7} {'deleted':>7} "
        f"{'inserted':>8}  {'of':>20}"
    )
    return "\n".join(
        [
            header,
            *(_row(name, score) for name, score in scores.items()),
            "",
            "A rate is summed errors over summed reference length. The mean of utterance rates,",
            f"only for comparison with older reports, is {means}.",
        ]
    )


def _row(name: str, score: RateSummary) -> str:
    counts = score.counts
    interval = f"{100 * score.low:.2f} – {100 * score.high:.2f}"
    length = f"{counts.reference_length:,} {_UNITS.get(name, '')}"
    return (
        f"{name:10} {100 * score.rate:7.2f}  {interval:>15}  {counts.substitutions:7,} "
        f"{counts.deletions:7,} {counts.insertions:8,}  {length:>20}"
    )


def plain(scores: Mapping[str, RateSummary]) -> dict[str, dict[str, float | int]]:
    """The same for JSON: {"wer": {"rate": 0.1, "low": …, "substitutions": …}, …}; fractions."""
    return {name.lower().replace(" ", "_"): _plain(score) for name, score in scores.items()}


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
