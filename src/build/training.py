"""Config → a trainer with everything it needs."""

import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from src.build.beginning import begin
from src.build.parts import (
    build_augment,
    build_recognizer,
    build_text,
    build_transcriber,
    check_sample_rate,
)
from src.build.rehearsal import rehearse
from src.build.statistics import check_statistics
from src.build.targets import build, check_keys, subnode
from src.build.teacher import build_teacher, check_moments
from src.datasets import Batches, cached, make_batches, make_loader
from src.loss import CTC, FrameCrossEntropy
from src.trainer import (
    Settings,
    Stepper,
    Trainer,
    Validation,
    parameter_groups,
)
from src.transforms.views import TwoViews
from src.utils import parallel
from src.utils.devices import pick_device, pick_precision
from src.utils.errors import UserError

told = logging.getLogger(__name__)

KEYS = (  # at the top of a training config
    *("name", "run_dir", "resume", "init_from", "init_head"),
    *("seed", "device", "deterministic", "objective"),
    *("loader", "dataset", "transform", "augment", "text", "model", "decoder"),
    *("optimizer", "schedule", "trainer", "logger"),
)
# What make_loader gets from here, not from a config.
BUILT = {"dataset", "batches", "pin_memory", "left_out"}
READING = ("n_workers", "prefetch", "timeout_s", "unreadable", "max_unreadable")  # what it does


def build_trainer(config: Mapping[str, Any], run_dir: Path, log):
    """Everything a training run needs, from a resolved config."""
    check_keys(Settings, config["trainer"], set(), "trainer")
    device = pick_device(str(config["device"]))
    settings = Settings(**config["trainer"])
    precision = pick_precision(settings.precision, device)
    if precision != settings.precision:
        told.info("trainer.precision=%s: %s on this device.", settings.precision, precision)
    settings = replace(settings, precision=precision)
    loss = build_loss(config)
    text = build_text(config)
    recognizer = build_recognizer(config, text)
    teacher = build_teacher(settings, recognizer, config["objective"], text)
    check_statistics(recognizer, config)
    rehearse(recognizer, config, len(text.vocabulary))
    description = describe(config, text)
    begin(config, recognizer, description)
    train_loader, validation_loader = build_loaders(config, text, device, recognizer)
    recognizer.to(device)
    of_waveforms, of_features = build_augment(config, recognizer.front_end)
    if teacher:
        check_moments(of_features)
    of_features = TwoViews(of_features) if settings.consistency else of_features
    stepper = Stepper(
        recognizer,
        of_features.to(device),
        loss,
        build_optimizer(config, recognizer),
        max_grad_norm=settings.max_grad_norm,
        precision=settings.precision,
        seed=config["seed"],
        intermediate=settings.intermediate,
        consistency=settings.consistency,
        ema_decay=settings.ema_decay,
        augment_waveforms=of_waveforms and of_waveforms.to(device),
        teacher=teacher and teacher.to(device),
    )
    if parallel.rank():  # the weights are alike, the dropout is not
        torch.manual_seed(config["seed"] + parallel.rank())
    transcriber = build_transcriber(recognizer, text, config["decoder"], settings.precision)
    validation = Validation(
        recognizer,
        transcriber.predict,
        loss,
        validation_loader,
        log,
        monitor=settings.monitor,
        precision=settings.precision,
        n_examples=settings.n_examples if parallel.is_first() else 0,
        rates=transcriber.rate_names(),
    )
    return Trainer(
        settings,
        stepper=stepper,
        schedule=build(config["schedule"], "schedule"),
        train_loader=train_loader,
        validation=validation,
        log=log,
        run_dir=run_dir,
        description=description,
    )


def build_loss(config: Mapping[str, Any]):
    """What training makes small.

    Raises:
        UserError: an unknown objective, or one that this text has no targets for.
    """
    objective, text = config["objective"], str(config["text"].get("_target_"))
    if objective not in ("ctc", "frames"):
        raise UserError(f"objective={objective}: expected ctc or frames.")
    if (objective == "frames") != text.endswith(".FrameLabels"):
        raise UserError(
            f"objective={objective} and {text} don't go together: objective=frames learns from "
            "text=frame_labels, which has a label for each 10 ms, and objective=ctc from all "
            "others."
        )
    return CTC(config["deterministic"]) if objective == "ctc" else FrameCrossEntropy()


def build_loaders(
    config: Mapping[str, Any], text: Any, device: torch.device, recognizer
) -> Iterator:
    """Training loader (bucketed, shuffled, seekable), then validation loader (by length)."""
    keys = dict(subnode(config, "loader", ("cache", *READING, "batch_size", "max_batch_s")))
    corpora = subnode(config, "dataset", ("train", "validation"))
    cache = keys.pop("cache")
    reading = {key: keys.pop(key) for key in READING}
    pinned = {"pin_memory": device.type == "cuda"}
    check_keys(Batches, keys, {"durations_s", "shuffle", "seed", "rank", "world"}, "loader")
    check_keys(make_loader, reading, BUILT, "loader")
    for part in ("train", "validation"):
        dataset = build(corpora[part], f"dataset.{part}", text=text)
        check_sample_rate(dataset, recognizer)
        if cache is not None:
            policy = {key: reading[key] for key in ("timeout_s", "unreadable", "max_unreadable")}
            dataset = cached(dataset, str(cache), **policy)  # of several processes one makes it
        if part == "train":
            batches = make_batches(
                dataset, seed=config["seed"], shuffle=True, **keys, **processes()
            )
        else:
            batches = _in_order(dataset.durations_s, keys["batch_size"], keys["max_batch_s"])
        yield make_loader(dataset, batches, **reading, **pinned)


def _in_order(durations_s: np.ndarray, batch_size: int, max_batch_s: float | None) -> Batches:
    """Batches of held-out speech, which is read whole: what exceeds the cap comes alone."""
    if max_batch_s is not None:
        max_batch_s = max(max_batch_s, float(durations_s.max()))
    return Batches(
        durations_s, batch_size=batch_size, shuffle=False, max_batch_s=max_batch_s, **processes()
    )


def processes() -> dict[str, int]:
    """Which share of each batch this process reads."""
    return {"rank": parallel.rank(), "world": parallel.n_processes()}


def build_optimizer(config: Mapping[str, Any], recognizer) -> torch.optim.Optimizer:
    """The optimizer, with weight decay on matrices and kernels only.

    Raises:
        UserError: not one of the three, or a value it can't use.
    """
    node = config["optimizer"]
    rates = {"weight_decay": node.get("weight_decay", 0.0), "lr": node.get("lr", 1e-3)}
    for key, value in rates.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 <= value < math.inf:  # PyTorch takes infinity
            raise UserError(
                f"optimizer.{key}={value}: expected a finite number from 0 up, such as 1e-3."
            )
    groups = parameter_groups(recognizer, **rates)
    return build(node, "optimizer", params=groups)


def describe(config: Mapping[str, Any], text: Any) -> dict[str, Any]:
    """What a checkpoint must carry so that inference can rebuild text, front end and model."""
    transform = dict(config["transform"])
    if "statistics" in transform["normalise"]:
        # They are among the weights; the file may since be gone, or that of another front end.
        transform["normalise"] = transform["normalise"] | {"statistics": None}
    model = dict(config["model"])
    if "weights" in model:  # so may the file of pretrained weights
        model["weights"] = None
    words = dict(config["text"])
    if "pieces" in words:  # and that of the pieces
        words |= {"model": None, "pieces": list(text.vocabulary.symbols[1:])}
    return {
        "config": {"text": words, "transform": transform, "model": model},
        "symbols": list(text.vocabulary.symbols),
        "name": config["name"],
        "versions": {"torch": torch.__version__.split("+")[0]},
    }
