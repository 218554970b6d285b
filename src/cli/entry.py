"""A command with a config: how it starts, what it says when it fails, its exit status."""

import contextlib
import functools
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

from src.cli.explanations import CONFIGS, explain
from src.cli.words import flags_first
from src.utils.errors import UserError
from src.utils.interrupts import ctrl_c_ends

KEPT = "what is written stays, and is whole"
WANTS_TRACEBACK = "TRACEBACKS_WANTED"  # what HYDRA_FULL_ERROR was before we set it
Words = Callable[[list[str]], list[str]]


class Ended(NamedTuple):
    """How a run ended."""

    status: int  # of the process
    value: float  # what a sweep wants low; NaN where the run failed


def hydra_entry(config_name: str, words: Words = list) -> Callable:
    """`hydra.main` over configs/ whose function returns an exit status, or `Ended`.

    `words` is given what follows the command's name, and gives what Hydra is to read.

    A UserError or a mistake on the command line ends in one line on stderr and status 1; a
    bug of ours keeps its traceback. HYDRA_FULL_ERROR=1 shows every traceback.
    """

    def decorate(function: Callable) -> Callable:
        import hydra

        statuses: list[int] = []
        begun: list[Callable] = []

        @functools.wraps(function)
        def collect(config):
            begun.append(function)
            # Told here, before Hydra adds a line of its own.
            with _told_in_one_line():
                ended = function(config) or 0
                statuses.append(ended.status if isinstance(ended, Ended) else ended)
                return ended.value if isinstance(ended, Ended) else None  # for a sweeper

        entry = hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=config_name)
        run = entry(collect)

        @functools.wraps(function)
        def main() -> None:
            command = Path(sys.argv[0]).name
            with _exceptions_left_to_us(), ctrl_c_ends(command, KEPT), _told_in_one_line():
                sys.argv[1:] = words(flags_first(sys.argv[1:]))
                try:
                    run()
                except (OSError, ValueError) as error:
                    refused = None if begun else _refused_folder(error)
                    if refused is None:
                        raise
                    raise refused from error
            leave(max(statuses, default=0))

        return main

    return decorate


def leave(status: int) -> NoReturn:
    """End the process: at once where torchrun started it, with Python's own end elsewhere.

    PyTorch (2.14) never ends the threads of gloo that processes have met through, and where one
    of them frees a tensor while Python ends, the process aborts.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


@contextlib.contextmanager
def _exceptions_left_to_us() -> Iterator[None]:
    """Hydra shows none of its own; nothing of it stays when the command has ended."""
    wanted = os.environ.get("HYDRA_FULL_ERROR", "0")
    os.environ |= {"HYDRA_FULL_ERROR": "1", WANTS_TRACEBACK: wanted}
    try:
        yield
    finally:
        os.environ["HYDRA_FULL_ERROR"] = wanted
        del os.environ[WANTS_TRACEBACK]


@contextlib.contextmanager
def _told_in_one_line() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        message = explain(error)
        if message is None or os.environ.get(WANTS_TRACEBACK) == "1":
            raise
        print(f"error: {message}", file=sys.stderr)
        sys.exit(1)


def _refused_folder(error: BaseException) -> UserError | None:
    """Why Hydra could not make the run's folder or open its log there, if that is what failed."""
    cause = error if isinstance(error, OSError) else error.__cause__
    if not isinstance(cause, OSError) or cause.filename is None:
        return None
    return UserError(
        f"{cause.filename}: can't be made or written ({cause.strerror}). Choose another folder "
        "(run_dir=… for training, output=… for inference), or mend this one."
    )
