"""All that a run must remember to continue as if it had never stopped."""

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

from src.trainer.checkpoint import load_checkpoint
from src.trainer.checkpoint_folder import newest_good
from src.trainer.progress import Meter, Progress
from src.trainer.reports import StepReport
from src.trainer.stepper import Stepper
from src.trainer.weights import load_optimizer, load_weights
from src.utils import parallel
from src.utils.errors import UserError
from src.utils.seeding import random_state, restore_random_state

logger = logging.getLogger(__name__)


def capture(stepper: Stepper, progress: Progress, meter: Meter) -> dict[str, Any]:
    """Tensors and plain values for a checkpoint. All processes of a run must ask together.

    "recognizer" holds the weights to read speech with; where these are a moving average, the
    weights that training goes on with are "trained".
    """
    weights = stepper.recognizer.state_dict()
    average = stepper.moving_average
    return {
        "step": progress.step,
        "recognizer": average.state_dict() if average else weights,
        "trained": weights if average else None,
        "optimizer": stepper.optimizer.state_dict(),
        "optimizer_name": type(stepper.optimizer).__name__,
        "scaler": stepper.scaler.state_dict(),
        "random": parallel.gather(random_state()),  # each process draws its own dropout
        "progress": progress.to_dict(),
        # Else the log's next averages would lack them.
        "unlogged": [asdict(report) for report in meter.reports],
    }


def find_state(path: Path) -> tuple[Path, dict[str, Any]] | None:
    """The newest good checkpoint of a run folder, or the file at `path`; None where none is."""
    return newest_good(path) if path.is_dir() else (path, load_checkpoint(path))


def put_back(
    state: dict[str, Any], stepper: Stepper, description: dict[str, Any], path: Path
) -> tuple[Progress, list[StepReport]]:
    """Undo whatever happened since `capture`.

    Args:
        description: of the run now, with its "symbols".
        path: where `state` came from, for messages.

    Returns:
        How far the run had come, and the reports that were not logged yet.

    Raises:
        UserError: the checkpoint is of another model, vocabulary or optimizer, or weights only.
    """
    if "progress" not in state:
        raise UserError(
            f"{path}: holds weights only, not where a run stood; a run of its own begins with them "
            f"by init_from={path}."
        )
    load_weights(stepper.recognizer, state, description, path)
    if stepper.moving_average:  # one that begins now begins with the weights
        stepper.moving_average.load_state_dict(state["recognizer"])
    if state["trained"]:
        stepper.recognizer.load_state_dict(state["trained"])
    load_optimizer(stepper.optimizer, state, path)
    if state["scaler"]:  # empty where the earlier sitting was not in fp16
        stepper.scaler.load_state_dict(state["scaler"])
    _restore_random(state["random"], path)
    reports = [StepReport(**report) for report in state["unlogged"]]
    return Progress.from_dict(state["progress"]), reports


def _restore_random(states: list[dict], path: Path) -> None:
    if len(states) == parallel.n_processes():
        restore_random_state(states[parallel.rank()])
    else:
        logger.warning(
            "%s: saved by %d processes, resumed by %d: the data comes in the same order, but "
            "dropout draws other numbers than an uninterrupted run would.",
            *(path, len(states), parallel.n_processes()),
        )
