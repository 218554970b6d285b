"""Trainings of minutes to hours from text: what they are told, and their state while they last."""

import argparse
import contextlib
import pickle
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import torch

from src.utils.arguments import number_above, whole_number
from src.utils.errors import UserError
from src.utils.files import check_writable
from src.utils.tensor_files import save_tensors

DAMAGE = (pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError, RuntimeError)
NEXT_TIME = "the same command goes on from the step that is kept beside --out"


def add_learning_arguments(parser: argparse.ArgumentParser, lr: float, seed: int) -> None:
    """How, where and how often kept: what all trainings of this kind are told.

    Args:
        lr, seed: where none is given.
    """
    add, above = parser.add_argument, number_above(0)
    add("--lr", type=above, default=lr, help="highest learning rate (default %(default)s)")
    add("--seed", type=whole_number(0, 2**31), default=seed, help="default %(default)s")
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    add("--precision", default="auto", help="auto, float32 or bf16")
    add("--save_every_minutes", type=above, default=5.0, help="default 5")


def check_precision(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End the program where a precision is asked for that these trainings can't have."""
    if options.precision == "fp16":
        parser.error("--precision fp16 would need its loss scaled; take bf16 or float32")


class Learner(Protocol):
    """Whose state is kept."""

    step: int

    def state(self) -> dict[str, Any]:
        """Tensors and numbers that `restore` takes."""

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from there."""


class Kept:
    """A training's state in OUT.training, while it lasts.

    Args:
        out: what the training will write.
        of: what tells this training from another, plain values.
        every_minutes: how often `save_if_due` saves.

    Raises:
        UserError: what is kept belongs to another training, or is damaged; or nothing can be
            written there.
    """

    def __init__(self, out: Path, of: dict[str, Any], every_minutes: float) -> None:
        self.path = beside(out, "training")
        self.of, self.every_s = of, 60 * every_minutes
        self._last = time.monotonic()
        if self.path.is_file():
            self._read()
        else:
            check_writable(self.path)

    def restore(self, learner: Learner) -> None:
        """Go on where an earlier training of the same kind ended, if one did.

        Raises:
            UserError: what is kept is damaged.
        """
        if self.path.is_file():
            state = self._read()
            with self._whole():
                learner.restore(state)
            print(f"{self.path}: goes on at step {learner.step:,}")

    def save(self, learner: Learner) -> None:
        """Keep the state as it is now."""
        save_tensors(self.path, learner.state() | {"of": self.of})
        self._last = time.monotonic()

    def save_if_due(self, learner: Learner) -> None:
        """The same, where some minutes have passed."""
        if time.monotonic() - self._last > self.every_s:
            self.save(learner)

    def remove(self) -> None:
        """The training has ended."""
        self.path.unlink(missing_ok=True)

    def _read(self) -> dict[str, Any]:
        with self._whole():
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            same = state["of"] == self.of
        if not same:
            raise UserError(
                f"{self.path}: belongs to a training with other text or settings; give the same "
                "again to finish it, or delete it to start over."
            )
        return state

    @contextlib.contextmanager
    def _whole(self) -> Iterator[None]:
        """What fails within says that the file is damaged."""
        try:
            yield
        except torch.OutOfMemoryError:  # a RuntimeError, but the file is good
            raise
        except OSError as error:
            raise UserError(f"{self.path}: could not be read ({error.strerror}).") from error
        except DAMAGE as error:
            raise UserError(f"{self.path}: damaged ({error}); delete it to start over.") from error


def beside(out: Path, what: str) -> Path:
    """OUT.`what`."""
    return out.with_name(f"{out.name}.{what}")
