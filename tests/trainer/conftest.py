"""A whole small trainer, assembled from the real parts."""

import json
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from src.build import build
from src.datasets import Batches, make_loader
from src.decoders import Greedy
from src.logger import standard_loggers
from src.loss import CTC
from src.models import ConvNet, DeepSpeech2
from src.pipeline import Transcriber
from src.recognizer import Recognizer
from src.trainer import Settings, Stepper, Trainer, Validation, parameter_groups
from src.transforms import Identity
from src.transforms.views import TwoViews
from tests.trainer.tones import Tones

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
DEFAULTS = OmegaConf.to_container(OmegaConf.load(CONFIGS / "trainer/default.yaml"))
DEFAULTS |= {"precision": "float32"}  # the same sums on every machine


def make_recognizer(n_tokens: int = 5, dropout: float = 0.1) -> Recognizer:
    """Log-mel front end and a DeepSpeech2 of a few thousand weights; the same ones each time."""
    torch.manual_seed(7)
    front_end = build(OmegaConf.load(CONFIGS / "transform/logmel80.yaml"), "transform")
    model = DeepSpeech2(
        front_end.n_features, n_tokens, n_cnn_layers=1, n_rnn_layers=1, n_channels=4, width=24,
        dropout=dropout,
    )  # fmt: skip
    return Recognizer(front_end, model)


def make_normalised_recognizer(n_tokens: int = 5) -> Recognizer:
    """The same front end and a ConvNet, whose BatchNorm keeps running statistics."""
    torch.manual_seed(7)
    front_end = build(OmegaConf.load(CONFIGS / "transform/logmel80.yaml"), "transform")
    model = ConvNet(
        front_end.n_features, n_tokens, channels=[4, 4, 4, 4], rnn_width=8, n_rnn_layers=2
    )
    return Recognizer(front_end, model)


def make_trainer(run_dir: Path, **changes) -> Trainer:
    """A trainer on tones. `changes` are Settings, or dataset, recognizer, augment, schedule …"""
    dataset = changes.pop("dataset", None) or Tones()
    recognizer = changes.pop("recognizer", None) or make_recognizer()
    log = changes.pop("log", None) or standard_loggers(run_dir, None)
    batch_size = changes.pop("batch_size", 8)
    augment = changes.pop("augment", None) or Identity()
    augment = TwoViews(augment) if changes.get("consistency") else augment
    schedule = changes.pop("schedule", None) or (lambda step, total: 1.0)
    lr = changes.pop("lr", 0.01)
    settings = Settings(**(DEFAULTS | {"n_epochs": 2, "n_examples": 0, "log_every": 5} | changes))
    loss = CTC()
    optimizer = torch.optim.AdamW(parameter_groups(recognizer, 0.01, lr), lr=lr)
    stepper = Stepper(
        recognizer, augment, loss, optimizer,
        max_grad_norm=settings.max_grad_norm, precision=settings.precision, seed=3,
        consistency=settings.consistency, ema_decay=settings.ema_decay,
    )  # fmt: skip
    decoders = {"greedy": Greedy(dataset.text.vocabulary)}
    read = Transcriber(recognizer, dataset.text, decoders).predict
    order = Batches(dataset.durations_s, batch_size, shuffle=True, seed=3, bucket_pool=1)
    held_out = Tones(8, seed=99)
    in_order = Batches(held_out.durations_s, 8, shuffle=False)
    validation = Validation(
        recognizer, read, loss, make_loader(held_out, in_order), log,
        monitor=settings.monitor, precision=settings.precision, n_examples=settings.n_examples,
    )  # fmt: skip
    return Trainer(
        settings,
        stepper=stepper,
        schedule=schedule,
        train_loader=make_loader(dataset, order),
        validation=validation,
        log=log,
        run_dir=run_dir,
        description={"symbols": list(dataset.text.vocabulary.symbols), "config": {}, "name": "t"},
    )


def weights(trainer: Trainer) -> torch.Tensor:
    """All weights of a trainer's recogniser, in one row."""
    return torch.cat([p.detach().flatten() for p in trainer.stepper.recognizer.parameters()])


def log_lines(run_dir: Path) -> list[dict]:
    """What a run logged, one event after another."""
    lines = (run_dir / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture
def trainer_of(tmp_path):
    """`make_trainer` in a folder of this test: trainer_of("run", n_epochs=3)."""
    return lambda name="run", **changes: make_trainer(tmp_path / name, **changes)
