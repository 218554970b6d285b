"""A recipe that costs seconds."""

from pathlib import Path

import numpy as np

from scripts.benchmarks.corpus import PART, write_tones
from scripts.benchmarks.recipe import Recipe

SECONDS = (0.9, 1.5, 0.6, 1.1, 2.0, 1.4, 0.7)
TINY = ("model.channels=[4,4,4,4]", "model.rnn_width=8")


def tiny_recipe(root: Path | str, **changes) -> Recipe:
    """Seven tones, a ConvNet of a few thousand weights, everything in this process."""
    if not (Path(root) / PART).exists():
        write_tones(Path(root), np.array(SECONDS))
    usual = {"max_batch_s": 4.0, "n_workers": 0, "overrides": list(TINY)}
    return Recipe(model="convnet_small", root=str(root), part=PART, **(usual | changes))
