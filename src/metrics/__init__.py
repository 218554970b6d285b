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
from src.metrics.predictions import Skipped, TextPair, measure, read_predictions
from src.metrics.report import plain, summarise_all, table, worst
from src.metrics.summary import RateSummary, bootstrap_interval, summarise

__all__ = [
    "ErrorCounts",
    "RateSummary",
    "Skipped",
    "TextPair",
    "aligned",
    "bootstrap_interval",
    "character_errors",
    "corpus_rate",
    "measure",
    "phoneme_errors",
    "phonemes",
    "plain",
    "read_predictions",
    "summarise",
    "summarise_all",
    "table",
    "word_errors",
    "worst",
]
