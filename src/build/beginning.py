"""The weights that a training starts from, and what the log says of them."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from src.recognizer import Recognizer
from src.trainer import load_body, load_checkpoint, load_weights
from src.utils.errors import UserError

logger = logging.getLogger(__name__)

N_NAMED = 3  # keys of the transform that differ are named up to here


def begin(
    config: Mapping[str, Any], recognizer: Recognizer, description: Mapping[str, Any]
) -> None:
    """Load the weights that `init_from` names, all of them or all but the head's.

    Raises:
        UserError: no such checkpoint, one of another model, or of another vocabulary where its
            head is wanted; or a head to leave out, and nothing to leave it out of.
    """
    path, with_head = config["init_from"], config["init_head"]
    if not isinstance(with_head, bool):  # no and off are texts, which count as true
        raise UserError(f"init_head={with_head}: expected true or false.")
    if path:
        start_from(str(path), recognizer, description, with_head)
    elif not with_head:
        raise UserError(
            "init_head=false: leaves the head out of the weights that init_from names; give "
            "init_from=FILE_OR_RUN too."
        )
    elif not config["resume"] and config["model"].get("weights", "") is None:
        logger.warning(
            "model.weights=null: %s starts from random weights. Pretrained ones come by "
            "model.weights=FILE.safetensors, or with a checkpoint by init_from=FILE_OR_RUN.",
            config["model"]["_target_"],
        )


def start_from(
    path: str, recognizer: Recognizer, description: Mapping[str, Any], with_head: bool
) -> None:
    """Load the weights of the checkpoint at `path`, with those of the head or without.

    Raises:
        UserError: as of `begin`.
    """
    state = load_checkpoint(path)
    if with_head:
        load_weights(recognizer, state, description, path)
    else:
        load_body(recognizer, state, path)
    logger.info("Weights are those of %s%s.", path, "" if with_head else ", but for the head's")
    theirs = state.get("config")  # which a file of weights alone may lack
    if differing := list(_differing(theirs, {"transform": description["config"]["transform"]})):
        logger.warning(
            "%s: was trained on another transform than this run's (%s). Its weights know what its "
            "own features look like.",
            *(path, ", ".join(differing[:N_NAMED])),
        )


def _differing(theirs: Any, ours: Any, name: str = "") -> Iterator[str]:
    """Keys of both whose values differ, with these; an earlier version may lack some."""
    if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
        for key in sorted(theirs.keys() & ours.keys()):
            yield from _differing(theirs[key], ours[key], f"{name}.{key}" if name else key)
    elif name and theirs != ours:
        yield f"{name}={theirs}, now {ours}"
