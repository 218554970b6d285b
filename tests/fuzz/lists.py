"""Small files of text: registries of published models, feature statistics, logs of a run."""

import json
import math
import shutil
from pathlib import Path

import numpy as np

from src.logger import JSONL, read_log
from src.transforms.statistics import read_statistics
from src.utils.registry import read_registry
from tests.fuzz.mutations import scribbled
from tests.fuzz.pool import expect

REGISTRY = """# Published checkpoints.
default: tiny
models:
  tiny:
    description: a small one, PER 3.9 %
    licence: MIT
    size: 57201234
    sha256: "{sha}"
    urls:
      - https://example.org/tiny.pt
      - file:///srv/models/tiny.pt
  large-1.0:
    description: 'a large one: DeepSpeech2'
    licence: CC BY 4.0
    size: 97201234
    sha256: {sha}
    urls: [https://example.org/large.pt]
""".format(sha="0f" * 32)


class Registry:
    """What download_model.py lists and fetches."""

    name = "registry"

    def prepare(self, originals: Path) -> None:
        (originals / "registry.yaml").write_text(REGISTRY)

    def mutate(self, originals: Path, case: Path, random: np.random.Generator) -> None:
        content = (originals / "registry.yaml").read_text()
        (case / "registry.yaml").write_bytes(scribbled(content, random))

    def check(self, originals: Path, case: Path) -> None:
        registry = read_registry(case / "registry.yaml")
        expect(registry.default is None or registry.default in registry.models, "default")
        for name, model in registry.models.items():
            expect(not set(name) & set("/\\\0 ") and name[0] != ".", f"name {name!r}")
            expect(len(model.sha256) == 64 and type(model.size) is int, f"{model}")
            expect(all(isinstance(url, str) for url in model.urls), f"{model.urls}")
            for url in model.urls:
                expect(url.startswith(("https://", "http://", "file:/")), url)


class Statistics:
    """Mean and deviation of each feature bin, as scripts.compute_stats writes them."""

    name = "statistics"

    def prepare(self, originals: Path) -> None:
        values = {"n_frames": 100, "mean": [-4.5, 1e-3, 2.0], "std": [1.5, 2.0, 0.25]}
        (originals / "stats.json").write_text(json.dumps(values, indent=1))

    def mutate(self, originals: Path, case: Path, random: np.random.Generator) -> None:
        content = (originals / "stats.json").read_text()
        (case / "stats.json").write_bytes(scribbled(content, random))

    def check(self, originals: Path, case: Path) -> None:
        mean, std = read_statistics(case / "stats.json")
        expect(len(mean) == len(std) > 0, "lengths")
        expect(all(math.isfinite(float(value)) for value in [*mean, *std]), "not finite")
        expect(min(std) >= 0, "negative")


class Log:
    """log.jsonl of a run that is continued: read, cut back to a step, written on."""

    name = "log"

    def prepare(self, originals: Path) -> None:
        log = JSONL(originals)
        for step in range(1, 8):
            log.scalars(step, {"train/loss": 3.0 / step, "train/lr": math.nan})
        log.text(4, "example", "said: 'yes'\n")
        log.close()

    def mutate(self, originals: Path, case: Path, random: np.random.Generator) -> None:
        content = (originals / "log.jsonl").read_text()
        (case / "log.jsonl").write_bytes(scribbled(content, random))

    def check(self, originals: Path, case: Path) -> None:
        before = [event for event in read_log(case / "log.jsonl") if event["step"] <= 5]
        log = JSONL(case)
        log.rewind(5)
        log.scalars(6, {"train/loss": 0.5})
        log.close()
        *kept, last = read_log(case / "log.jsonl")
        expect(last["step"] == 6 and last["train/loss"] == 0.5, "the new line is lost")
        expect(len(kept) in (len(before), len(before) - 1), f"{len(kept)} of {len(before)} lines")
        shutil.rmtree(case / "pictures", ignore_errors=True)


KINDS = [Registry(), Statistics(), Log()]
