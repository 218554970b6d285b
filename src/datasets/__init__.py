"""Corpora as torch datasets, and the order in which they are read."""

from src.datasets.batches import Batches
from src.datasets.files import AudioFiles
from src.datasets.librispeech import LibriSpeech
from src.datasets.loader import Loader, make_loader
from src.datasets.pcm_cache import cached
from src.datasets.reading import collate
from src.datasets.selection import select
from src.datasets.speech_commands import SpeechCommands
from src.datasets.speech_commands_csr import SpeechCommandsCSR

__all__ = [
    "AudioFiles",
    "Batches",
    "LibriSpeech",
    "Loader",
    "SpeechCommands",
    "SpeechCommandsCSR",
    "cached",
    "collate",
    "make_loader",
    "select",
]
