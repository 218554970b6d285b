"""What loggers of other people's servers find in the folder of a run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from src.utils.files import atomic_write


def kept_id(path: Path, draw: Callable[[], str]) -> str:
    """The id under which a folder's run was first sent, in `path`; drawn and kept on first use."""
    if not path.is_file():
        with atomic_write(path, "w") as file:
            file.write(draw() + "\n")
    return path.read_text(encoding="utf-8").strip()


def config_of(run_dir: Path) -> dict[str, Any] | None:
    """The run's config; None where it has none yet."""
    path = run_dir / "config.yaml"
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None
