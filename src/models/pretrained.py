"""Weights that other people published, into a module of ours."""

from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from src.utils.errors import UserError


def load_pretrained(
    module: nn.Module, path: Path, other_names: Sequence[tuple[str, str]], key: str
) -> None:
    """Fill every parameter of `module` from a safetensors file; what else it holds is left.

    Args:
        other_names: parts of names in such files and what `module` calls them, tried in order.
        key: the config key that named the file, for messages.

    Raises:
        UserError: no such file, a damaged one, or one that lacks a weight or has another shape.
    """
    if not path.is_file():
        raise UserError(f"{key}={path}: no such file; give a safetensors file.")
    try:
        stored = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(
            f"{key}={path}: not a safetensors file ({error}); download it again."
        ) from error
    stored = {_renamed(name, other_names): tensor for name, tensor in stored.items()}
    wanted = module.state_dict()
    for name, ours in wanted.items():
        _check(stored.get(name), ours, name, f"{key}={path}")
    module.load_state_dict({name: stored[name].to(wanted[name].dtype) for name in wanted})


def _renamed(name: str, other_names: Sequence[tuple[str, str]]) -> str:
    for theirs, ours in other_names:
        name = name.replace(theirs, ours)
    return name


def _check(theirs: Tensor | None, ours: Tensor, name: str, where: str) -> None:
    if theirs is None:
        raise UserError(f"{where}: has no weight {name}; is it that of another model?")
    if theirs.shape != ours.shape:
        raise UserError(
            f"{where}: {name} has the shape {list(theirs.shape)}, but this config makes "
            f"{list(ours.shape)}; is it a model of another size?"
        )
    if not theirs.isfinite().all():
        raise UserError(f"{where}: {name} holds NaN or infinity; download it again.")
