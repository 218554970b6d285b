"""Train a CTC recogniser: python train.py -cn=convnet (--help lists what can be chosen)."""

import logging
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from src.cli import hydra_entry

logger = logging.getLogger("train")

OmegaConf.register_new_resolver("run_folder", lambda resume, run_dir: resume or run_dir)


@hydra_entry("quickstart")
def main(config: DictConfig) -> int:
    """Compose the config, build the parts, train; the exit status tells how it ended."""
    # Imported late: --help and a misspelt key need not wait for PyTorch.
    from src.build import build, build_trainer, plain
    from src.logger import save_png, standard_loggers, training_curves
    from src.utils.provenance import record
    from src.utils.seeding import seed_everything

    run_dir = Path(HydraConfig.get().runtime.output_dir)
    resolved = plain(config)
    seed_everything(resolved["seed"], deterministic=resolved["deterministic"])
    record(run_dir, OmegaConf.to_yaml(config, resolve=True))
    extra = build(resolved["logger"], "logger", run_dir=run_dir)
    log = standard_loggers(run_dir, extra)
    try:
        trainer = build_trainer(resolved, run_dir, log)
        if resolved["resume"]:
            trainer.restore(Path(resolved["resume"]) / "checkpoints/last.pt")
        status = trainer.train()
    finally:
        log.close()
    save_png(training_curves(run_dir / "log.jsonl"), run_dir / "training_curves.png")
    logger.info("Run folder: %s", run_dir)
    return status


if __name__ == "__main__":
    main()
