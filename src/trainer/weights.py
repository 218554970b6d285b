"""Putting stored weights and moments back, or saying clearly why they don't fit."""

from pathlib import Path
from textwrap import shorten
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from src.utils.errors import UserError

HEAD = "model.head."  # what every model calls the layers that end at the vocabulary


def load_body(recognizer: nn.Module, state: dict[str, Any], path: str | Path) -> None:
    """Load the weights of a checkpoint, but leave the head as it is: for another vocabulary.

    Args:
        state: a loaded checkpoint.
        path: where `state` came from, for messages.

    Raises:
        UserError: weights of another model or front end.
    """
    head = {k: v for k, v in recognizer.state_dict().items() if k.startswith(HEAD)}
    body = {k: v for k, v in state["recognizer"].items() if not k.startswith(HEAD)}
    _load(recognizer, body | head, state, path)


def load_weights(
    recognizer: nn.Module, state: dict[str, Any], description: dict[str, Any], path: str | Path
) -> None:
    """Load the weights of a checkpoint into a recogniser of the same shape and vocabulary.

    Args:
        state: a loaded checkpoint.
        description: what the recogniser was built from, with its "symbols".
        path: where `state` came from, for messages.

    Raises:
        UserError: another vocabulary, or weights of another model.
    """
    theirs, ours = tuple(state.get("symbols", ())), tuple(description["symbols"])
    if theirs != ours:
        raise UserError(
            f"{path}: trained for a vocabulary of {len(theirs)} symbols ({_sample(theirs)}), but "
            f"this config has {len(ours)} ({_sample(ours)}). Choose the same text=… as the "
            "checkpoint, or start without it; init_from=… init_head=false takes all but the head."
        )
    _load(recognizer, state["recognizer"], state, path)


def _load(
    recognizer: nn.Module, weights: dict[str, Tensor], state: dict[str, Any], path: str | Path
) -> None:
    try:
        recognizer.load_state_dict(weights)
    except (RuntimeError, KeyError, TypeError) as error:
        lines = str(error).strip().split("\n")
        detail = shorten(lines[1] if len(lines) > 1 else lines[0], 200, placeholder=" …")
        raise UserError(
            f"{path}: holds the weights of another model or front end ({detail}). Choose the "
            f"same model=… and transform=… as the checkpoint{_parts_of(state)}."
        ) from error


def _parts_of(state: dict[str, Any]) -> str:
    """What the checkpoint's model and feature are, for messages."""
    paths = (("model", "_target_"), ("transform", "features", "_target_"))
    model, feature = (_at(state.get("config"), *path) for path in paths)
    return f", which has {model} on {feature}" if model and feature else ""


def _at(node: Any, *path: str) -> Any:
    """What lies there; None where nothing does, or the file holds something else."""
    for key in path:
        node = node.get(key) if isinstance(node, dict) else None
    return node


def load_optimizer(optimizer: Optimizer, state: dict[str, Any], path: str | Path) -> None:
    """Take up the moments of an earlier sitting; rates and decay are those of the config now.

    Args:
        state: a checkpoint of the trainer.
        path: where `state` came from, for messages.

    Raises:
        UserError: the earlier sitting had another optimizer, or other weights learned in it.
    """
    ours, theirs = type(optimizer).__name__, state["optimizer_name"]
    if theirs != ours:
        raise UserError(
            f"{path}: trained with {theirs}, but this config has {ours}, which keeps other "
            "moments. Choose the same optimizer=…, or start a new run with init_from=…"
        )
    settings = [{k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups]
    try:
        optimizer.load_state_dict(state["optimizer"])
    except ValueError as error:  # other groups than those of `parameter_groups` now
        raise UserError(
            f"{path}: holds moments for other groups of weights than this config makes. Give "
            "model.encoder_lr_factor and model.n_tuned_layers the values that the run had, or "
            "start a new run with init_from=…"
        ) from error
    # Else the stored groups would win, and optimizer.lr=… on a resumed run would do nothing.
    for group, configured in zip(optimizer.param_groups, settings, strict=True):
        group.update({"peak_lr": configured["lr"]} | configured)


def _sample(symbols: tuple[str, ...]) -> str:
    return " ".join(repr(symbol) for symbol in symbols[:6]) + (" …" if len(symbols) > 6 else "")
