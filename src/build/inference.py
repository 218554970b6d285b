"""Checkpoint and config → a transcriber and what it shall read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from src.build.parts import build_recognizer, build_text, build_transcriber
from src.build.targets import build
from src.datasets import AudioFiles, Batches, make_loader
from src.trainer import load_checkpoint, load_weights
from src.utils.devices import pick_device
from src.utils.errors import UserError


def load_recognizer(path: str | Path):
    """Text, recogniser (in evaluation mode) and the checkpoint they were rebuilt from.

    Raises:
        UserError: no checkpoint there, damaged, or its parts can't be rebuilt.
    """
    state = load_checkpoint(path)
    missing = [key for key in ("config", "symbols", "recognizer") if key not in state]
    if missing:
        raise UserError(
            f"{path}: the checkpoint lacks {', '.join(missing)}; it was not written by train.py."
        )
    text = build_text(state["config"])
    recognizer = build_recognizer(state["config"], text)
    load_weights(recognizer, state, {"symbols": text.vocabulary.symbols}, path)
    return text, recognizer.eval(), state


def build_inference(config: Mapping[str, Any], corpus: str):
    """Transcriber, dataset, its loader and a name for the predictions' folder.

    Args:
        config: resolved, as configs/inference.yaml.
        corpus: the choice of `dataset=…`, for the folder's name.

    Raises:
        UserError: no checkpoint given, or one of the parts can't be built.
    """
    if not config["checkpoint"]:
        raise UserError(
            "No checkpoint given. Name one with checkpoint=FILE_OR_RUN_FOLDER; to get one, train "
            "it (`python train.py -cn=quickstart`) or fetch it (`python download_model.py --list`)."
        )
    device = pick_device(config["device"])
    text, recognizer, _ = load_recognizer(config["checkpoint"])
    if config["input"]:
        dataset = AudioFiles(config["input"], text=text, sample_rate=recognizer.sample_rate)
        name = Path(config["input"]).stem or "input"
    else:
        node = config["dataset"][config["part"]]
        dataset = build(node, f"dataset.{config['part']}", text=text)
        name = "+".join(node["parts"]) if "parts" in node else f"{corpus}_{config['part']}"
    keys = dict(config["loader"])
    order = Batches(dataset.durations_s, batch_size=keys.pop("batch_size"), shuffle=False)
    loader = make_loader(dataset, order, pin_memory=device.type == "cuda", **keys)
    transcriber = build_transcriber(
        recognizer.to(device), text, config["decoder"], config["precision"]
    )
    return transcriber, dataset, loader, config["name"] or name
