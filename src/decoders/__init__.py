"""Emissions to hypotheses: decoders see log-probabilities and symbols, never audio."""

from src.decoders.greedy import Greedy
from src.decoders.isolated_word import IsolatedWord
from src.decoders.prefix_beam import PrefixBeam

__all__ = ["Greedy", "IsolatedWord", "PrefixBeam"]
