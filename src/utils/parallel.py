"""Several processes that train one model, as torchrun starts them; alone, all this does nothing.

torchrun tells each process its number through the environment (RANK, WORLD_SIZE, LOCAL_RANK,
MASTER_ADDR). Tensors on GPUs are added up with NCCL, those on the CPU with gloo.
"""

import contextlib
import datetime
import os
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, distributed

from src.utils.errors import UserError

TIMEOUT = datetime.timedelta(minutes=30)  # the first process may validate or write for long


class PeerLost(UserError):
    """Another process of this run has ended; what went wrong is in its own message."""


def start() -> None:
    """Meet the other processes, where torchrun has started us; ask for nothing otherwise."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or distributed.is_initialized():
        return
    gpus = torch.cuda.is_available()
    if gpus:
        torch.cuda.set_device(local_rank())
    distributed.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo", timeout=TIMEOUT)


def stop() -> None:
    """Leave the others, when all are ready to: gloo's threads abort a process that they outlive."""
    if distributed.is_initialized():
        with _explained():
            distributed.barrier()
        distributed.destroy_process_group()


def rank() -> int:
    """Number of this process, 0 … n − 1."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def local_rank() -> int:
    """Number of this process on its machine, which is that of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def n_processes() -> int:
    """How many train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def is_first() -> bool:
    """Whether this process is the one that writes and speaks."""
    return rank() == 0


def add_up(values: Tensor) -> Tensor:
    """The sum over all processes, in place; no gradient passes.

    Raises:
        PeerLost: another process has ended.
    """
    if n_processes() > 1:
        with _explained():
            distributed.all_reduce(values)
    return values


def count(n: int) -> int:
    """The sum of a number that each process knows of its own share.

    Raises:
        PeerLost: another process has ended.
    """
    return n if n_processes() == 1 else int(add_up(torch.tensor([n])).item())


def largest(*values: int) -> list[int]:
    """The largest of each of these numbers over all processes: what one wants, all do.

    Raises:
        PeerLost: another process has ended.
    """
    if n_processes() == 1:
        return list(values)
    tensor = torch.tensor(values)
    with _explained():
        distributed.all_reduce(tensor, distributed.ReduceOp.MAX)
    return tensor.tolist()


def add_up_with_gradient(values: Tensor) -> Tensor:
    """The sum over all processes; each one's gradient reaches every addend."""
    return values if n_processes() == 1 else _Sum.apply(values)


def gather(value: Any) -> list[Any]:
    """What each process has, in the order of their numbers. Plain values and CPU tensors."""
    if n_processes() == 1:
        return [value]
    values = [None] * n_processes()
    with _explained():
        distributed.all_gather_object(values, value)
    return values


def from_first(value: Any) -> Any:
    """What the first process has."""
    if n_processes() == 1:
        return value
    values = [value]
    with _explained():
        distributed.broadcast_object_list(values)
    return values[0]


class _Sum(torch.autograd.Function):
    """s = Σ x_p in every process p. Each loss L_q depends on s, so ∂L/∂x_p = Σ ∂L_q/∂s."""

    @staticmethod
    def forward(ctx, values: Tensor) -> Tensor:
        return add_up(values.clone())

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return add_up(gradient.clone())


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # gloo's "Connection closed by peer", NCCL's remote error
        reason = str(error).split("\n")[0][:200]
        raise PeerLost(
            f"process {rank()} of {n_processes()}: another process of this run has ended or does "
            f"not answer ({reason}); its own message says why."
        ) from error
