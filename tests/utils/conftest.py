"""Fixtures of the downloads' tests."""

from collections.abc import Callable, Iterator

import pytest

from src.utils.download import fetch
from tests.utils.flaky_server import SHA256, FlakyServer, flaky_server


@pytest.fixture
def server() -> Iterator[FlakyServer]:
    with flaky_server() as server:
        yield server


@pytest.fixture
def waits() -> list[float]:
    """Seconds between attempts, kept instead of slept."""
    return []


@pytest.fixture
def get(tmp_path, waits) -> Callable:
    """Fetch into tmp_path/model.pt without sleeping."""

    def get(*urls, **options):
        options = {"sha256": SHA256} | options
        return fetch(urls, tmp_path / "model.pt", sleep=waits.append, **options)

    return get
