"""Train a CTC recogniser: python train.py -cn=convnet (--help lists what can be chosen)."""

import logging
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from src.cli import hydra_entry
from src.resolvers import log_file, run_folder

logger = logging.getLogger("train")


# In a module of their own: a launcher that hands jobs to other machines must find them there.
OmegaConf.register_new_resolver("run_folder", run_folder)
OmegaConf.register_new_resolver("log_file", log_file)


@hydra_entry("quickstart")
def main(config: DictConfig) -> int:
    """Compose the config, build the parts, train; the exit status tells how it ended."""
    # Imported late: --help and a misspelt key need not wait for PyTorch.
    from src.build import KEYS, check_top, plain
    from src.utils import parallel
    from src.utils.folders import only_run_in
    from src.utils.provenance import record

    run_dir = Path(HydraConfig.get().runtime.output_dir)
    resolved = plain(config)
    check_top(resolved, KEYS, "convnet")
    if not parallel.is_first():
        logging.getLogger().setLevel(logging.ERROR)  # the first one speaks for all
        return train(resolved, run_dir)
    with only_run_in(run_dir, resumed=bool(resolved["resume"])):
        record(run_dir, OmegaConf.to_yaml(config, resolve=True))
        return train(resolved, run_dir)


def train(config: dict[str, Any], run_dir: Path) -> int:
    """One run in its folder, new or continued."""
    from src.build import build, build_trainer, check_keys
    from src.logger import Nothing, save_png, standard_loggers, training_curves
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
        status = trainer.train()
    finally:
        log.close()
    if parallel.is_first():
        save_png(training_curves(run_dir / "log.jsonl"), run_dir / "training_curves.png")
        logger.info("Run folder: %s", run_dir)
    parallel.stop()
    return status


if __name__ == "__main__":
    main()
