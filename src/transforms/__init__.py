"""Waveforms → features, and what makes both harder in training. Nothing knows text or models."""

from src.transforms.augment import Identity, SpecAugment
from src.transforms.augmentation import Augmentation, FeatureSteps
from src.transforms.features import MFCC, LogMel, RawFrames, Spectrogram
from src.transforms.frequency_warp import FrequencyWarp
from src.transforms.front_end import FrontEnd
from src.transforms.normalisation import (
    NoNormalisation,
    StoredNormalisation,
    UtteranceNormalisation,
)
from src.transforms.stacking import Stacked
from src.transforms.statistics import FeatureStatistics, read_statistics
from src.transforms.time_warp import TimeWarp
from src.transforms.waveform.filters import BandPass, HighPass, LowPass
from src.transforms.waveform.gain import Gain
from src.transforms.waveform.mu_law import MuLaw
from src.transforms.waveform.noise import ColouredNoise, RecordedNoise
from src.transforms.waveform.rates import Speed, Tempo
from src.transforms.waveform.reverberation import RecordedRoom, SimulatedRoom
from src.transforms.waveform.step import WaveformSteps
from src.transforms.waveform.time_shift import TimeShift
from src.transforms.whisper import WhisperLogMel, WhisperScaling

__all__ = [
    "MFCC",
    "Augmentation",
    "BandPass",
    "ColouredNoise",
    "FeatureStatistics",
    "FeatureSteps",
    "FrequencyWarp",
    "FrontEnd",
    "Gain",
    "HighPass",
    "Identity",
    "LogMel",
    "LowPass",
    "MuLaw",
    "NoNormalisation",
    "RawFrames",
    "RecordedNoise",
    "RecordedRoom",
    "SimulatedRoom",
    "SpecAugment",
    "Spectrogram",
    "Speed",
    "Stacked",
    "StoredNormalisation",
    "Tempo",
    "TimeShift",
    "TimeWarp",
    "UtteranceNormalisation",
    "WaveformSteps",
    "WhisperLogMel",
    "WhisperScaling",
    "read_statistics",
]
