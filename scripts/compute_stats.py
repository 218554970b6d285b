"""Mean and deviation of each feature over the training part of a config."""

import argparse
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from tqdm import tqdm

from src.build import KEYS, build, build_text, check_top, plain
from src.build.training import build_loaders
from src.cli import CONFIGS, explain
from src.transforms import FeatureStatistics, FrontEnd, StoredNormalisation
from src.utils.devices import pick_device
from src.utils.errors import UserError
from src.utils.interrupts import ctrl_c_ends
from src.utils.tables import counted

HELP = """\
Features normalised by a corpus instead of by each utterance keep loudness, and can be had
before an utterance has ended. The statistics are computed once, then training reads the file:

  python -m scripts.compute_stats -cn=convnet transform=logmel80_stored --out data/stats.json
  python train.py -cn=convnet transform=logmel80_stored \\
      transform.normalise.statistics=data/stats.json

Give both commands the same config and overrides: statistics belong to one corpus and one set of
features. Every checkpoint carries its own, so inference never asks for the file. The whole
training part is read once; dataset.train.limit=N takes its first N utterances only."""


@ctrl_c_ends("compute_stats", "nothing is written; run it again to start over")
def main(arguments: list[str] | None = None) -> None:
    """Read the command line, measure, write. A person's mistake ends in one line and status 1."""
    logging.basicConfig(format="%(levelname)s %(message)s")
    options = parse(arguments)
    try:
        statistics, n_utterances = measure(read_config(options.config_name, options.overrides))
        statistics.save(options.out)
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        sys.exit(f"compute_stats: {message}")
    print(
        f"{statistics.n_frames:,} frames of {counted(n_utterances, 'utterance')}, "
        f"{len(statistics.mean)} features\nwritten to {options.out}; train with "
        f"transform.normalise.statistics={options.out}"
    )


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options, with a --help that teaches."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.compute_stats",
        description=__doc__,
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("-cn", "--config-name", required=True, help="a training config, such as convnet")
    add("--out", type=Path, required=True, help="JSON file to write")
    add("overrides", nargs="*", help="as for train.py, for example dataset.path=FILE")
    return parser.parse_intermixed_args(arguments)


def read_config(name: str, overrides: list[str]) -> dict[str, Any]:
    """The training config that `train.py -cn=NAME OVERRIDES` would see."""
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = plain(compose(name, overrides))
    check_top(config, KEYS, "convnet")
    return config


@torch.inference_mode()
def measure(config: Mapping[str, Any]) -> tuple[FeatureStatistics, int]:
    """Statistics over the training part, and the number of its utterances.

    Raises:
        UserError: nothing in the config wants statistics, or its data can't be read.
    """
    front_end = build_front_end(config)
    device = pick_device(config["device"])
    text = build_text(config)
    loader = next(build_loaders(config, text, device, front_end))  # the first is the training's
    front_end.to(device)
    statistics, n_utterances = FeatureStatistics(front_end.n_features), 0
    for batch in tqdm(loader, desc="measuring", unit="batch", disable=None):
        moved = batch.to(device)
        features, lengths = front_end.unnormalised(moved.waveforms, moved.waveform_lengths)
        statistics.update(features, lengths)
        n_utterances += len(batch)
    return statistics, n_utterances


def build_front_end(config: Mapping[str, Any]) -> FrontEnd:
    """The config's front end, with no look at older statistics.

    Raises:
        UserError: it normalises by utterance, or not at all.
    """
    transform = dict(config["transform"])
    normalise = transform["normalise"]
    if normalise["_target_"] != f"src.transforms.{StoredNormalisation.__name__}":
        raise UserError(
            f"transform.normalise is {normalise['_target_']}, which needs no statistics; choose a "
            "transform that does, such as transform=logmel80_stored."
        )
    transform["normalise"] = normalise | {"statistics": None}
    return build(transform, "transform")


if __name__ == "__main__":
    main()
