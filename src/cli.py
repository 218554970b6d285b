"""What people meet when a command line goes wrong: one clear line, and an exit status."""

import contextlib
import functools
import logging
import os
import re
import shlex
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, NoReturn

from src.utils.errors import UserError, nearest
from src.utils.interrupts import ctrl_c_ends

KEPT = "what is written stays, and is whole"
CONFIGS = Path(__file__).resolve().parent.parent / "configs"
FROM_CHECKPOINT = ("model", "text", "transform")  # groups of training that inference finds there
WANTS_TRACEBACK = "TRACEBACKS_WANTED"  # what HYDRA_FULL_ERROR was before we set it


class Ended(NamedTuple):
    """How a run ended."""

    status: int  # of the process
    value: float  # what a sweep wants low; NaN where the run failed


def hydra_entry(config_name: str) -> Callable:
    """`hydra.main` over configs/ whose function returns an exit status, or `Ended`.

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
            _overrides_last()
            command = Path(sys.argv[0]).name
            with _exceptions_left_to_us(), ctrl_c_ends(command, KEPT), _told_in_one_line():
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


def _overrides_last() -> None:
    # Hydra's parser takes flags on one side of the overrides only; people write them anywhere.
    def is_override(word: str) -> bool:
        return word.startswith("~") or ("=" in word and not word.startswith("-"))

    sys.argv[1:] = sorted(sys.argv[1:], key=is_override)


def explain(error: BaseException) -> str | None:
    """One sentence for an error that its reader can mend; None for a bug of ours."""
    import yaml
    from hydra.errors import HydraException, MissingConfigException, OverrideParseException
    from omegaconf.errors import OmegaConfBaseException

    chain = error
    while chain is not None:  # one of ours may come wrapped, from an interpolation say
        if isinstance(chain, UserError):
            return str(chain)
        # OmegaConf cuts the cause off; what it was handling is still there.
        wrapped = isinstance(chain, OmegaConfBaseException)
        chain = chain.__cause__ or (chain.__context__ if wrapped else None)
    if isinstance(error, OverrideParseException):
        return _unread_override(str(error.override))
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return _missing_file(error.missing_cfg_file, error.options)
    if isinstance(error, ValueError) and str(error).startswith("Config group override"):
        return f"{error}; a group takes the name of one of its files, as model=lstm does."
    if isinstance(error, yaml.YAMLError):
        return _unread_file(error)
    if isinstance(error, HydraException | OmegaConfBaseException):
        return _config_error(error)
    if _stumbled_in_hydra(error):
        return _not_composed(error)
    return None


def _unread_override(override: str) -> str:
    key, equals, value = override.partition("=")
    if not key or not equals:
        return f"{override}: expected key=value, or group=choice."
    return (
        f"{override}: can't be read. A value with brackets, commas, = or letters such as é in it "
        f"stands in quotes of its own: {in_quotes(key, value)}"
    )


def in_quotes(key: str, value: str) -> str:
    """KEY=VALUE for a command line, so that neither the shell nor Hydra misreads the value."""
    return shlex.quote(for_hydra(key, value))


def for_hydra(key: str, value: str) -> str:
    """KEY="VALUE" for `compose`, whatever letters the value has."""
    value = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{key}="{value}"'


def _missing_file(name: str, options: list[str] | None) -> str:
    group, _, choice = name.removesuffix(".yaml").rpartition("/")
    if group:
        known = options or [path.stem for path in (CONFIGS / group).glob("*.yaml")]
        return f"{group}={choice}: no such choice{nearest(choice, known)}"
    known = [path.stem for path in CONFIGS.glob("*.yaml") if path.stem != "base"]
    return f"-cn={choice}: no such config{nearest(choice, known)}"


def _unread_file(error: Exception) -> str:
    """Where a config file stops being YAML, and why."""
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        where, why = f"{mark.name}, line {mark.line + 1}, column {mark.column + 1}", error.problem
    else:  # a character that no YAML file may hold
        where = f"{getattr(error, 'name', 'a config')}, character {getattr(error, 'position', '?')}"
        why = getattr(error, "reason", str(error))
    return f"{where}: not YAML ({why}). Mend the line, or restore the file."


def _stumbled_in_hydra(error: BaseException) -> bool:
    """Whether Hydra itself, called by nobody but our entry point, raised an error."""
    frames = traceback.walk_tb(error.__traceback__)
    packages = [frame.f_globals.get("__name__", "").partition(".")[0] for frame, _ in frames]
    return [name for name in packages if name in ("hydra", "src", "__main__")][-1:] == ["hydra"]


def _not_composed(error: BaseException) -> str:
    if isinstance(error, UnicodeDecodeError):
        files = ", ".join(str(path) for path in sorted(CONFIGS.rglob("*.yaml")) if _foreign(path))
        return f"{files or 'A config file'}: not UTF-8 text ({error}). Save it as UTF-8."
    return (
        f"The config can't be composed ({type(error).__name__}: {str(error)[:200]}). A group takes "
        "the name of one of its files, as model=lstm does, and defaults are a list of such names."
    )


def _foreign(path: Path) -> bool:
    try:
        path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return True
    return False


def _config_error(error: BaseException) -> str:
    cause = error.__cause__ or error.__context__ or error
    if "not in struct" in f"{error} {cause}":
        key = str(getattr(cause, "full_key", None) or getattr(error, "full_key", None) or error)
        return _unknown_key(key, getattr(cause, "parent_node", None))
    if group := re.search(r"Could not override '(\w+)'\. No match", str(error)):
        return _no_group(group[1])
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    text = re.sub(r"\s*To append to your (config|default list) use.*", "", text)
    return f"{text.rstrip('.')}. `--cfg job` shows the config as it stands."


def _no_group(group: str) -> str:
    """A group of configs/ that this config has not."""
    if group in FROM_CHECKPOINT:
        return (
            f"{group}: the checkpoint brings its own {', '.join(FROM_CHECKPOINT)}; leave {group}=… "
            "out, or name a checkpoint that was trained with it."
        )
    return f"{group}: this config has no such group. `--cfg job` shows the config as it stands."


def _unknown_key(key: str, parent: Mapping | None) -> str:
    from omegaconf import OmegaConf

    leaf = key.rpartition(".")[2]
    siblings = OmegaConf.to_container(parent) if parent is not None else {}
    if "checkpoint" in siblings and leaf in FROM_CHECKPOINT:
        return _no_group(leaf)
    deeper = [name for name, node in siblings.items() if isinstance(node, dict) and leaf in node]
    if deeper:
        meant = f"{key.removesuffix(leaf)}{deeper[0]}.{leaf}"
        return f"{key}: the config has no such key; did you mean {meant}?"
    meant = nearest(leaf, map(str, siblings), within=key.removesuffix(leaf))
    return f"{key}: the config has no such key{meant}"
