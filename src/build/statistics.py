"""Statistics that a front end needs, asked for before the corpus is read."""

import shlex
from collections.abc import Mapping
from typing import Any

from hydra.core.hydra_config import HydraConfig

from src.recognizer import Recognizer
from src.transforms import StoredNormalisation

# Of an override, the beginnings that compute_stats has no use for.
_NOT_ITS_OWN = ("run_dir=", "resume=", "transform.normalise.statistics=")


def check_statistics(recognizer: Recognizer, config: Mapping[str, Any]) -> None:
    """Refuse at once what the first batch would refuse, and with the whole command.

    Raises:
        UserError: the features are normalised by a corpus's statistics, which nobody gave.
    """
    normalise = getattr(recognizer.front_end, "normalise", None)
    brought = config["resume"] or config["init_from"]  # by a checkpoint
    if isinstance(normalise, StoredNormalisation) and not brought:
        normalise.refuse_unknown(_composed_with())


def _composed_with() -> str:
    """Config and overrides of this command, as far as there was one."""
    if not HydraConfig.initialized():
        return ""
    hydra = HydraConfig.get()
    own = [word for word in hydra.overrides.task if not word.startswith(_NOT_ITS_OWN)]
    return shlex.join([f"-cn={hydra.job.config_name}", *own])
