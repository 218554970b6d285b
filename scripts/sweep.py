"""A search for good values: Optuna proposes each trial from the results of those before."""

import argparse
import importlib
import logging
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from omegaconf import OmegaConf

import train
from scripts.sweep_summary import summarise
from src.build import KEYS, check_top, plain
from src.cli import CONFIGS, explain
from src.sweeps import trial_name
from src.utils.arguments import whole_number
from src.utils.command_line import Arguments
from src.utils.errors import UserError
from src.utils.folders import only_run_in
from src.utils.interrupts import ctrl_c_ends

HELP = """\
Trains one trial after another. Overrides are those of train.py; what is to be searched stands as
Hydra writes it:

  python -m scripts.sweep saved/search --n_trials 20 -cn=convnet model.dropout=0.0,0.1,0.2 \\
      'optimizer.lr=tag(log,interval(1e-4,1e-2))' 'model.n_rnn_layers=range(1,4)'

a,b,c             one of these
interval(0,1)     any number between; int(interval(1,5)) a whole one
tag(log,…)        of the logarithm: as many between 0.001 and 0.01 as between 0.01 and 0.1
range(1,4)        1, 2 or 3

The same command continues a search that was killed: finished trials stay, the unfinished one is
resumed from its checkpoint, and what follows is proposed as if nothing had happened. A trial that
fails is recorded and counts. Needs pip install -r requirements-extra.txt."""
STUDY = "study.db"


@ctrl_c_ends("sweep", "the same command continues it")
def main(words: Sequence[str] | None = None) -> None:
    """Search and tell. A person's mistake ends in one line and status 1."""
    options = parse(words)
    logging.basicConfig(
        format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S", level=logging.INFO
    )
    try:
        search(options)
        print(summarise(options.folder))
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        sys.exit(f"sweep: {message}")


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.sweep",
        description=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("folder", type=Path, help="where trials and study are kept")
    add("overrides", nargs="*", metavar="KEY=VALUE", help="as for train.py")
    add("-cn", "--config_name", default="quickstart", help="(default %(default)s)")
    add("--n_trials", type=whole_number(1), default=20, help="in all (default %(default)s)")
    add("--seed", type=whole_number(0), default=1, help="of the proposals (default %(default)s)")
    return parser.parse_intermixed_args(words)


def search(options: argparse.Namespace) -> None:
    """Trials until there are `n_trials`, those of earlier sittings counted.

    Raises:
        UserError: a mistake in the overrides, no Optuna, or a search in this folder already.
    """
    optuna = _optuna()
    fixed, space = split(options.overrides, optuna.distributions)
    composed(options.config_name, fixed, options.folder)  # a misspelt key is told before all else
    options.folder.mkdir(parents=True, exist_ok=True)
    with only_run_in(options.folder, resumed=True):
        storage = f"sqlite:///{options.folder.resolve() / STUDY}"
        study = optuna.create_study(storage=storage, study_name="sweep", load_if_exists=True)
        running = optuna.trial.TrialState.RUNNING
        for left in study.get_trials(states=(running,)):
            if left.params.keys() == space.keys():
                study.tell(left.number, *judged(options, fixed, left.params, optuna))
            else:  # killed before it was wholly proposed
                study.tell(left.number, state=optuna.trial.TrialState.FAIL)
        while len(study.trials) < options.n_trials:
            study.sampler = sampler(optuna, options.seed, len(study.trials))
            trial = study.ask(space)
            study.tell(trial, *judged(options, fixed, trial.params, optuna))


def sampler(optuna: Any, seed: int, number: int) -> Any:
    """What proposes trial `number`, alike whether or not the search was killed before it."""
    return optuna.samplers.TPESampler(seed=1000 * seed + number)


def judged(
    options: argparse.Namespace, fixed: list[str], values: dict[str, Any], optuna: Any
) -> tuple[float | None, Any]:
    """Train with these values; what to tell the study: the best value, or None and FAIL."""
    overrides = [*fixed, *(f"{key}={value}" for key, value in values.items())]
    folder = options.folder / trial_name([f"-cn={options.config_name}", *overrides])
    states = optuna.trial.TrialState
    folder.mkdir(exist_ok=True)
    try:
        config = composed(options.config_name, overrides, folder)
        check_top(plain(config), KEYS, "convnet")
    except Exception as error:
        if explain(error) is None:
            raise
        train.note(folder, overrides, explain(error))
        return None, states.FAIL
    text = OmegaConf.to_yaml(config, resolve=True)
    arguments = Arguments(options.config_name, overrides)
    ended = train.trial(plain(config), text, folder, arguments)
    if ended.status >= 128:  # a signal is meant for the search
        sys.exit(ended.status)
    return (None, states.FAIL) if math.isnan(ended.value) else (ended.value, states.COMPLETE)


def composed(name: str, overrides: list[str], folder: Path) -> Any:
    """The config of train.py with these overrides, which writes into `folder`."""
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return compose(name, [*overrides, f'run_dir="{folder}"'])


def split(words: Sequence[str], kinds: Any) -> tuple[list[str], dict[str, Any]]:
    """Overrides with one value as they are, and the distribution of each other key.

    Args:
        kinds: optuna.distributions.

    Raises:
        UserError: nothing to search, or a sweep that has no distribution.
    """
    parsed = OverridesParser.create().parse_overrides(list(words))
    fixed = [override.input_line for override in parsed if not override.is_sweep_override()]
    space = {o.get_key_element(): _space(o, kinds) for o in parsed if o.is_sweep_override()}
    if not space:
        raise UserError(
            "No key to search: give at least one as key=a,b or 'key=interval(1e-4,1e-2)'."
        )
    return fixed, space


def _space(override: Override, kinds: Any) -> Any:
    value = override.value()
    if isinstance(value, IntervalSweep):
        whole = isinstance(value.start, int) and isinstance(value.end, int)
        kind = kinds.IntDistribution if whole else kinds.FloatDistribution
        return kind(value.start, value.end, log="log" in value.tags)
    if isinstance(value, RangeSweep | ChoiceSweep):
        return kinds.CategoricalDistribution(list(override.sweep_string_iterator()))
    raise UserError(f"{override.input_line}: expected a,b,c, interval(…) or range(…).")


def _optuna() -> Any:
    try:
        optuna = importlib.import_module("optuna")
    except ImportError as error:
        raise UserError(
            "Optuna is not installed; pip install -r requirements-extra.txt, or let "
            "train.py --multirun try values that you choose."
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


if __name__ == "__main__":
    main()
