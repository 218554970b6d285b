"""What a published model decodes with: a language model and a lexicon beside its file."""

import argparse
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from src.build import build
from src.build.tuned import FUSED, WEIGHTS, tuned_file, with_tuned
from src.utils.errors import UserError
from src.utils.files import atomic_write, sha256
from src.utils.published import companions_of
from src.utils.registry import COMPANIONS, read_registry


@dataclass(frozen=True)
class Companions:
    """Files to lie beside the model's, and the weights to decode with."""

    files: dict[str, Path] = field(default_factory=dict)  # "language_model", "lexicon" → file
    weights: dict[str, float] = field(default_factory=dict)  # lm_weight, bonus

    @classmethod
    def of(cls, options: argparse.Namespace, checkpoint: Path, text: Any) -> "Companions":
        """Those of the command line, tried; weights not named there are those tuned, if any.

        Raises:
            UserError: a lexicon or weights without a language model, or it can't decode so.
        """
        named = {kind: getattr(options, kind) for kind in COMPANIONS}
        files = {kind: path for kind, path in named.items() if path is not None}
        weights = {key: getattr(options, key) for key in WEIGHTS}
        given = {key: value for key, value in weights.items() if value is not None}
        if "language_model" not in files:
            if wanting := [*files, *given]:
                raise UserError(f"--{wanting[0]}: goes with --language_model FILE; name one.")
            return cls()
        paths = {kind: str(path) for kind, path in files.items()}
        decoder = {"_target_": FUSED, **dict.fromkeys(WEIGHTS), **paths, **given}
        decoder = with_tuned(decoder, checkpoint)
        build(decoder, "decoder", vocabulary=text.vocabulary)
        return cls(files, {key: decoder[key] for key in WEIGHTS if decoder[key] is not None})

    def copied_beside(self, model: Path) -> dict[str, Path]:
        """Copy the files beside a model's; where each lies, by its ending."""
        copies = {}
        for kind, source in self.files.items():
            # What is named otherwise may be packed or not: readers see by the content.
            endings = (e for e in COMPANIONS[kind] if source.name.endswith(e))
            ending = next(endings, COMPANIONS[kind][-1])
            copies[ending] = model.with_name(model.stem + ending)
            with source.open("rb") as content, atomic_write(copies[ending]) as file:
                shutil.copyfileobj(content, file)
        return copies


def earlier_files(registry: Path, model: Path, kept: Iterable[Path]) -> list[Path]:
    """What lies beside a model that was published under this name before, and is another's now:
    companions that it no longer has, and weights tuned for what it was.

    Args:
        registry: as it is before the new entry.
        kept: companions of the new one.
    """
    entry = read_registry(registry).models.get(model.stem) if registry.exists() else None
    if entry is None:
        return []
    kept = set(kept)
    gone = {path: file for path, file in companions_of(model, entry).items() if path not in kept}
    own = [path for path, file in gone.items() if path.is_file() and sha256(path) == file.sha256]
    tuned = tuned_file(model)
    return own + [path for path in (tuned, tuned.with_suffix(".png")) if path.is_file()]


def entries(copies: dict[str, Path]) -> dict[str, dict[str, Any]]:
    """What the registry tells of copied files."""
    return {
        ending: {"size": path.stat().st_size, "sha256": sha256(path)}
        for ending, path in copies.items()
    }
