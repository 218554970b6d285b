"""A config node's `_target_` → a call.

A config may come from a downloaded checkpoint, so a target is not any dotted path: each part
of the config may only name what one room exports in `__all__`, and an optimizer is one of three.
"""

import importlib
import inspect
import typing
from collections.abc import Mapping, Sequence
from types import NoneType, UnionType
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, MissingMandatoryValue

from src.utils.errors import UserError, nearest

ROOM_OF = {
    "text": "text",
    "transform": "transforms",
    "augment": "transforms",
    "model": "models",
    "decoder": "decoders",
    "dataset": "datasets",
    "schedule": "trainer",
    "logger": "logger",
}
OPTIMIZERS = {
    "torch.optim.AdamW": torch.optim.AdamW,
    "torch.optim.Adam": torch.optim.Adam,
    "torch.optim.SGD": torch.optim.SGD,
}
PLAIN_TYPES = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    NoneType: "null",
}
# What a constructor raises that met a value it can't use.
_STUMBLES = (TypeError, ValueError, RuntimeError, ArithmeticError, LookupError, MemoryError)


def build(node: Mapping[str, Any], where: str, **parts: Any) -> Any:
    """Call the target of a config node with its keys and the parts it can't name.

    Args:
        node: a mapping with `_target_` and the constructor's keywords; nested nodes with a
            `_target_` of their own are built first.
        where: the config key of the node, for messages.
        parts: objects from elsewhere, such as `text=`.

    Raises:
        UserError: no such target, or keys that its constructor doesn't take.
    """
    if isinstance(node, DictConfig):
        node = plain(node)
    if not isinstance(node, Mapping):
        raise UserError(f"{where}={node}: expected keys with a _target_ among them.")
    target = find_target(str(node.get("_target_")), where)
    keys = {
        key: build(value, f"{where}.{key}")
        if isinstance(value, Mapping) and "_target_" in value
        else value
        for key, value in node.items()
        if key != "_target_"
    }
    check_keys(target, keys, set(parts), where)
    try:
        return target(**keys, **parts)
    except UserError:
        raise
    except _STUMBLES as error:  # over a value whose kind no annotation tells, or whose size
        raise UserError(
            f"{where}: {node['_target_']} refuses its keys ({str(error)[:200]}). "
            "HYDRA_FULL_ERROR=1 before the command shows where."
        ) from error


def find_target(name: str, where: str) -> Any:
    """The class or function that a `_target_` names, if this part of a config may call it.

    Args:
        name: the dotted path.
        where: the config key; its first part tells the room.
    """
    part = where.split(".")[0]
    if part == "optimizer":
        if name in OPTIMIZERS:
            return OPTIMIZERS[name]
        raise UserError(f"{where}._target_={name}: expected one of {', '.join(OPTIMIZERS)}.")
    room = f"src.{ROOM_OF[part]}"
    module_name, _, attribute = name.rpartition(".")
    if module_name != room:
        raise UserError(
            f"{where}._target_={name}: only parts of {room} may stand here, written {room}.<Name>."
        )
    exported = importlib.import_module(room).__all__
    if attribute not in exported:
        raise UserError(
            f"{where}._target_={name}: {room} has no {attribute}{nearest(attribute, exported)} "
            f"A class of one's own is imported in {room.replace('.', '/')}/__init__.py and named "
            "in its __all__."
        )
    return getattr(importlib.import_module(room), attribute)


def check_keys(target: Any, given: Mapping[str, Any], parts: set[str], where: str) -> None:
    """Refuse keys that `target` doesn't take, values of another type, and name what it lacks.

    Args:
        given: keys of the config.
        parts: names of arguments that come from elsewhere, never from a config.
        where: the config key of the node; "" for the config itself.
    """
    if not isinstance(given, Mapping):
        raise UserError(f"{where}={given}: expected keys of {target.__name__}.")
    parameters = parameters_of(target)
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    known = [name for name in parameters if name not in parts]
    for key in given:
        if key in parts or (key not in parameters and not takes_any):
            meant = nearest(key, known, within=_full(where, ""))
            raise UserError(f"{_full(where, key)}: {target.__name__} has no such key{meant}")
    _check_types(target, given, where)
    named = (p for p in parameters.values() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL))
    missing = [p.name for p in named if p.default is p.empty and p.name not in {*given, *parts}]
    if missing:
        raise UserError(f"{where}: {target.__name__} also needs {', '.join(missing)}.")


def parameters_of(target: Any) -> dict[str, inspect.Parameter]:
    """What `target` takes by name; the ** of a class hands on to the class above it."""
    parameters = dict(inspect.signature(target).parameters)
    for above in _classes_above(target):
        any_other = [p for p in parameters.values() if p.kind is p.VAR_KEYWORD]
        if not any_other:
            break
        del parameters[any_other[0].name]
        parameters |= {n: p for n, p in _optional(above) if n not in parameters}
    return parameters


def _classes_above(target: Any) -> list[type]:
    """Those that have a constructor of their own, nearest first."""
    above = target.__mro__[1:-1] if inspect.isclass(target) else ()
    return [cls for cls in above if "__init__" in vars(cls)]


def _optional(cls: type) -> list[tuple[str, inspect.Parameter]]:
    named = inspect.signature(cls).parameters.items()
    return [(n, p) for n, p in named if p.default is not p.empty or p.kind is p.VAR_KEYWORD]


def _check_types(target: Any, values: Mapping[str, Any], where: str) -> None:
    """Hold plain values against the annotations of `target`; other annotations are its own."""
    hints = {}
    for described in [target, *_classes_above(target)][::-1]:
        is_class = inspect.isclass(described)
        hints |= typing.get_type_hints(described.__init__ if is_class else described)
    for key, value in values.items():
        allowed = _members(hints.get(key)) - {torch.Tensor}
        full = _full(where, key)
        if torch.nn.Module in allowed and not isinstance(value, torch.nn.Module):
            raise UserError(f"{full}={value}: expected keys with a _target_ among them.")
        if not allowed <= set(PLAIN_TYPES) or type(value) in allowed:
            continue
        if isinstance(value, int) and not isinstance(value, bool) and float in allowed:
            continue
        expected = " or ".join(PLAIN_TYPES[kind] for kind in PLAIN_TYPES if kind in allowed)
        raise UserError(f"{full}={value}: expected {expected}.")


def _full(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _members(hint: Any) -> set[Any]:
    """The types of a union, or the one type that an annotation is."""
    is_union = typing.get_origin(hint) in (typing.Union, UnionType)
    return set(typing.get_args(hint)) if is_union else {hint}


def plain(config: DictConfig) -> dict[str, Any]:
    """A config as dicts, lists and values, interpolations resolved.

    Raises:
        UserError: a mandatory value was left out.
    """
    try:
        return OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except (MissingMandatoryValue, InterpolationToMissingValueError) as error:
        key = error.full_key
        raise UserError(f"{key}: was left out; give it a value with {key}=…") from error


def subnode(config: Mapping[str, Any], name: str, needed: Sequence[str]) -> Mapping[str, Any]:
    """The keys under `name`, of which `needed` are there; raises UserError where they are not."""
    node = config[name]
    if not isinstance(node, Mapping):
        raise UserError(f"{name}={node}: expected keys, among them {', '.join(needed)}.")
    if missing := [key for key in needed if key not in node]:
        raise UserError(f"{name}: also needs {', '.join(missing)}.")
    return node


def check_top(config: Mapping[str, Any], known: Sequence[str], example: str) -> None:
    """Refuse a config without a key that is read, or with one that nothing reads.

    Args:
        known: the keys at the top of the config.
        example: the name of a config that has them.
    """
    if missing := [key for key in known if key not in config]:
        raise UserError(
            f"The config has no {', '.join(missing)}; choose one that has, such as -cn={example}."
        )
    for key in config:
        if key not in known:
            raise UserError(f"{key}: nothing reads this key{nearest(str(key), known)}")
