"""Corpora as torch datasets, and the order in which they are read."""

from src.datasets.commands.continuous import ContinuousCommands
from src.datasets.commands.corpus import SpeechCommands
from src.datasets.commands.csr import SpeechCommandsCSR
from src.datasets.corpora.an4 import AN4
from src.datasets.corpora.common_voice import CommonVoice
from src.datasets.corpora.folder import Folder
from src.datasets.corpora.labelled import Labelled
from src.datasets.corpora.ljspeech import LJSpeech
from src.datasets.corpora.voxforge import VoxForge
from src.datasets.files import AudioFiles
from src.datasets.librispeech.corpus import LibriSpeech
from src.datasets.loading.batches import Batches, make_batches
from src.datasets.loading.loader import Loader, make_loader
from src.datasets.loading.pcm_cache import cached
from src.datasets.loading.reading import collate
from src.datasets.mixture import Mixture
from src.datasets.selection import select
from src.datasets.shards.corpus import Shards, ShardStream

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
