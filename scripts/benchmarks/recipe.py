"""What is the same for all who are measured: model, data, seconds a batch, precision, threads."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir

from src.build import build_trainer, plain
from src.cli import CONFIGS
from src.logger import Nothing
from src.trainer import Trainer
from src.utils.errors import UserError
from src.utils.seeding import seed_everything

# Sizes of a model are multiples of one key.
WIDTH_KEYS = {
    "convnet": "rnn_width",
    "convnet_small": "rnn_width",
    "lstm": "rnn_width",
    "deepspeech2": "width",
    "deepspeech2_conv": "width",
}


@dataclass(frozen=True)
class Recipe:
    """One measurement. Travels as JSON to the processes that are measured."""

    model: str  # a choice of configs/model
    root: str  # folder of a part in LibriSpeech's layout
    part: str
    device: str = "cpu"
    precision: str = "float32"
    max_batch_s: float = 100.0  # padded seconds
    n_utterances: int | None = None  # the first so many of the part; None = all
    n_workers: int = 2
    n_threads: int = 1  # of matrix products, in each process
    overrides: list[str] = field(default_factory=list)  # of the training config

    def to_json(self) -> str:
        """One line, for a command line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Recipe":
        """Back from `to_json`."""
        return cls(**json.loads(text))

    def config(self) -> dict[str, Any]:
        """The training config: configs/deepspeech2.yaml with this model, 80 mels, no augmentation.

        Raises:
            UserError: an override that nothing reads, as for train.py.
        """
        chosen = {
            "model": self.model,
            "transform": "logmel80",
            "augment": "none",
            "schedule": "constant",  # the others know no schedule
            "schedule.warmup_steps": 0,
            "device": self.device,
            "dataset.root": self.root,
            "dataset.train_parts": f"[{self.part}]",
            "dataset.index_dir": "null",
            "dataset.train.speakers": "all",
            "dataset.train.min_duration_s": 0,
            "dataset.train.max_duration_s": "null",
            "dataset.train.limit": "null" if self.n_utterances is None else self.n_utterances,
            "dataset.validation.speakers": "all",
            "dataset.validation.limit": 1,
            "loader.max_batch_s": self.max_batch_s,
            "loader.sort_first_epoch": "false",
            "loader.n_workers": self.n_workers,
            "trainer.ema_decay": "null",
            "trainer.precision": self.precision,
        }
        overrides = [f"{key}={value}" for key, value in chosen.items()]
        with initialize_config_dir(str(CONFIGS), version_base="1.3"):
            config = plain(compose("deepspeech2", [*overrides, *self.overrides]))
        more = [key for key in ("consistency", "teacher") if config["trainer"][key] is not None]
        if more or config["model"].get("intermediate"):
            raise UserError(
                "trainer.consistency, trainer.teacher and model.intermediate are not benchmarked: "
                "the programs beside ours have one loss of one view. Leave them out."
            )
        return config

    def trainer(self, run_dir: Path) -> Trainer:
        """Our own trainer with everything it needs, as train.py builds it; it logs nowhere."""
        config = self.config()
        seed_everything(config["seed"])
        return build_trainer(config, run_dir, Nothing())
