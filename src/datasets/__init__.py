"""Corpora as torch datasets, and the order in which they are read."""

from src.datasets.an4 import AN4
from src.datasets.batches import Batches, make_batches
from src.datasets.common_voice import CommonVoice
from src.datasets.continuous_commands import ContinuousCommands
from src.datasets.files import AudioFiles
from src.datasets.folder import Folder
from src.datasets.labelled import Labelled
from src.datasets.librispeech import LibriSpeech
from src.datasets.ljspeech import LJSpeech
from src.datasets.loader import Loader, make_loader
from src.datasets.mixture import Mixture
from src.datasets.pcm_cache import cached
from src.datasets.reading import collate
from src.datasets.selection import select
from src.datasets.shards import Shards, ShardStream
from src.datasets.speech_commands import SpeechCommands
from src.datasets.speech_commands_csr import SpeechCommandsCSR
from src.datasets.voxforge import VoxForge

__all__ = [
    "AN4",
    "AudioFiles",
    "Batches",
    "CommonVoice",
    "ContinuousCommands",
    "Folder",
    "LJSpeech",
    "Labelled",
    "LibriSpeech",
    "Loader",
    "Mixture",
    "ShardStream",
    "Shards",
    "SpeechCommands",
    "SpeechCommandsCSR",
    "VoxForge",
    "cached",
    "collate",
    "make_batches",
    "make_loader",
    "select",
]
