"""A machine on which nobody has installed eSpeak NG."""

import sys

import pytest

from src.text import guessed


def without_espeak(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package can't be imported, and nothing is remembered of it."""
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    guessed._espeak.cache_clear()
    guessed.guessed_pronunciation.cache_clear()
