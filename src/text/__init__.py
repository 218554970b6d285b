"""Normalisers, vocabularies, lexicons: transcript → target string → token indices.

Imports no torch, so that scoring starts at once.
"""

from src.text.bpe import BPE
from src.text.characters import Characters
from src.text.frame_labels import FrameLabels
from src.text.normaliser import Normaliser
from src.text.phonemes import Phonemes
from src.text.spanish import SpanishCharacters
from src.text.vocabulary import Vocabulary

__all__ = [
    "BPE",
    "Characters",
    "FrameLabels",
    "Normaliser",
    "Phonemes",
    "SpanishCharacters",
    "Vocabulary",
]
