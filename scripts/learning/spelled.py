"""One checkpoint of a reader and the speller that learnt from it."""

from collections.abc import Sequence
from typing import Any

import torch

from src.models.spelled import Spelled
from src.spelling import Learner
from src.text import BPE
from src.text.characters import BLANK


def joined(
    reader: dict[str, Any],
    n_features: int,
    learner: Learner,
    pieces: Sequence[str],
    settings: dict[str, Any],
) -> dict[str, Any]:
    """The checkpoint that hears and spells.

    Args:
        reader: its checkpoint. n_features: of its front end.
        learner: whose running mean of the weights becomes the speller.
        pieces: to write, without the blank.
        settings: of `Spelled`, without those that follow from the rest.
    """
    config = reader["config"]
    n_heard = len(reader["symbols"])
    sizes = {"n_features": n_features, "n_tokens": n_heard}
    model = {"_target_": f"src.models.{Spelled.__name__}", **settings, "n_heard": n_heard}
    text = {"_target_": f"src.text.{BPE.__name__}", "model": None, "pieces": list(pieces)}
    of_reader = {
        name.replace("model.", "model.reader.", 1): tensor
        for name, tensor in reader["recognizer"].items()
    }
    of_speller = {f"model.speller.{name}": tensor.cpu() for name, tensor in learner.mean.items()}
    return {
        "config": config | {"text": text, "model": model | {"reader": config["model"] | sizes}},
        "symbols": [BLANK, *pieces],
        "name": f"{reader['name']}, spelled",
        "versions": {"torch": torch.__version__.split("+")[0]},
        "step": learner.step,
        "recognizer": of_reader | of_speller,
    }
