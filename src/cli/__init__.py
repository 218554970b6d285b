"""What people type, and what they meet: one clear line where it goes wrong, an exit status."""

from src.cli.entry import Ended, hydra_entry, leave
from src.cli.explanations import CONFIGS, FROM_CHECKPOINT, explain
from src.cli.words import as_begun

__all__ = [
    "CONFIGS",
    "FROM_CHECKPOINT",
    "Ended",
    "as_begun",
    "explain",
    "hydra_entry",
    "leave",
]
