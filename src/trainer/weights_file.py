"""Checkpoints to be published: what inference needs in one safetensors file, and nothing that runs.

Tensors lie as safetensors keeps them; config, vocabulary and versions are JSON in its metadata,
with a SHA-256 over all of it, since safetensors itself has no checksum.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from src.utils.errors import UserError

SUFFIX = ".safetensors"
KEPT = ("config", "symbols", "name", "versions", "step", "decoder")  # beside the weights
_KEY = "checkpoint"  # one entry: of several, safetensors keeps no order, and bytes would vary


def to_published(state: Mapping[str, Any], *, half: bool) -> bytes:
    """The bytes of a published file: the same for the same state.

    Args:
        state: a checkpoint; optimizer, random numbers and progress are left behind.
        half: see `halved`; otherwise weights stay as they are.

    Raises:
        UserError: a weight is NaN or infinite, or float16 has no value for it.
    """
    weights = {name: tensor.contiguous().clone() for name, tensor in state["recognizer"].items()}
    for name, tensor in weights.items():
        if not tensor.isfinite().all():
            raise UserError(f"{name} holds NaN or infinity; publish an earlier checkpoint.")
    weights = halved(weights) if half else weights
    facts = {"format": state["format"]} | {key: state[key] for key in KEPT if key in state}
    facts = json.loads(json.dumps(facts))  # as they will be read: tuples are lists
    facts["sha256"] = _digest(facts, weights)
    return save(weights, {_KEY: json.dumps(facts, ensure_ascii=False)})


def from_published(content: bytes) -> dict[str, Any]:
    """The state in a published file, its weights in float32.

    Raises:
        ValueError, SafetensorError or another: it is damaged, or none of ours.
    """
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    facts = json.loads(header["__metadata__"][_KEY])
    weights = load(content)
    if facts.pop("sha256") != _digest(facts, weights):
        raise ValueError("its content is not what its checksum tells")
    wide = {name: t.float() if t.is_floating_point() else t for name, t in weights.items()}
    return facts | {"recognizer": wide}


def halved(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Matrices and kernels in float16, which has 3 bits of mantissa more than bfloat16.

    Vectors stay as they are: they weigh next to nothing, and BatchNorm's variances and the
    statistics of a front end have a wider range than float16.

    Raises:
        UserError: a weight is beyond float16's largest number, 65,504.
    """
    narrow = {}
    for name, tensor in weights.items():
        wide = tensor.dim() > 1 and tensor.is_floating_point()
        narrow[name] = tensor.half() if wide else tensor
        if not narrow[name].isfinite().all():
            raise UserError(
                f"{name} reaches {tensor.abs().max():.4g}, beyond float16's 65,504; publish it in "
                "--precision float32."
            )
    return narrow


def _digest(facts: Mapping[str, Any], weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of plain values and tensors, whatever their order."""
    total = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name, tensor in sorted(weights.items()):
        total.update(f"{name} {tensor.dtype} {list(tensor.shape)} ".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()
