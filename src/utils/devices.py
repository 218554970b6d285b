"""Where tensors live and how precisely they are multiplied."""

import contextlib
import logging

import torch

from src.utils.errors import UserError

logger = logging.getLogger(__name__)

PRECISIONS = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def pick_device(name: str) -> torch.device:
    """The device called `name`; "auto" is CUDA where there is one, else the CPU.

    Raises:
        UserError: the name is unknown or that device is not on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"device={name}: unknown; use auto, cpu, cuda or cuda:N.") from None
    n_gpus = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= n_gpus:
        raise UserError(
            f"device={name}: PyTorch sees {n_gpus} CUDA devices here; use device=auto or "
            "device=cpu."
        )
    return device


def pick_precision(name: str, device: torch.device) -> str:
    """The precision called `name`; "auto" is bf16 where `device` multiplies it natively.

    fp16 on a CPU is warned of: a Conformer there makes no step in ten minutes.

    Raises:
        UserError: the name is unknown.
    """
    if name == "auto":
        return "bf16" if _multiplies_bf16(device) else "float32"
    if name not in PRECISIONS:
        raise UserError(f"precision={name}: expected auto, {', '.join(PRECISIONS)}.")
    if name == "fp16" and device.type == "cpu":
        logger.warning(
            "precision=fp16: a CPU is several times slower in it than in float32, most of all in "
            "convolutions; precision=auto takes what suits this one."
        )
    return name


def _multiplies_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # Without such instructions bf16 is put together from float32, which saves nothing.
    return _cpu_knows("avx512_bf16") or has_amx()


def has_amx() -> bool:
    """Whether the CPU multiplies tiles of bfloat16 (Intel's AMX)."""
    return _cpu_knows("amx_bf16")


def _cpu_knows(instructions: str) -> bool:
    return bool(getattr(torch.cpu, "get_capabilities", dict)().get(instructions))


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager:
    """Context in which matrix products run in "bf16" or "fp16"; nothing for "float32"."""
    if precision not in PRECISIONS:
        raise UserError(f"precision={precision}: expected one of {', '.join(PRECISIONS)}.")
    dtype = PRECISIONS[precision]
    return contextlib.nullcontext() if dtype is None else torch.autocast(device.type, dtype)
