"""Acoustic models: (features, lengths) → Emissions. They never see text."""

from src.models.causal import Causal
from src.models.cnn_gru import CNNGRU
from src.models.conformer import Conformer
from src.models.convnet import ConvNet
from src.models.deepspeech2 import DeepSpeech2
from src.models.deepspeech2_conv import DeepSpeech2Conv
from src.models.mlp import MLP
from src.models.quartznet import QuartzNet
from src.models.rawnet import RawNet
from src.models.recurrent import Recurrent
from src.models.resnet import ResNet
from src.models.spelled import Spelled
from src.models.wav2letter import Wav2Letter
from src.models.wav2vec2 import Wav2Vec2
from src.models.whisper import Whisper

__all__ = [
    "CNNGRU",
    "MLP",
    "Causal",
    "Conformer",
    "ConvNet",
    "DeepSpeech2",
    "DeepSpeech2Conv",
    "QuartzNet",
    "RawNet",
    "Recurrent",
    "ResNet",
    "Spelled",
    "Wav2Letter",
    "Wav2Vec2",
    "Whisper",
]
