"""Checkpoints: their contents stand under CRC-32s, so what is read is the original."""

from pathlib import Path

import numpy as np
import torch

from src.build.inference import load_recognizer
from src.trainer import load_checkpoint
from tests.cli.in_process import untrained
from tests.fuzz.mutations import damaged
from tests.fuzz.pool import expect


class Checkpoint:
    """A tiny recogniser, as inference loads it."""

    name = "checkpoint"

    def prepare(self, originals: Path) -> None:
        untrained(originals / "model.pt")

    def mutate(self, originals: Path, case: Path, random: np.random.Generator) -> None:
        content = (originals / "model.pt").read_bytes()
        if random.random() < 0.5:  # the directory of the zip archive, at its end
            place = len(content) - int(random.integers(1, 4_000))
            tail = damaged(content[place:], random, [content])[0]
            content = content[:place] + tail
        else:
            content = damaged(content, random)[0]
        (case / "model.pt").write_bytes(content)

    def check(self, originals: Path, case: Path) -> None:
        state = load_checkpoint(case / "model.pt")
        truth = torch.load(originals / "model.pt", weights_only=True)
        weights, wanted = state.pop("recognizer"), truth.pop("recognizer")
        expect(state == truth, "other plain values")
        expect(weights.keys() == wanted.keys(), "other weights")
        for name, value in wanted.items():
            expect(torch.equal(weights[name], value), f"{name} differs")
        load_recognizer(case / "model.pt")


KINDS = [Checkpoint()]
