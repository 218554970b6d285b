"""Forced alignment: when was each word of a known text said. Knows no files but its own output."""

from src.alignment.chunks import emissions_in_chunks
from src.alignment.intervals import Interval, Timing, timing_of
from src.alignment.textgrid import textgrid
from src.alignment.viterbi import Alignment, align, n_frames_needed

__all__ = [
    "Alignment",
    "Interval",
    "Timing",
    "align",
    "emissions_in_chunks",
    "n_frames_needed",
    "textgrid",
    "timing_of",
]
