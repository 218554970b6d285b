"""Checkpoint and config → a transcriber and what it shall read."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset, Sampler

from src.build.parts import build_recognizer, build_text, build_transcriber, check_sample_rate
from src.build.targets import build, check_keys, check_top
from src.build.tuned import chosen_decoder
from src.datasets import AudioFiles, Batches, Loader, make_loader
from src.pipeline import Transcriber
from src.recognizer import Recognizer
from src.trainer import find_checkpoint, load_checkpoint, load_weights
from src.utils.devices import pick_device, pick_precision
from src.utils.errors import UserError, nearest
from src.utils.published import default_name

KEYS = (  # at the top of configs/inference.yaml
    *("checkpoint", "input", "dataset", "part", "name", "output", "device", "precision"),
    *("n_pictures", "decoder", "n_decoders", "decode_batch", "loader"),
)
STORED = ("text", "transform", "model")  # config groups that a checkpoint carries


@dataclass(frozen=True)
class Inference:
    """What one run of inference.py needs."""

    transcriber: Transcriber
    dataset: Dataset
    loader: Loader
    unreadable: dict[str, str]  # id → reason; the loader adds to it while it reads
    name: str  # of the predictions' folder
    checkpoint: str  # path or name of what reads
    decoder: dict[str, Any]  # its config, with what came with the checkpoint
    n_decoders: int  # processes that decode beside the model
    decode_batch: int  # utterances searched together, at least


def load_recognizer(path: str | Path):
    """Text, recogniser (in evaluation mode) and the checkpoint they were rebuilt from.

    Raises:
        UserError: no checkpoint there, damaged, or its parts can't be rebuilt.
    """
    return rebuilt(load_checkpoint(path), path)


def rebuilt(state: dict[str, Any], path: str | Path):
    """The same of a checkpoint that is read already; `path` is where it came from, for messages."""
    missing = [key for key in ("config", "symbols", "recognizer") if key not in state]
    stored = state.get("config")
    stored = stored if isinstance(stored, Mapping) else {}
    missing += [f"config.{key}" for key in STORED if key not in stored]
    if missing:
        raise UserError(
            f"{path}: the checkpoint lacks {', '.join(missing)}; it was not written by train.py."
        )
    text = build_text(stored)
    recognizer = build_recognizer(stored, text)
    load_weights(recognizer, state, {"symbols": text.vocabulary.symbols}, path)
    return text, recognizer.eval(), state


def build_inference(config: Mapping[str, Any], corpus: str) -> Inference:
    """Transcriber, dataset, its loader and a name for the predictions' folder.

    Args:
        config: resolved, as configs/inference.yaml.
        corpus: the choice of `dataset=…`, for the folder's name.

    Raises:
        UserError: no checkpoint given and no published one here, or a part can't be built.
    """
    check_top(config, KEYS, "inference")
    checkpoint = str(config["checkpoint"] or default_name())
    _check(config)
    device = pick_device(str(config["device"]))
    precision = pick_precision(str(config["precision"]), device)
    file = find_checkpoint(checkpoint)
    text, recognizer, state = load_recognizer(file)
    if config["input"] is not None:
        source = str(config["input"])
        dataset = AudioFiles(source, text=text, sample_rate=recognizer.sample_rate)
        name = name_of_input(source)
    else:
        node = _part(config["dataset"], config["part"], corpus)
        dataset = build(node, f"dataset.{config['part']}", text=text)
        check_sample_rate(dataset, recognizer)
        name = _name_of_part(node, corpus, str(config["part"]))
    unreadable = dict(dataset.unreadable)
    decoder = chosen_decoder(config["decoder"], file, state)
    transcriber = _transcriber(recognizer.to(device), text, config["decoder"], decoder, precision)
    only_greedy = list(transcriber.decoders) == ["greedy"]
    return Inference(
        transcriber,
        dataset,
        build_loader(dataset, config["loader"], unreadable, pin_memory=device.type == "cuda"),
        unreadable,
        str(config["name"] or name),
        checkpoint,
        decoder,
        pick_n_decoders(config["n_decoders"], device.type),
        1 if only_greedy else config["decode_batch"],  # which gains nothing by waiting for more
    )


def _transcriber(
    recognizer: Recognizer,
    text: Any,
    wanted: Mapping[str, Any],
    decoder: Mapping[str, Any],
    precision: str,
) -> Transcriber:
    """With the decoder that was chosen for the checkpoint, where another may have been wanted."""
    try:
        return build_transcriber(recognizer, text, decoder, precision)
    except UserError as error:
        if wanted["_target_"] == decoder["_target_"]:
            raise
        raise UserError(
            f"{error} decoder=auto took {decoder['language_model']}, which lies beside the "
            "checkpoint; decoder=greedy goes without."
        ) from error


def build_loader(
    dataset: Dataset, config: Mapping[str, Any], unreadable: dict[str, str], pin_memory: bool
) -> Loader:
    """Longest utterances first; what can't be read is noted in `unreadable` and left out."""
    ours = {"left_out": unreadable, "pin_memory": pin_memory}
    keys = dict(config)
    limits = {key: keys.pop(key) for key in ("batch_size", "max_batch_s")}
    check_keys(Batches, limits, {"durations_s", "shuffle"}, "loader")
    parts = {"dataset": dataset, "batches": LongestFirst(dataset.durations_s, **limits), **ours}
    check_keys(make_loader, keys, set(parts), "loader")
    return make_loader(**parts, **keys)


class LongestFirst(Sampler[list[int]]):
    """Batches of like duration, the longest first: little padding, and too little memory shows
    at once. An utterance longer than a whole batch may be comes alone.

    Args:
        durations_s: (n,) seconds of each utterance.
        batch_size: most utterances in a batch.
        max_batch_s: cap on utterances × longest of a batch, in seconds; None is no cap.
    """

    def __init__(
        self, durations_s: np.ndarray, batch_size: int, max_batch_s: float | None = None
    ) -> None:
        durations_s = np.asarray(durations_s, np.float32)
        self._order = np.argsort(-durations_s, kind="stable")
        capped = durations_s if max_batch_s is None else np.minimum(durations_s, max_batch_s)
        self._batches = Batches(
            capped[self._order], batch_size, shuffle=False, max_batch_s=max_batch_s
        )

    def __iter__(self) -> Iterator[list[int]]:
        for rows in self._batches:
            yield self._order[rows].tolist()

    def __len__(self) -> int:
        return len(self._batches)


def pick_n_decoders(wanted: int | None, device_type: str) -> int:
    """Processes that decode: as many as wanted, else as suits the device."""
    if wanted is not None:
        return wanted
    # On a CPU the model has use for every core; a GPU hears faster than 8 cores decode.
    return 0 if device_type == "cpu" else max(1, min(8, (os.cpu_count() or 1) - 2))


def name_of_input(source: str) -> str:
    """A folder name for what `input=` names: a file's stem, a folder's name, a glob's folder."""
    path = Path(source)
    if path.is_dir():
        return path.resolve().name or "input"
    if any(mark in source for mark in "*?[") and not path.is_file():
        fixed = [part for part in path.parent.parts if not any(mark in part for mark in "*?[")]
        return Path(*fixed).name or "input"
    return path.stem or "input"


def _name_of_part(node: Mapping[str, Any], corpus: str, part: str) -> str:
    """train-clean-100 as LibriSpeech calls it, with whose speakers where some are held out."""
    if "parts" not in node:
        return f"{corpus}_{part}"
    name = "+".join(node["parts"])
    return name if node.get("speakers", "all") == "all" else f"{name}_{node['speakers']}"


def _check(config: Mapping[str, Any]) -> None:
    """Refuse at once what would otherwise be met after the checkpoint and the corpus are read."""
    n_pictures = config["n_pictures"]
    if type(n_pictures) is not int or n_pictures < 0:
        raise UserError(f"n_pictures={n_pictures}: expected a whole number from 0 up.")
    n_decoders = config["n_decoders"]
    if n_decoders is not None and (type(n_decoders) is not int or n_decoders < 0):
        raise UserError(f"n_decoders={n_decoders}: expected a whole number from 0 up, or null.")
    decode_batch = config["decode_batch"]
    if type(decode_batch) is not int or decode_batch < 1:
        raise UserError(f"decode_batch={decode_batch}: expected a whole number from 1 up.")


def _part(splits: Mapping[str, Any], part: str, corpus: str) -> Mapping[str, Any]:
    """The node of one split among the dataset's keys."""
    known = [name for name, node in splits.items() if isinstance(node, Mapping)]
    if part not in known:
        raise UserError(f"part={part}: dataset={corpus} has no such part{nearest(part, known)}")
    return splits[part]
