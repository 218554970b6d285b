"""Acoustic models: (features, lengths) → Emissions. They never see text."""

from src.models.convnet import ConvNet
from src.models.deepspeech2 import DeepSpeech2
from src.models.deepspeech2_conv import DeepSpeech2Conv
from src.models.whisper import Whisper

__all__ = ["ConvNet", "DeepSpeech2", "DeepSpeech2Conv", "Whisper"]
