"""Entries of the registry, written so that the file is always one that can be read."""

from pathlib import Path
from typing import Any

import yaml

from src.utils.files import atomic_write
from src.utils.registry import read_registry

HEAD = "# Published checkpoints; pretrained/registry.yaml describes the keys.\n"


def write_entry(path: Path, name: str, entry: dict[str, Any], *, default: bool) -> None:
    """Add or replace a model; the comments at the head of the file stay, others are lost.

    Args:
        path: the registry; made where it is not there.
        default: make it the model that is taken where none is named.

    Raises:
        UserError: the registry there, or what it would become, can't be read.
    """
    head, content = HEAD, {"default": None, "models": {}}
    if path.exists():
        read_registry(path)
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines(keepends=True)
        n_head = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
        head, content = "".join(lines[:n_head]), yaml.safe_load(text)
    content["models"] = (content["models"] or {}) | {name: entry}
    content["default"] = name if default else content["default"]
    with atomic_write(path, "w") as file:
        file.write(head + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100))
        file.flush()
        read_registry(file.name)
