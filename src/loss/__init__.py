"""Training objectives over Emissions."""

from src.loss.consistency import Consistent
from src.loss.ctc import CTC, CTCLoss
from src.loss.distillation import distillation
from src.loss.frames import FrameCrossEntropy
from src.loss.intermediate import Intermediate

__all__ = ["CTC", "CTCLoss", "Consistent", "FrameCrossEntropy", "Intermediate", "distillation"]
