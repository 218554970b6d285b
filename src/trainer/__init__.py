"""The loop, its schedules, its checkpoints."""

from src.trainer.checkpoint import find_checkpoint, load_checkpoint, save_checkpoint
from src.trainer.checkpoint_folder import Checkpoints, Validated, newest_good
from src.trainer.evaluate import Evaluation, evaluate
from src.trainer.parameters import parameter_groups
from src.trainer.schedules import (
    Constant,
    Cyclic,
    Exponential,
    Noam,
    OneCycle,
    WarmupCosine,
)
from src.trainer.settings import Settings
from src.trainer.showcase import draw_prediction
from src.trainer.stepper import Stepper
from src.trainer.teacher import Teacher
from src.trainer.trainer import Trainer
from src.trainer.validation import Validation
from src.trainer.weights import load_body, load_weights

__all__ = [
    "Checkpoints",
    "Constant",
    "Cyclic",
    "Evaluation",
    "Exponential",
    "Noam",
    "OneCycle",
    "Settings",
    "Stepper",
    "Teacher",
    "Trainer",
    "Validated",
    "Validation",
    "WarmupCosine",
    "draw_prediction",
    "evaluate",
    "find_checkpoint",
    "load_body",
    "load_checkpoint",
    "load_weights",
    "newest_good",
    "parameter_groups",
    "save_checkpoint",
]
