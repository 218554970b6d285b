"""Emissions to hypotheses: decoders see log-probabilities and symbols, never audio."""

from src.decoders.auto import Auto
from src.decoders.fused_beam import FusedBeam
from src.decoders.greedy import Greedy
from src.decoders.isolated_word import IsolatedWord
from src.decoders.prefix_beam import PrefixBeam

__all__ = ["Auto", "FusedBeam", "Greedy", "IsolatedWord", "PrefixBeam"]
