"""Waveforms → features → augmented features. Nothing here knows text or models."""

from src.transforms.augment import Identity, SpecAugment
from src.transforms.features import MFCC, LogMel, RawFrames, Spectrogram
from src.transforms.front_end import FrontEnd
from src.transforms.normalisation import (
    NoNormalisation,
    StoredNormalisation,
    UtteranceNormalisation,
)
from src.transforms.statistics import FeatureStatistics, read_statistics
from src.transforms.whisper import WhisperLogMel, WhisperScaling

__all__ = [
    "MFCC",
    "FeatureStatistics",
    "FrontEnd",
    "Identity",
    "LogMel",
    "NoNormalisation",
    "RawFrames",
    "SpecAugment",
    "Spectrogram",
    "StoredNormalisation",
    "UtteranceNormalisation",
    "WhisperLogMel",
    "WhisperScaling",
    "read_statistics",
]
