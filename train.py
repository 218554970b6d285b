"""Train a CTC recogniser: python train.py -cn=convnet (--help lists what can be chosen)."""

import logging
import math
import os
import sys
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from src.cli import Ended, as_begun, explain, hydra_entry
from src.resolvers import is_new, log_file, run_folder, sweep_folder
from src.sweeps import finished, has_begun, note, trial_name, value_of
from src.utils.command_line import ARGUMENTS, Arguments, in_quotes, keep_arguments

logger = logging.getLogger("train")


# In a module of their own: a launcher that hands jobs to other machines must find them there.
OmegaConf.register_new_resolver("run_folder", run_folder)
OmegaConf.register_new_resolver("sweep_folder", sweep_folder)
OmegaConf.register_new_resolver("log_file", log_file)
OmegaConf.register_new_resolver("trial_name", trial_name)


@hydra_entry("quickstart", as_begun)
def main(config: DictConfig) -> int | Ended:
    """Compose the config, build the parts, train; the exit status tells how it ended."""
    # Imported late: --help and a misspelt key need not wait for PyTorch.
    from src.build import KEYS, check_top, plain
    from src.utils import parallel
    from src.utils.folders import only_run_in

    hydra = HydraConfig.get()
    run_dir = Path(hydra.runtime.output_dir)
    arguments = Arguments(hydra.job.config_name, list(hydra.overrides.task))
    resolved = plain(config)
    check_top(resolved, KEYS, "convnet")
    if hydra.mode == RunMode.MULTIRUN:
        text = OmegaConf.to_yaml(config, resolve=True)
        ended = trial(resolved, text, run_dir, arguments)
        if ended.status >= 128:  # a signal is meant for the sweep
            same = in_quotes("run_dir", str(Path(hydra.sweep.dir).resolve()))
            logger.info("To go on with the sweep: the same command with %s", same)
            sys.exit(ended.status)
        return ended
    if not parallel.is_first():
        logging.getLogger().setLevel(logging.ERROR)  # the first one speaks for all
        return train(resolved, run_dir, arguments)
    resumed = bool(resolved["resume"])
    with only_run_in(run_dir, resumed=resumed):
        record_start(run_dir, OmegaConf.to_yaml(config, resolve=True), arguments, resumed)
        status = train(resolved, run_dir, arguments)
    if status:
        how = "torchrun …" if "WORLD_SIZE" in os.environ else "python"
        logger.info("To go on: %s train.py %s", how, in_quotes("resume", str(run_dir)))
    return status


def trial(config: dict[str, Any], config_yaml: str, run_dir: Path, arguments: Arguments) -> Ended:
    """One run of a sweep: done already, continued or new. Where it fails, the sweep goes on.

    Raises:
        UserError: its folder holds a trial of another config, or another process works there.
    """
    from src.utils.folders import only_run_in

    begun = has_begun(run_dir, config_yaml)  # first: a finished trial may be of another config
    if summary := finished(run_dir):
        logger.info("%s: has finished already", run_dir)
        return Ended(0, value_of(summary))
    if begun and not config["resume"]:
        config = config | {"resume": str(run_dir)}
    with only_run_in(run_dir, resumed=begun):
        note(run_dir, arguments.overrides)
        try:
            record_start(run_dir, config_yaml, arguments, begun)
            status = train(config, run_dir, arguments)
        except Exception as error:
            line = explain(error)
            logger.error("%s failed: %s", run_dir, line or error, exc_info=line is None)
            note(run_dir, arguments.overrides, line or f"{type(error).__name__}: {error}")
            return Ended(1, math.nan)
    return Ended(status, value_of(finished(run_dir) or {}))


def record_start(run_dir: Path, config_yaml: str, arguments: Arguments, resumed: bool) -> None:
    """Write into the run's folder how it was begun, the arguments of a new one before all else."""
    from src.utils.provenance import record

    if not resumed or not (run_dir / ARGUMENTS).exists():
        keep_arguments(run_dir, arguments)
    record(run_dir, config_yaml)


def train(config: dict[str, Any], run_dir: Path, arguments: Arguments) -> int:
    """One run in its folder, new or continued."""
    from src.logger import save_png, training_curves
    from src.utils import parallel
    from src.utils.folders import remove_unbegun, wait_until_gone

    try:
        trainer = start(config, run_dir)
    except Exception as error:
        if is_new(run_dir) and explain(error):  # a mistyped value leaves nothing worth a folder
            # torchrun stops the first process, which tidies up, as soon as another one ends.
            clear = remove_unbegun if parallel.is_first() else wait_until_gone
            clear(run_dir)
        raise
    try:
        if parallel.is_first():
            # Of a resumed run not before: what a start was refused for is no part of it.
            keep_arguments(run_dir, arguments)
        status = trainer.train()
    finally:
        trainer.log.close()
    if parallel.is_first():
        save_png(training_curves(run_dir / "log.jsonl"), run_dir / "training_curves.png")
        logger.info("Run folder: %s", run_dir)
    parallel.stop()
    return status


def start(config: dict[str, Any], run_dir: Path) -> Any:
    """The trainer of a run before its first step, or where its checkpoint left off."""
    from src.build import build, build_trainer, check_keys
    from src.logger import Nothing, standard_loggers
    from src.utils import parallel
    from src.utils.seeding import seed_everything

    chance = {key: config[key] for key in ("seed", "deterministic")}
    check_keys(seed_everything, chance, parts=set(), where="")
    seed_everything(**chance)
    if parallel.is_first():
        log = standard_loggers(run_dir, build(config["logger"], "logger", run_dir=run_dir))
    else:
        log = Nothing()
    try:
        trainer = build_trainer(config, run_dir, log)
        if config["resume"]:
            trainer.restore(Path(config["resume"]))
        else:
            log.rewind(0)  # lines of a run that was killed before its first save
    except BaseException:
        log.close()
        raise
    return trainer


if __name__ == "__main__":
    main()
