"""Random numbers that can be had again."""

import os
import random

import numpy as np
import torch

from src.utils.errors import UserError


def seed_everything(seed: int, deterministic: bool = False) -> None:
    """Seed Python, NumPy and every PyTorch generator.

    Args:
        deterministic: also refuse kernels whose results differ between runs; False allows them.

    Raises:
        UserError: a seed that PyTorch can't take.
    """
    if not -(2**63) <= seed < 2**63:
        raise UserError(f"seed={seed}: expected a whole number below 2^63, such as 1.")
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    if deterministic:
        # cuBLAS reads this when it starts; without it matrix products may differ.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
    # An earlier run of this process may have chosen otherwise. Asked first, since the call imports
    # PyTorch's compiler, two seconds.
    if deterministic != torch.are_deterministic_algorithms_enabled():
        torch.use_deterministic_algorithms(deterministic)


def random_state() -> dict[str, torch.Tensor | list[torch.Tensor]]:
    """PyTorch's generators as tensors, fit for a checkpoint.

    Only PyTorch draws numbers during training: the order of the data and the augmentation
    follow from seed, epoch and step alone.
    """
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def restore_random_state(state: dict) -> None:
    """Undo whatever was drawn since `random_state`."""
    torch.set_rng_state(state["cpu"].cpu())
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([s.cpu() for s in state["cuda"]])


def step_generator(seed: int, step: int, device: torch.device, process: int = 0) -> torch.Generator:
    """A generator that depends on these numbers only, so a resumed step augments alike."""
    mixed = (seed * 1_000_003 + step) * 10_007 + process if process else seed * 1_000_003 + step
    return torch.Generator(device).manual_seed(mixed % 2**63)
