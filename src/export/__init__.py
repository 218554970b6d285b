"""Trained recognisers as files for other programs: TorchScript, torch.export, ONNX, int8."""

from src.export.check import Comparison, compare
from src.export.formats import FORMATS, describe, load, to_bytes
from src.export.speed import time_both

__all__ = ["FORMATS", "Comparison", "compare", "describe", "load", "time_both", "to_bytes"]
