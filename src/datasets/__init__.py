"""Corpora as torch datasets, and the order in which they are read."""

from src.datasets.selection import select

__all__ = ["select"]
