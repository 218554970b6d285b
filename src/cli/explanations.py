"""One sentence for what goes wrong on a command line."""

import re
import traceback
from collections.abc import Mapping
from pathlib import Path

from src.utils.command_line import in_quotes
from src.utils.errors import UserError, nearest

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
FROM_CHECKPOINT = ("model", "text", "transform")  # groups of training that inference finds there


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
    if not equals and Path(override).is_file():
        return (
            f"{override}: a file, where key=value was expected. To read several, name their folder "
            "or a pattern in quotes: 'input=talks/*.wav'."
        )
    if not key or not equals:
        return f"{override}: expected key=value, or group=choice."
    return (
        f"{override}: can't be read. A value with brackets, commas, = or letters such as é in it "
        f"stands in quotes of its own: {in_quotes(key, value)}"
    )


def _missing_file(name: str, options: list[str] | None) -> str:
    group, _, choice = name.removesuffix(".yaml").rpartition("/")
    if group:
        known = options or [path.stem for path in (CONFIGS / group).glob("*.yaml")]
        new = f" A new choice is a file of its own, configs/{group}/{choice}.yaml."
        return f"{group}={choice}: no such choice{nearest(choice, known)}{new}"
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
