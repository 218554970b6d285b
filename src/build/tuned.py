"""Decoder weights that were tuned on held-out speech, kept beside the checkpoint."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from src.trainer import find_checkpoint
from src.utils.files import sha256, write_json

NAME = "decoder.json"
WEIGHTS = ("lm_weight", "bonus")


def tuned_file(checkpoint: str | Path) -> Path:
    """Where the weights for a checkpoint are kept: those of one run share a file.

    Published models, which may lie side by side, have one each.
    """
    path = find_checkpoint(checkpoint)
    is_published = path.suffix == ".safetensors"
    return path.with_name(f"{path.stem}.{NAME}") if is_published else path.with_name(NAME)


def save_tuned(checkpoint: str | Path, language_model: str | Path, found: dict[str, Any]) -> Path:
    """Keep `found` (lm_weight, bonus, and how good they were) for this pair; returns the file.

    Weights for other language models stay.

    Raises:
        UserError: the folder can't be written.
    """
    path = tuned_file(checkpoint)
    known = _read(path)
    known[sha256(language_model)] = {"language_model": Path(language_model).name, **found}
    write_json(path, known)
    return path


def with_tuned(decoder: Mapping[str, Any], checkpoint: str | Path) -> dict[str, Any]:
    """The decoder's config, where weights left null are those that were tuned for it, if any."""
    decoder = dict(decoder)
    model = decoder.get("language_model")
    open_ = [key for key in WEIGHTS if key in decoder and decoder[key] is None]
    if not open_ or not isinstance(model, str) or not Path(model).is_file():
        return decoder
    known = _read(tuned_file(checkpoint))
    found = known.get(sha256(model), {}) if known else {}
    return decoder | {key: found[key] for key in open_ if _is_number(found.get(key))}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _read(path: Path) -> dict[str, Any]:
    """What is kept in `path`; nothing where it is not there or damaged."""
    try:
        known = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {key: value for key, value in known.items() if isinstance(value, dict)}
