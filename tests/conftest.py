"""Fixtures that several rooms share."""

import os
import signal
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


# Shells start commands in the background with Ctrl-C ignored, and tests would inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with real speech (LibriSpeech/, speech_commands/, …); the test skips without it.

    SPEECH_DATA names it; otherwise ../shared/data beside the repository is tried.
    """
    folder = Path(os.environ.get("SPEECH_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (folder / "speech_commands").is_dir():
        pytest.skip(f"real speech not found in {folder}; set SPEECH_DATA to its folder")
    return folder
