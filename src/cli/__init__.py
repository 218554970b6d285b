"""What people type, and what they meet: one clear line where it goes wrong, an exit status."""

from src.cli.entry import Ended, hydra_entry, leave
from src.cli.explanations import CONFIGS, FROM_CHECKPOINT, explain
from src.cli.words import as_begun, for_hydra, in_quotes

__all__ = [
    "CONFIGS",
    "FROM_CHECKPOINT",
    "Ended",
    "as_begun",
    "explain",
    "for_hydra",
    "hydra_entry",
    "in_quotes",
    "leave",
]
