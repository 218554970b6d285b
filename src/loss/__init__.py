"""Training objectives over Emissions."""

from src.loss.ctc import CTC, CTCLoss

__all__ = ["CTC", "CTCLoss"]
