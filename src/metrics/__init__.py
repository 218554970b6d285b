"""Error counts, corpus rates and their confidence. Sees strings only; imports no torch."""

from src.metrics.errors import (
    ErrorCounts,
    aligned,
    character_errors,
    corpus_rate,
    phoneme_errors,
    phonemes,
    word_errors,
)
from src.metrics.predictions import (
    READINGS,
    Skipped,
    TextPair,
    compared_units,
    each_prediction,
    measure,
    read_predictions,
    text_pair,
)
from src.metrics.ranking import Ranking, area_under_roc, rank_all
from src.metrics.report import (
    plain,
    plain_rankings,
    ranking_lines,
    summarise_all,
    table,
    worst,
)
from src.metrics.summary import RateSummary, bootstrap_interval, summarise

__all__ = [
    "READINGS",
    "ErrorCounts",
    "Ranking",
    "RateSummary",
    "Skipped",
    "TextPair",
    "aligned",
    "area_under_roc",
    "bootstrap_interval",
    "character_errors",
    "compared_units",
    "corpus_rate",
    "each_prediction",
    "measure",
    "phoneme_errors",
    "phonemes",
    "plain",
    "plain_rankings",
    "rank_all",
    "ranking_lines",
    "read_predictions",
    "summarise",
    "summarise_all",
    "table",
    "text_pair",
    "word_errors",
    "worst",
]
