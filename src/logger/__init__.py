"""What a run tells while it lasts: log.jsonl and the console always, dashboards by config."""

from src.logger.base import Logger, Nothing
from src.logger.comet import Comet
from src.logger.console import Console
from src.logger.curves import training_curves
from src.logger.jsonl import JSONL, read_log
from src.logger.pictures import save_png, spectrogram_with_tokens
from src.logger.several import Several, standard_loggers
from src.logger.tensorboard import TensorBoard
from src.logger.wandb import WandB

__all__ = [
    "JSONL",
    "Comet",
    "Console",
    "Logger",
    "Nothing",
    "Several",
    "TensorBoard",
    "WandB",
    "read_log",
    "save_png",
    "spectrogram_with_tokens",
    "standard_loggers",
    "training_curves",
]
