"""What people meet when a command line goes wrong: one clear line, and an exit status."""

import difflib
import functools
import logging
import os
import re
import sys
from collections.abc import Callable

from src.utils.errors import UserError


def hydra_entry(config_name: str) -> Callable:
    """`hydra.main` over ../configs whose function returns an exit status.

    A UserError or a mistake on the command line ends in one line on stderr and status 1; a
    bug of ours keeps its traceback. HYDRA_FULL_ERROR=1 shows every traceback.
    """

    def decorate(function: Callable) -> Callable:
        import hydra

        wants_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
        os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then leaves its exceptions to us
        statuses: list[int] = []

        @functools.wraps(function)
        def collect(config):
            statuses.append(function(config) or 0)
            return statuses[-1]

        entry = hydra.main(version_base="1.3", config_path="../configs", config_name=config_name)
        run = entry(collect)

        @functools.wraps(function)
        def main() -> None:
            try:
                run()
            except Exception as error:
                message = explain(error)
                if message is None or wants_traceback:
                    raise
                print(f"error: {message}", file=sys.stderr)
                sys.exit(1)
            sys.exit(max(statuses, default=0))

        return main

    return decorate


def explain(error: BaseException) -> str | None:
    """One sentence for an error that its reader can mend; None for a bug of ours."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    if isinstance(error, UserError):
        return _without_worker_traceback(str(error))
    if isinstance(error, HydraException | OmegaConfBaseException):
        return _explain_config_error(error)
    return None


def _without_worker_traceback(message: str) -> str:
    # A DataLoader worker sends its error as text with a traceback in front of the sentence.
    return message.rsplit("UserError: ", 1)[-1].strip()


def _explain_config_error(error: BaseException) -> str:
    cause = error.__cause__ or error.__context__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    if match := re.search(r"Could not find '([\w/]+)/([\w.-]+)'", text):
        return _unknown_option(match[1], match[2], str(error))
    key = getattr(cause, "full_key", None) or getattr(error, "full_key", None)
    if "not in struct" in str(error) or "not in struct" in str(cause):
        return _unknown_key(str(key or text), error)
    if match := re.match(r"Cannot find primary config '([\w.-]+)'", text):
        return f"-cn={match[1]}: no such config; there are {', '.join(_top_configs())}."
    text = re.sub(r"\s*To append to your (config|default list) use.*", "", text)
    return f"{text.rstrip('.')}. `--cfg job` shows the config as it stands."


def _unknown_option(group: str, option: str, text: str) -> str:
    listed = text.split(f"Available options in '{group}':")[-1] if "Available" in text else ""
    options = [line.strip() for line in listed.splitlines() if re.fullmatch(r"\s*[\w.-]+", line)]
    return f"{group}={option}: no such choice{_suggest(option, options)}"


def _unknown_key(key: str, error: BaseException) -> str:
    node = getattr(error.__cause__ or error, "parent_node", None)
    siblings = [str(name) for name in node] if node is not None else []
    return (
        f"{key}: the config has no such key{_suggest(key.rsplit('.', 1)[-1], siblings)} "
        f"(`+{key}=…` adds a new one.)"
    )


def _suggest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(sorted(known))}."


def _top_configs() -> list[str]:
    from pathlib import Path

    folder = Path(__file__).resolve().parent.parent / "configs"
    return sorted(path.stem for path in folder.glob("*.yaml") if path.stem != "base")


def quiet_libraries() -> None:
    """Keep other people's chatter out of the log."""
    logging.captureWarnings(True)
    for name in ("matplotlib", "numba", "PIL", "git", "urllib3", "h5py"):
        logging.getLogger(name).setLevel(logging.WARNING)
