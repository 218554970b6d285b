"""Corpora as torch datasets, and the order in which they are read."""

from src.datasets.batches import Batches
from src.datasets.loader import collate, make_loader
from src.datasets.selection import select

__all__ = ["Batches", "collate", "make_loader", "select"]
