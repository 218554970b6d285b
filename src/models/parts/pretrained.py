"""Weights that other people published, into a module of ours."""

import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from src.utils.errors import UserError
from src.utils.tables import counted


def load_pretrained(
    module: nn.Module,
    path: Path,
    other_names: Sequence[tuple[str, str]],
    key: str,
    convert: Callable[[dict[str, Tensor]], dict[str, Tensor]] = dict,
    nothing_left: tuple[str, ...] = (),
) -> None:
    """Fill every parameter of `module` from a file; what else that holds is left.

    Args:
        path: .safetensors, or a state dict as torch saves it, .pth, .pt or .bin; nothing in it is
            run.
        other_names: parts of names in such files and what `module` calls them, tried in order.
        key: the config key that named the file, for messages.
        convert: makes those of `module` of the renamed weights, where more than names differ.
        nothing_left: of weights whose names so begin, a file may have none but those of `module`.

    Raises:
        UserError: no such file, a damaged one, or one that lacks a weight, has another shape or
            more than there is a place for.
    """
    if not path.is_file():
        raise UserError(f"{key}={path}: no such file; give a safetensors file.")
    stored = _read(path, key)
    stored = convert({_renamed(str(name), other_names): t for name, t in stored.items()})
    # Older files don't tell for how many batches BatchNorm's averages were taken.
    state = module.state_dict()
    wanted = [name for name in state if not name.endswith(".num_batches_tracked")]
    for name in wanted:
        _check(stored.get(name), state[name], name, f"{key}={path}")
    left = [name for name in stored if name.startswith(nothing_left) and name not in state]
    if left:
        raise UserError(
            f"{key}={path}: has {counted(len(left), 'weight')} that this config has no place for, "
            f"such as {left[0]}; is it that of another model?"
        )
    module.load_state_dict(state | {name: stored[name].to(state[name].dtype) for name in wanted})


def _read(path: Path, key: str) -> Mapping[str, Tensor]:
    if path.suffix in (".pth", ".pt", ".bin"):
        try:
            stored = torch.load(path, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError) as error:
            raise UserError(
                f"{key}={path}: not a file of weights only ({str(error)[:80]}); download it again, "
                "or take a safetensors file."
            ) from error
        if isinstance(stored, Mapping):
            return {name: value for name, value in stored.items() if isinstance(value, Tensor)}
        raise UserError(f"{key}={path}: not a state dict; save model.state_dict() alone.")
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(
            f"{key}={path}: not a safetensors file ({error}); download it again."
        ) from error


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
